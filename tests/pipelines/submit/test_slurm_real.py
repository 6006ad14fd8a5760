"""The Slurm backend on a real Slurm of one node: submit, wait, exit codes, requeue, cancel.

`ray symmetric-run` refuses a node where any Ray runs, and stops all Ray at its end, so that here a command stands for
it; one test takes the real one, on a machine without another Ray.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import yaml

from augment.objects import open_store
from pipelines.cli.submitting import submit as submit_verb
from pipelines.submit.contract import Submission
from pipelines.submit.desk import Desk
from pipelines.submit.slurm import SlurmSettings
from tests.pipelines.submit.slurm_cluster import SlurmCluster, missing

pytestmark = [
    pytest.mark.slow,
    pytest.mark.timeout(600),
    pytest.mark.skipif(bool(missing()), reason=missing() or "there is a Slurm"),
]

STANDS_FOR_RAY = ("sh", "-c", 'until [ "$1" = -- ]; do shift; done; shift; exec "$@"', "ray")


@pytest.fixture(scope="module")
def cluster() -> Iterator[SlurmCluster]:
    """The cluster."""
    started = SlurmCluster()
    yield started
    started.close()


@pytest.fixture
def settings(
    cluster: SlurmCluster, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> Callable[[str], SlurmSettings]:
    """Settings of that cluster, with a script that stands for `augment`."""
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)
    return lambda script, **more: SlurmSettings(
        log_dir=str(tmp_path / "logs"), time="5", command=("sh", "-c", script, "augment"), ray=STANDS_FOR_RAY, **more
    )  # fmt: skip


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 75])
def test_every_exit_code_of_the_contract_comes_through_slurm(
    settings: Callable[..., SlurmSettings], submission: Submission, tmp_path: Path, code: int
) -> None:
    desk = Desk(open_store(str(tmp_path / "out")))
    runner = settings(
        f'echo "job of $SLURM_JOB_NUM_NODES node"; cat "$3" > {tmp_path}/config; exit {code}', requeues=0
    )

    attempt = desk.submit(submission, "slurm", runner).attempt
    again = desk.submit(submission, "slurm", runner)
    ended = desk.wait(attempt, timeout_s=120)

    assert again.attempt == attempt
    assert ended.status.exit_code == code
    assert json.loads((tmp_path / "config").read_text()) == submission.config
    assert "job of 1 node\n" in "".join(desk.logs(submission.run_id, follow=True))


def test_a_job_that_can_go_on_is_requeued_and_goes_on(
    cluster: SlurmCluster, settings: Callable[..., SlurmSettings], submission: Submission, tmp_path: Path
) -> None:
    desk = Desk(open_store(str(tmp_path / "out")))
    runner = settings(
        f'echo "restart ${{SLURM_RESTART_COUNT:-0}}"; [ -e {tmp_path}/half ] || {{ touch {tmp_path}/half; exit 5; }}'
    )

    attempt = desk.submit(submission, "slurm", runner).attempt
    ended = desk.wait(attempt, timeout_s=240)

    assert ended.status.state == "succeeded"
    log = "".join(desk.logs(submission.run_id, follow=False))
    assert log.index("restart 0") < log.index("back into the queue") < log.index("restart 1")


def test_a_job_is_cancelled_and_submitted_again(
    settings: Callable[..., SlurmSettings], submission: Submission, tmp_path: Path
) -> None:
    desk = Desk(open_store(str(tmp_path / "out")))
    desk.submit(submission, "slurm", settings("echo up; sleep 300"))
    for text in desk.logs(submission.run_id, follow=True):
        if "up\n" in text:
            break

    stopped = desk.cancel(submission.run_id)
    resumed = desk.submit(submission, "slurm", settings("exit 0"))

    assert (stopped.status.state, stopped.status.exit_code) == ("cancelled", 5)
    assert resumed.attempt.number == 2
    assert desk.wait(resumed.attempt, timeout_s=120).status.state == "succeeded"


def test_the_whole_job_runs_in_ray_s_own_symmetric_run(
    cluster: SlurmCluster, config_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    if os.environ.get("AUGMENT_NO_OTHER_RAY") != "1":
        pytest.skip(
            "symmetric-run stops every Ray of the machine; AUGMENT_NO_OTHER_RAY=1 says that there is none"
        )
    scripts = Path(sys.executable).parent
    file = tmp_path / "cluster.yaml"
    file.write_text(
        yaml.safe_dump(
            {
                "log_dir": str(tmp_path / "logs"), "time": "10", "setup": [f"export PATH={scripts}:$PATH"],
                "command": [sys.executable, "-m", "pipelines.cli"],
                "env": {"PYTHONPATH": str(Path(submit_verb.__code__.co_filename).parents[2])},
            }
        )
    )  # fmt: skip
    command = [
        sys.executable,
        "-m",
        "pipelines.cli",
        "submit",
        "-c",
        config_file,
        "-b",
        "slurm",
        "--cluster",
        file,
        "--wait",
    ]
    for name, value in cluster.env.items():
        monkeypatch.setenv(name, value)

    done = subprocess.run(list(map(str, command)), capture_output=True, text=True)

    logs = "".join(path.read_text() for path in (tmp_path / "logs").glob("*.log"))
    assert done.returncode == 0, done.stderr + logs

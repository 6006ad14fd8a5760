"""The Slurm backend: its script by the letter and by shellcheck, run with commands that stand for Slurm's and Ray's."""

from __future__ import annotations

import json
import os
import shutil
import stat
import subprocess
import sysconfig
from pathlib import Path

import pytest
from pydantic import ValidationError

from augment.errors import ConfigError, RetryLaterError
from pipelines.submit.contract import Job, Submission
from pipelines.submit.slurm import SlurmBackend, SlurmSettings

GOLDEN = Path(__file__).parent / "golden_job.sbatch"


@pytest.fixture
def shared(tmp_path: Path) -> Path:
    """A folder that nodes and submitter share."""
    return tmp_path / "logs"


@pytest.fixture
def commands(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder on PATH for what stands for commands."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")
    return folder


def command(folder: Path, name: str, script: str) -> None:
    """A command that is a line of bash."""
    path = folder / name
    path.write_text(f"#!/bin/bash\n{script}\n")
    path.chmod(path.stat().st_mode | stat.S_IXUSR)


def backend(shared: Path, **fields: object) -> SlurmBackend:
    """The backend with these settings."""
    return SlurmBackend(SlurmSettings.model_validate({"log_dir": str(shared), **fields}))


def small_job(config: object = None) -> Job:
    """A job whose config is a few bytes."""
    submission = Submission(run_id="defects-1", config={"a": config or "b"}, code_version="0.1.0")
    return Job(name="defects-1", submission=submission)


def test_the_script_is_this_one() -> None:
    settings = SlurmSettings(
        log_dir="/shared/logs", nodes=2, gpus_per_node=4, gpu_type="a100", partition="gpu", account="vision",
        options=("--constraint=nvlink",), setup=("module load cuda",), env={"AWS_REGION": "eu west"},
        command=("/shared/augment/bin/augment",), ray=("/shared/augment/bin/ray",),
    )  # fmt: skip

    assert SlurmBackend(settings).render(small_job()) == GOLDEN.read_text()


def test_shellcheck_has_nothing_to_say(tmp_path: Path, shared: Path) -> None:
    shellcheck = shutil.which("shellcheck", path=f"{sysconfig.get_path('scripts')}:{os.environ['PATH']}")
    if shellcheck is None:
        pytest.skip("shellcheck is not installed")
    path = tmp_path / "job.sh"
    path.write_text(backend(shared, nodes=2, env={"A": "it's $HOME"}).render(small_job()))

    # SC2016: what stands in single quotes there is for the shell that is started, not for this one.
    done = subprocess.run([shellcheck, "--exclude=SC2016", path], capture_output=True, text=True)

    assert done.returncode == 0, done.stdout


def run_script(text: str, commands: Path, tmp_path: Path, **env: str) -> subprocess.CompletedProcess[str]:
    """The script as Slurm would run it on the first of two nodes."""
    command(commands, "scontrol", '[ "$1" = show ] && printf "node1\\nnode2\\n" || echo "$@" >> "$ASKED"')
    command(commands, "srun", 'while [[ $1 == --* ]]; do shift; done; exec "$@"')
    (tmp_path / "job.sh").write_text(text)
    environment = {
        "PATH": os.environ["PATH"], "SLURM_JOB_ID": "17", "SLURM_JOB_NODELIST": "node[1-2]", "SLURM_JOB_NUM_NODES": "2",
        "ASKED": str(tmp_path / "asked"), "TMPDIR": str(tmp_path), **env,
    }  # fmt: skip
    return subprocess.run(
        ["/bin/bash", str(tmp_path / "job.sh")], capture_output=True, text=True, env=environment, timeout=60
    )


RAY = 'echo "$@" > "$ASKED.ray"; env | grep -c RAY_AUTH_TOKEN= >> "$ASKED.ray"; until [ "$1" = -- ]; do shift; done; shift; "$@"'


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 75])
def test_the_application_s_exit_code_comes_through_the_script(
    commands: Path, shared: Path, tmp_path: Path, code: int
) -> None:
    command(commands, "ray", RAY)
    command(commands, "augment", f'cat "$3" > "$ASKED.config"; exit {code}')
    command(commands, "squeue", "true")
    shared.mkdir()
    runner = backend(shared, nodes=2, requeues=0)
    config = 'it\'s "quoted" $HOME `date` \\ é'

    done = run_script(runner.render(small_job(config)), commands, tmp_path)

    assert done.returncode == code, done.stderr
    assert json.loads((tmp_path / "asked.config").read_text()) == {"a": config}
    status = runner.status("defects-1")
    assert (status.state, status.exit_code) == ("failed" if code else "succeeded", code)
    ray = (tmp_path / "asked.ray").read_text().splitlines()
    assert ray[0].startswith("symmetric-run --address node1:20017 --min-nodes 2 -- bash -c")
    assert ray[-1] == "1"  # a token
    assert [path.name for path in tmp_path.iterdir() if path.name.startswith("tmp.")] == []


def test_a_ray_that_does_not_start_is_tried_later_though_it_says_0(
    commands: Path, shared: Path, tmp_path: Path
) -> None:
    command(commands, "ray", "exit 0")
    shared.mkdir()

    done = run_script(backend(shared, requeues=0).render(small_job()), commands, tmp_path)

    assert done.returncode == 75
    assert "Ray did not start" in done.stderr


@pytest.mark.parametrize(
    ("code", "restarts", "requeued"), [(5, "1", True), (75, "", True), (5, "2", False), (3, "", False)]
)
def test_what_can_go_on_goes_back_into_the_queue_a_few_times(
    commands: Path, shared: Path, tmp_path: Path, code: int, restarts: str, requeued: bool
) -> None:
    command(commands, "ray", RAY)
    command(commands, "augment", f"exit {code}")
    shared.mkdir()
    env = {"SLURM_RESTART_COUNT": restarts} if restarts else {}

    done = run_script(backend(shared).render(small_job()), commands, tmp_path, **env)

    asked = tmp_path / "asked"
    assert done.returncode == code
    assert (asked.read_text() if asked.exists() else "") == ("requeue 17\n" if requeued else "")
    assert (shared / "defects-1.exit").exists() != requeued
    assert ("back into the queue" in done.stderr) == requeued


def test_submitting_twice_queues_once(commands: Path, shared: Path, tmp_path: Path) -> None:
    command(commands, "squeue", f'[ -e {tmp_path}/queued ] && echo "PENDING|Resources" || true')
    command(commands, "sbatch", f"cat >> {tmp_path}/queued; echo 17")
    command(commands, "scancel", f'echo "$@" > {tmp_path}/cancelled; rm {tmp_path}/queued')
    command(commands, "sacct", 'echo "sacct: accounting is off" >&2; exit 1')
    runner = backend(shared)
    assert runner.status("defects-1").state == "absent"

    runner.submit(small_job())
    runner.submit(small_job())

    assert (tmp_path / "queued").read_text() == runner.render(small_job())
    status = runner.status("defects-1")
    assert (status.state, status.reason) == ("waiting", "Resources")
    runner.cancel("defects-1")
    runner.cancel("defects-1")
    assert (tmp_path / "cancelled").read_text() == "--me --name defects-1\n"
    assert runner.status("defects-1").state == "cancelled"


@pytest.mark.parametrize(
    ("row", "state", "code"),
    [
        ("COMPLETED|0:0", "succeeded", 0),
        ("FAILED|3:0", "failed", 3),
        ("FAILED|127:0", "failed", 2),
        ("CANCELLED by 1000|0:15", "cancelled", 5),
        ("TIMEOUT|0:0", "failed", 5),
        ("NODE_FAIL|1:0", "failed", 5),
        ("PREEMPTED|0:15", "failed", 5),
        ("OUT_OF_MEMORY|0:125", "failed", 5),
        ("BOOT_FAIL|1:0", "failed", 75),
    ],
)
def test_what_left_no_exit_code_is_told_by_slurm_s_accounting(
    commands: Path, shared: Path, row: str, state: str, code: int
) -> None:
    command(commands, "squeue", "true")
    command(commands, "sacct", f"echo '{row}'")

    status = backend(shared).status("defects-1")

    assert (status.state, status.exit_code) == (state, code)


@pytest.mark.parametrize("state", ["RUNNING", "COMPLETING", "SUSPENDED"])
def test_a_job_on_its_nodes_is_running(commands: Path, shared: Path, state: str) -> None:
    command(commands, "squeue", f"printf 'PENDING|Dependency\\n{state}|None\\n'")

    assert backend(shared).status("defects-1").state == "running"


def test_the_log_is_read_where_it_is_shared(commands: Path, shared: Path) -> None:
    command(commands, "squeue", "true")
    command(commands, "sacct", "true")
    shared.mkdir()
    (shared / "defects-1.log").write_text("one\ntwo\n")

    assert "".join(backend(shared).logs("defects-1", follow=True)) == "one\ntwo\n"
    assert list(backend(shared).logs("never", follow=True)) == []


@pytest.mark.parametrize(
    ("script", "kind", "named"),
    [
        (None, ConfigError, "squeue is not on PATH; submit from a login node"),
        ('echo "Invalid user" >&2; exit 1', ConfigError, "squeue refuses: Invalid user"),
        ('echo "unrecognized option --me" >&2; exit 1', ConfigError, "unrecognized option"),
        ('echo "Access/permission denied" >&2; exit 1', ConfigError, "denied"),
        ('echo "Unable to contact slurm controller" >&2; exit 1', RetryLaterError, "Unable to contact"),
        ('echo "Zero Bytes were transmitted or received" >&2; exit 1', RetryLaterError, "Zero Bytes"),
        ('echo "Munge decode failed: Expired credential" >&2; exit 1', RetryLaterError, "Munge"),
        ("exit 1", RetryLaterError, "exit code 1"),
    ],
)
def test_a_slurm_that_refuses_or_does_not_answer_is_quoted(
    commands: Path,
    shared: Path,
    script: str | None,
    kind: type[Exception],
    named: str,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    if script is None:
        monkeypatch.setenv("PATH", str(commands))
    else:
        command(commands, "squeue", script)

    with pytest.raises(kind, match=named):
        backend(shared).status("defects-1")


@pytest.mark.parametrize(
    ("said", "kind"),
    [
        ("Batch job submission failed: Invalid partition name specified", ConfigError),
        ("Batch job submission failed: Resource temporarily unavailable", RetryLaterError),
        (
            "Batch job submission failed: Unable to contact slurm controller (connect failure)",
            RetryLaterError,
        ),
    ],
)
def test_a_job_that_is_not_taken_is_wrong_unless_slurm_says_otherwise(
    commands: Path, shared: Path, said: str, kind: type[Exception]
) -> None:
    command(commands, "squeue", "true")
    command(commands, "sbatch", f"echo 'sbatch: error: {said}' >&2; exit 1")

    with pytest.raises(kind, match="failed"):
        backend(shared).submit(small_job())


@pytest.mark.parametrize(
    "option",
    ["-J other", "-Jother", "--job-name other", "--job-name=other", "--job-n=other", "--array=1-9", "--wrap=x", "--exp=NONE",
     "--comment=a --nodes=9", "constraint=a", "--comment=a\n#SBATCH --nodes=9"],
)  # fmt: skip
def test_an_option_that_is_ours_or_none_is_refused(shared: Path, option: str) -> None:
    with pytest.raises(ValidationError, match=r"is set from the job|is no option"):
        backend(shared, options=(option,))


@pytest.mark.parametrize(
    ("options", "memory"),
    [((), ["--mem=0"]), (("--mem=64G",), ["--mem=64G"]), (("--mem-per-gpu=8G",), ["--mem-per-gpu=8G"])],
)
def test_a_job_has_all_memory_of_its_nodes_unless_it_asks_for_less(
    shared: Path, options: tuple[str, ...], memory: list[str]
) -> None:
    script = backend(shared, options=("--nodelist=a", "--constraint=a100", *options)).render(small_job())

    assert [word for word in script.split() if word.startswith("--mem")] == memory


@pytest.mark.parametrize("log_dir", ["/shared/my logs", "/shared/%j", "logs", "/shared\nlogs"])
def test_a_log_dir_that_sbatch_would_read_otherwise_is_refused(log_dir: str) -> None:
    with pytest.raises(ValidationError, match="no absolute path"):
        SlurmSettings(log_dir=log_dir)


def test_a_warning_of_slurms_reaches_augment_alone_and_the_job_goes_back_into_the_queue(
    commands: Path, shared: Path, tmp_path: Path
) -> None:
    """Ray's processes are of the job, too: here `ray` would end by the signal, and with it what augment stores."""
    command(commands, "ray", RAY)
    command(
        commands,
        "augment",
        'trap "echo stored > $ASKED.stored; exit 5" TERM; sleep 0.5; kill -TERM "$SCRIPT"; while :; do sleep 0.05; done',
    )
    shared.mkdir()
    script = f"export SCRIPT=$$\n{backend(shared).render(small_job())}"

    done = run_script(script, commands, tmp_path)

    assert done.returncode == 5, done.stderr
    assert (tmp_path / "asked.stored").read_text() == "stored\n"
    assert (tmp_path / "asked").read_text() == "requeue 17\n"


def test_how_a_job_of_the_same_name_ended_is_not_how_this_one_does(
    commands: Path, shared: Path, tmp_path: Path
) -> None:
    """As after the dataset, and with it every record, was deleted: Slurm's folder and accounts still tell of the last."""
    command(
        commands,
        "squeue",
        f'[ "$4" = defects-1.4567cdef ] && [ -e {tmp_path}/queued ] && echo "PENDING|Resources" || true',
    )
    command(commands, "sacct", '[ "$5" = defects-1.0123abcd ] && echo "COMPLETED|0:0" || true')
    command(commands, "sbatch", f"cat >> {tmp_path}/queued; echo 17")
    command(commands, "scancel", f'echo "$@" > {tmp_path}/cancelled')
    shared.mkdir()
    (shared / "defects-1.0123abcd.exit").write_text("0\n")
    runner, job = backend(shared), small_job().model_copy(update={"nonce": "4567cdef"})
    assert runner.status("defects-1", "0123abcd").state == "succeeded"
    assert runner.status("defects-1", "4567cdef").state == "absent"

    runner.submit(job)

    script = (tmp_path / "queued").read_text()
    assert "#SBATCH --job-name=defects-1.4567cdef\n" in script
    assert f"#SBATCH --output={shared}/defects-1.4567cdef.log\n" in script
    assert f"exit_file={shared}/defects-1.4567cdef.exit\n" in script
    assert "export AUGMENT_SUBMISSION=defects-1\n" in script, "the heartbeat has the attempt's name"
    assert runner.status("defects-1", "4567cdef").state == "waiting"
    runner.cancel("defects-1", "4567cdef")
    assert (tmp_path / "cancelled").read_text() == "--me --name defects-1.4567cdef\n"

"""kill -9 of the driver, then the same command: it finishes, and the dataset is that of an undisturbed run.

A shard's key holds the digest of its bytes, so equal keys are equal datasets.
"""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from augment.objects import open_store
from augment.store.verification import verify
from tests.pipelines.conftest import keys

SET = ("--set", "train.steps=40", "--set", "output.shard_rows=1")


@pytest.fixture(scope="module")
def undisturbed(tmp_path_factory: pytest.TempPathFactory) -> dict[str, list[str]]:
    """Filled by the first test that finishes a run that nobody killed."""
    return {}


@pytest.mark.parametrize(
    ("stage", "sign_of_life"),
    [("training", "_models/small/snapshots/"), ("generation", "data/")],
    ids=["training", "generation"],
)
def test_a_job_killed_in_any_stage_finishes_as_if_it_had_not_been(
    config_file: Path, tmp_path: Path, stage: str, sign_of_life: str, undisturbed: dict[str, list[str]]
) -> None:
    if not undisturbed:
        assert run_job(config_file, tmp_path / "undisturbed").wait() == 0
        undisturbed["shards"] = keys(open_store(str(tmp_path / "undisturbed")), "data/")
    store = open_store(str(tmp_path / "killed"))

    first = run_job(config_file, tmp_path / "killed")
    wait_until(lambda: len(keys(store, sign_of_life)) > 2, first)
    os.kill(first.pid, signal.SIGKILL)
    first.wait()
    assert keys(store, "_snapshots/") == [], f"the job was over before it could be killed in {stage}"
    assert run_job(config_file, tmp_path / "killed").wait() == 0

    assert keys(store, "data/") == undisturbed["shards"]
    assert len(undisturbed["shards"]) == 33
    report = verify(store.uri, deep=True)
    assert report.ok, report.problems


def run_job(config_file: Path, output: Path) -> subprocess.Popen[bytes]:
    """`augment run` in a process of its own, with a Ray of its own."""
    command = [
        sys.executable,
        "-m",
        "pipelines.cli",
        "run",
        "-c",
        str(config_file),
        "--json",
        "--progress",
        "log",
    ]
    return subprocess.Popen(
        [*command, "--set", f"output.uri={output}", *SET],
        stdout=subprocess.DEVNULL,
        env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
    )


def wait_until(condition, process: subprocess.Popen[bytes], timeout_s: float = 200.0) -> None:
    """Poll until `condition()`; fail if the process ends first."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert process.poll() is None, "the job ended before it could be killed"
        assert time.monotonic() < deadline
        time.sleep(0.01)

"""kill -9, then the same command: what comes of it is what comes of an undisturbed run.

A generator's key and a shard's hold the digest of their bytes, so equal keys are equal models and datasets.
The undisturbed runs use this process's Ray; each killed one has a Ray of its own, of the same size.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import pytest

from augment.config import load_config
from augment.objects import open_store
from augment.store.models import ModelFolder
from augment.store.verification import verify
from pipelines.progress import Progress
from pipelines.run import generate, train
from tests.pipelines.conftest import Finished, keys, train_workers_below, wait_until

pytestmark = [pytest.mark.usefixtures("ray_and_s3"), pytest.mark.timeout(900)]

TRAINING = ["train.steps=120", "train.snapshot_every=4", "train.log_every=4", "train.evaluate_every=20"]


@pytest.mark.parametrize(
    ("workers", "killed"),
    [
        pytest.param(1, {25: "driver"}, id="one worker", marks=pytest.mark.slow),
        pytest.param(2, {25: "worker"}, id="two workers"),
        pytest.param(
            1,
            {25: "driver", 55: "worker", 85: "worker"},
            id="one worker, three times",
            marks=pytest.mark.slow,
        ),
        pytest.param(
            2,
            {25: "worker", 55: "driver", 85: "worker"},
            id="two workers, three times",
            marks=pytest.mark.slow,
        ),
    ],
)
def test_a_training_killed_at_these_steps_gives_the_generator_of_an_undisturbed_one(
    config_file: Path, quiet: Progress, tmp_path: Path, workers: int, killed: dict[int, str]
) -> None:
    settings = [*TRAINING, f"train.workers={workers}"]
    undisturbed, _ = train(
        load_config(config_file, [*settings, f"output.uri={tmp_path / 'undisturbed'}"]), quiet
    )
    folder = ModelFolder(open_store(str(tmp_path / "killed")), "small")

    job = start("train", config_file, tmp_path / "killed", settings)
    for step, victim in killed.items():
        running = job
        wait_until(lambda: (folder.latest_step() or 0) >= step, lambda: running.poll() is None)  # noqa: B023
        assert folder.finished() is None, f"training was over before step {step} was seen"
        if victim == "worker":
            os.kill(train_workers_below(job.pid)[-1], signal.SIGKILL)
        else:
            kill(job)
            job = start("train", config_file, tmp_path / "killed", settings)
    assert job.wait() == 0

    record = folder.finished()
    assert record == undisturbed
    assert record.steps == 120
    assert folder.judge() == ModelFolder(open_store(str(tmp_path / "undisturbed")), "small").judge()


@pytest.mark.slow  # CI kills a run with gates and recipes: test_recipes.py
def test_a_job_killed_in_generation_finishes_as_if_it_had_not_been(
    finished: Finished, quiet: Progress, tmp_path: Path
) -> None:
    settings = ["output.shard_rows=1"]
    for name in ("undisturbed", "killed"):
        shutil.copytree(Path(finished.result.uri) / "_models", tmp_path / name / "_models")
    generate(load_config(finished.config_file, [*settings, f"output.uri={tmp_path / 'undisturbed'}"]), quiet)
    store = open_store(str(tmp_path / "killed"))

    first = start("generate", finished.config_file, tmp_path / "killed", settings)
    wait_until(lambda: len(keys(store, "data/")) > 2, lambda: first.poll() is None)
    kill(first)
    assert keys(store, "_snapshots/") == [], "the job was over before it could be killed"
    assert start("generate", finished.config_file, tmp_path / "killed", settings).wait() == 0

    assert keys(store, "data/") == keys(open_store(str(tmp_path / "undisturbed")), "data/")
    report = verify(store.uri, deep=True)
    assert report.ok, report.problems
    assert report.rows == 33


def start(verb: str, config_file: Path, output: Path, settings: list[str]) -> subprocess.Popen[bytes]:
    """`augment <verb>` in a process of its own, with a Ray of its own."""
    options = [*settings, f"output.uri={output}", "ray.num_cpus=2"]
    command = [
        sys.executable,
        "-m",
        "pipelines.cli",
        verb,
        "-c",
        str(config_file),
        "--json",
        "--progress",
        "log",
    ]
    return subprocess.Popen(
        [*command, *(part for option in options for part in ("--set", option))],
        stdout=subprocess.DEVNULL,
        env={key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"},
    )


def kill(process: subprocess.Popen[bytes]) -> None:
    """kill -9 of a driver; then of its workers, which would train on until they miss it."""
    orphans = train_workers_below(process.pid)
    process.send_signal(signal.SIGKILL)
    process.wait()
    for pid in orphans:
        with suppress(ProcessLookupError):
            os.kill(pid, signal.SIGKILL)

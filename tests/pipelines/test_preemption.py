"""SIGTERM to the command: it ends in order and in time, and the same command goes on from that very place.

The driver has a Ray of its own, as embedded Ray does in a container and on a laptop. Undisturbed runs use this process's.
"""

from __future__ import annotations

import os
import shutil
import signal
import subprocess
import sys
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import pytest

from augment.config import load_config
from augment.errors import PartialError
from augment.objects import ObjectStore, open_store
from augment.objects.contract import TEMPORARY_DIR
from augment.store.heartbeat import stored_heartbeats
from augment.store.models import ModelFolder
from augment.store.verification import verify
from pipelines.progress import Progress
from pipelines.run import generate, train
from tests.pipelines.conftest import COUNTS, Finished, keys, wait_until
from tests.pipelines.test_endings import alive, below, lines_until
from tests.pipelines.test_kill import TRAINING

pytestmark = pytest.mark.timeout(600)

STOPPED = "stopped by SIGTERM; what is stored is kept, the same command goes on from there"


@contextmanager
def command(
    verb: str, config_file: Path, output: Path, settings: Sequence[str]
) -> Iterator[subprocess.Popen[str]]:
    """`augment <verb>` in a process of its own, with a Ray of its own, all of which have ended at the end."""
    options = [*settings, f"output.uri={output}", "ray.num_cpus=2"]
    arguments = [
        "-c",
        str(config_file),
        "--progress",
        "log",
        *(part for each in options for part in ("--set", each)),
    ]
    env = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    with subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", verb, *arguments],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=env,
    ) as running:  # fmt: skip
        try:
            yield running
        finally:
            running.kill()


def terminated(running: subprocess.Popen[str], store: ObjectStore | None = None) -> str:
    """What the command says on standard error from SIGTERM to its end, which is by the contract; in `store`, too."""
    started = below(running.pid)
    running.send_signal(signal.SIGTERM)
    printed, said = running.communicate(timeout=120)
    assert (running.returncode, printed) == (PartialError.exit_code, "")
    assert STOPPED in said
    assert "Traceback" not in said
    if store is not None:
        (heard,) = stored_heartbeats(store)
        assert (heard.record.exit_code, heard.record.last_error) == (5, "stopped by SIGTERM")
    wait_until(lambda: not started & alive(), lambda: True, timeout_s=60)
    return said


@pytest.mark.slow
def test_a_training_takes_a_snapshot_and_goes_on_from_that_step(config_file: Path, tmp_path: Path) -> None:
    settings = [
        "train.steps=1000000",
        "train.snapshot_every=1000000",
        "train.evaluate_every=0",
        "train.workers=2",
    ]
    folder = ModelFolder(open_store(str(tmp_path / "out")), "small")

    with command("train", config_file, tmp_path / "out", settings) as running:
        for _ in lines_until(running, "of 1000000 steps"):
            pass
        said = terminated(running, folder.store)

    stopped_at = folder.latest_step()
    assert "SIGTERM: a snapshot is taken" in said
    assert stopped_at is not None
    assert stopped_at > 0
    with command("train", config_file, tmp_path / "out", settings) as running:
        for line in lines_until(running, "going on from step"):
            last = line
        assert f"going on from step {stopped_at}" in last
        terminated(running)


@pytest.mark.slow
@pytest.mark.usefixtures("ray_and_s3")
@pytest.mark.parametrize("workers", [1, 2])
def test_a_training_that_was_terminated_twice_gives_the_generator_of_an_undisturbed_one(
    config_file: Path, quiet: Progress, tmp_path: Path, workers: int
) -> None:
    settings = [*TRAINING, f"train.workers={workers}"]
    undisturbed, _ = train(
        load_config(config_file, [*settings, f"output.uri={tmp_path / 'undisturbed'}"]), quiet
    )
    folder = ModelFolder(open_store(str(tmp_path / "out")), "small")

    for step in (25, 65):
        with command("train", config_file, tmp_path / "out", settings) as running:
            wait_until(lambda: (folder.latest_step() or 0) >= step, lambda: running.poll() is None)  # noqa: B023
            terminated(running)
        assert folder.finished() is None, f"training was over before step {step} was seen"
    with command("train", config_file, tmp_path / "out", settings) as running:
        running.communicate()
        assert running.returncode == 0

    assert folder.finished() == undisturbed


@pytest.mark.slow
@pytest.mark.usefixtures("ray_and_s3")
def test_a_generation_finishes_the_shards_that_it_has_begun_and_leaves_nothing_half(
    finished: Finished, quiet: Progress, tmp_path: Path
) -> None:
    settings = ["output.shard_rows=1", "balance.strategy={dots: 200, rings: 200}"]
    shards = 2 * 200 - COUNTS["dots"] - COUNTS["rings"]
    for name in ("undisturbed", "out"):
        shutil.copytree(Path(finished.result.uri) / "_models", tmp_path / name / "_models")
    generate(load_config(finished.config_file, [*settings, f"output.uri={tmp_path / 'undisturbed'}"]), quiet)
    store = open_store(str(tmp_path / "out"))

    with command("generate", finished.config_file, tmp_path / "out", settings) as running:
        wait_until(lambda: len(keys(store, "data/")) > 2, lambda: running.poll() is None)
        said = terminated(running, store)

    assert "SIGTERM: shards that are begun are finished" in said
    made = keys(store, "data/")
    assert 2 < len(made) < shards
    assert keys(store, "_snapshots/") == []
    unfinished = tmp_path / "out" / TEMPORARY_DIR
    assert not unfinished.exists() or list(unfinished.iterdir()) == []
    with command("generate", finished.config_file, tmp_path / "out", settings) as running:
        _, said = running.communicate()
        assert running.returncode == 0
    assert f"{len(made)} of {shards} shards are there already" in said
    assert keys(store, "data/") == keys(open_store(str(tmp_path / "undisturbed")), "data/")
    assert verify(store.uri, deep=True).ok


@pytest.mark.slow
def test_before_training_there_is_nothing_to_wait_for(config_file: Path, tmp_path: Path) -> None:
    with command("train", config_file, tmp_path / "out", []) as running:
        for _ in lines_until(running, "census: done"):
            pass
        said = terminated(running, open_store(str(tmp_path / "out")))
    assert "SIGTERM:" not in said

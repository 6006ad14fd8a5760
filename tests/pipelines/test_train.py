"""The Ray side of training: lost workers, how many there are, fine-tuning, and what reaches the driver."""

from __future__ import annotations

import dataclasses
import json
import logging
import os
import shutil
import signal
import threading
from pathlib import Path

import numpy as np
import pytest
import ray
import torch

from augment.config import Config, load_config
from augment.errors import ConfigError
from augment.gan.config import TrainConfig
from augment.gan.critic import frozen_critic
from augment.gan.generator import read_info
from augment.gan.report import Report
from augment.objects import open_store
from augment.store.models import ModelFolder
from pipelines.board import logging_to, new_board, watching
from pipelines.cluster import Cluster
from pipelines.look import load_real_samples
from pipelines.progress import Progress, log
from pipelines.run import train
from pipelines.train import _count_of_workers, _cpus_per_worker, _failure_config, _ray_train_settings, _show
from pipelines.train_worker import Begun
from tests.pipelines.conftest import Finished, png, train_workers_below, wait_until

TIMEOUT = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
FOUR_CPUS = Cluster(cpus=4, cpus_per_node=4, gpus=0, scratch=None)


@pytest.mark.slow  # CI kills one of two workers too: test_kill.py
@pytest.mark.usefixtures("ray_and_s3")
@pytest.mark.timeout(600)
def test_an_elastic_training_outlives_a_lost_worker(config_file: Path, quiet: Progress) -> None:
    config = load_config(
        config_file,
        ["train.workers=[1,2]", "train.steps=80", "train.evaluate_every=0", "train.max_failures=1"],
    )
    folder = ModelFolder(open_store(config.output.uri), config.name)
    lost: list[int] = []

    def lose_a_worker() -> None:
        wait_until(lambda: (folder.latest_step() or 0) >= 10, lambda: True)
        lost.append(train_workers_below(os.getpid())[-1])
        os.kill(lost[0], signal.SIGKILL)

    thread = threading.Thread(target=lose_a_worker, daemon=True)
    thread.start()
    record, _ = train(config, quiet)
    thread.join(10)

    assert len(lost) == 1
    assert (record.steps, record.ended) == (80, "steps")


@pytest.fixture
def grown(finished: Finished, tmp_path: Path) -> tuple[Config, Path]:
    """Next month's data, one class more; and a copy of the earlier model's dataset to start from."""
    earlier = tmp_path / "earlier"
    shutil.copytree(Path(finished.result.uri) / "_models", earlier / "_models")
    source = finished.config_file.parent / "train"
    shutil.copytree(source, tmp_path / "grown")
    for index in range(8):
        path = tmp_path / "grown" / "waves" / f"{index}.png"
        path.parent.mkdir(exist_ok=True)
        path.write_bytes(png(np.full((16, 16), 20 * index, np.uint8)))
    settings = [
        f"source.uri={tmp_path / 'grown'}", f"output.uri={tmp_path / 'out'}", "train.evaluate_every=0",
        f"train.start_from={earlier}/_models/small", "train.workers=1",
    ]  # fmt: skip
    return load_config(finished.config_file, settings), earlier


@pytest.mark.slow
def test_fine_tuning_is_pinned_to_the_snapshot_that_it_started_from(
    grown: tuple[Config, Path], capsys: pytest.CaptureFixture[str]
) -> None:
    config, earlier = grown
    record, _ = train(config, Progress("log"))

    assert record.steps == 4
    assert "3 classes known, 1 new (waves)" in capsys.readouterr().err
    out = Path(config.output.uri) / "_models" / "small"
    assert len(json.loads((out / "training.json").read_bytes())["start_sha256"]) == 64

    shutil.rmtree(earlier)  # the earlier model has gone, or gone on: the digest is what counts
    (out / "model.json").unlink()
    again, _ = train(config, Progress("none"))
    assert again.sha256 == record.sha256


def test_a_finished_model_has_the_critic_of_its_generators_own_step(finished: Finished) -> None:
    folder = ModelFolder(open_store(finished.result.uri), "small")
    record = folder.finished()
    assert record is not None
    assert record.critic_key is not None
    assert record.critic_sha256 is not None
    data = folder.store.get(record.critic_key)
    generator = read_info(folder.store.get(record.key))
    pixels = np.concatenate(list(load_real_samples(folder).values()))

    with frozen_critic(data, sha256=record.critic_sha256, device=torch.device("cpu")) as critic:
        assert critic.info.steps == generator.steps == record.best_step
        assert critic.info.data_sha256 == generator.data_sha256
        scores = critic(pixels, np.zeros(len(pixels), np.int64))
    assert np.isfinite(scores).all()
    assert scores.std() > 0


def test_fine_tuning_from_a_folder_without_snapshots_is_refused(
    grown: tuple[Config, Path], quiet: Progress
) -> None:
    config, earlier = grown
    shutil.rmtree(earlier / "_models" / "small" / "snapshots")

    with pytest.raises(ConfigError, match=r"train\.start_from=.*earlier.* holds no snapshot"):
        train(config, quiet)


@ray.remote
def _worker_that_logs(board: object) -> None:
    with logging_to(board):
        log.warning("train: step 7: mode collapse; going back to step 5")
        log.debug("not for the user")
    log.warning("after the end")


@pytest.mark.usefixtures("ray_and_s3")
def test_what_a_worker_logs_reaches_the_drivers_log(caplog: pytest.LogCaptureFixture) -> None:
    board, events = new_board(), []
    log.addHandler(caplog.handler)
    try:
        with watching(board, events.append):
            ray.get(_worker_that_logs.remote(board))
            ray.get(board.post.remote("an event"))
    finally:
        log.removeHandler(caplog.handler)

    assert caplog.messages == ["train: step 7: mode collapse; going back to step 5"]
    assert caplog.records[0].levelno == logging.WARNING
    assert events == ["an event"]


def test_cpus_are_shared_by_the_most_workers_that_may_come() -> None:
    assert _cpus_per_worker(TrainConfig(workers=(1, 2)), FOUR_CPUS, "cpu") == 2
    assert _cpus_per_worker(TrainConfig(workers=2), FOUR_CPUS, "cpu") == 2
    assert _cpus_per_worker(TrainConfig(workers=(1, 8)), FOUR_CPUS, "cpu") == 0.5
    assert _cpus_per_worker(TrainConfig(workers=(1, 8), cpus_per_worker=3.0), FOUR_CPUS, "cpu") == 3


def test_an_elastic_start_is_tried_often_and_briefly_unless_the_user_says_otherwise(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.delenv(TIMEOUT, raising=False)
    for workers, seconds in (((1, 2), 10), (2, 60)):
        train_config = TrainConfig(workers=workers, max_failures=0)
        with _ray_train_settings(train_config, FOUR_CPUS):
            assert os.environ[TIMEOUT] == str(seconds)
        assert TIMEOUT not in os.environ
        assert _failure_config(train_config).controller_failure_limit * seconds == 240
    monkeypatch.setenv(TIMEOUT, "7")
    with _ray_train_settings(TrainConfig(workers=(1, 2)), FOUR_CPUS):
        assert os.environ[TIMEOUT] == "7"


def test_nodes_that_may_announce_their_end_are_watched_on_a_joined_cluster_alone(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    watched = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"
    monkeypatch.delenv(watched, raising=False)
    with _ray_train_settings(TrainConfig(), dataclasses.replace(FOUR_CPUS, scratch="/tmp/here")):
        assert os.environ[watched] == "0"
    for several in (FOUR_CPUS, dataclasses.replace(FOUR_CPUS, joined=True)):
        with _ray_train_settings(TrainConfig(), several):
            assert watched not in os.environ


def test_workers_that_have_started_are_told_and_then_their_first_report_is_waited_for(
    capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.progress.STILL_EVERY_S", 0.0)
    monkeypatch.setattr("pipelines.progress.LOG_EVERY_S", 0.0)
    settings = TrainConfig(log_every=50)
    handlers, level, propagate = log.handlers[:], log.level, log.propagate
    try:
        with Progress("none").stage("train", total=200, unit="steps") as stage:
            Progress("log")
            stage.waits_for(f"{_count_of_workers(settings)} to start")
            stage.tell_silence()
            _show(stage, Begun(workers=2), settings)
            stage.tell_silence()
            _show(stage, Report(step=50, images_seen=1600, images_per_second=9.0, values={}), settings)
            stage.tell_silence()
    finally:
        log.handlers[:], log.propagate = handlers, propagate
        log.setLevel(level)
    said = [
        line.partition(" INFO ")[2].partition(", 0 s")[0] for line in capsys.readouterr().err.splitlines()
    ]
    assert said[:4] == [
        "train: still waiting for 1 worker(s) to start",
        "train: 2 worker(s) started",
        "train: still waiting for the first report, which comes each 50 steps (train.log_every)",
        "train: 50 of 200 steps, still at work: no news for 0 s",
    ]
    assert _count_of_workers(TrainConfig(workers=(1, 4))) == "1 to 4 worker(s)"

"""Ray Train: decoded images → a generator and its critic, on n workers, from the last snapshot if any.

Owns the worker group (how many, what each reserves, how long Ray tries) and how the end is told. What a training is
known by is pipelines.training_identity's; what a worker does, pipelines.train_worker's; where files lie,
augment.store.models'.
"""

import os
import signal
import threading
import uuid
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

import ray
import ray.train
import ray.train.torch
from ray.train import FailureConfig, RunConfig, ScalingConfig

from augment.config import Config
from augment.errors import PartialError
from augment.gan.config import TrainConfig
from augment.gan.report import Report
from augment.gan.spec import TrainingSpec
from augment.store.models import ModelFolder, ModelRecord
from pipelines.board import new_board, watching
from pipelines.cluster import Cluster, Device, ray_errors
from pipelines.ingest import DecodedImages
from pipelines.judge import judge_for
from pipelines.progress import Progress, Stage, log
from pipelines.pulse import STALLED
from pipelines.room import training_needs, with_room
from pipelines.stopping import in_order
from pipelines.train_worker import Begun, TrainJob, train_worker
from pipelines.training_identity import pin_training

__all__ = ["fit"]

START_TIMEOUT = "RAY_TRAIN_WORKER_GROUP_START_TIMEOUT_S"
PREEMPTION_WATCHER = "RAY_TRAIN_ENABLE_PREEMPTION_WATCHER"
START_TIMEOUT_S = 60  # Ray's own: a cluster may have to add a node first
ELASTIC_START_TIMEOUT_S = 10  # a lost node is counted on at first: find out soon, and start with what is left
START_PATIENCE_S = 240  # Ray's own default tries for ever to start a worker group


def fit(
    config: Config,
    folder: ModelFolder,
    images: DecodedImages,
    spec: TrainingSpec,
    *,
    cluster: Cluster,
    progress: Progress,
    ends_at: float | None = None,
) -> ModelRecord:
    """Train to the end, or from the last snapshot to the end, and publish the generator and its critic.

    `ends_at` (seconds since 1970; None: no limit) is when the budget for training is over: it then ends well.

    Raises DivergenceError where training fails for good (and the snapshots are from before), ConfigError where
    the name is taken, GPUs are missing or memory does not do, RetryLaterError where nodes did not come,
    PartialError where workers were lost too often or hung. On SIGTERM a snapshot is taken before KeyboardInterrupt.
    """
    pin_training(folder, spec)
    train = spec.train
    cluster = with_room(cluster, training_needs(train), what="training")
    least, _ = train.worker_range
    device = cluster.device_for(train.device, processes=least, field="train.device")
    if cluster.joined and train.device == "auto" and device == "cpu":
        log.warning(
            "train: on CPUs, as the cluster is now; train.device=gpu would wait for GPUs (ray.wait_s)"
        )
    judge = judge_for(spec, folder, images, cluster=cluster, device=device, progress=progress)
    board = new_board()
    job = TrainJob(
        spec=spec.to_json(), store_uri=folder.store.uri, name=config.name, pixels=[images.pixels],
        class_index=[images.class_index], start_uri=_start_uri(train), judge=judge, board=board,
        threads=_threads(train, cluster, device), stall_timeout_s=config.ray.stall_timeout_s,
        ends_at=ends_at,
    )  # fmt: skip
    with progress.stage("train", total=train.budget_steps, unit="steps") as stage:

        def show(news: Begun | Report) -> None:
            _show(stage, news, train)

        latest = folder.latest_step()
        log.info("train: %s", f"going on from step {latest}" if latest else "starting workers")
        stage.waits_for(f"{_count_of_workers(train)} to start")
        with (
            in_order("a snapshot is taken", board.ask_to_stop.remote),
            _told_of_stalls(board),
            ray_errors("training"),
            watching(board, show),
            _ray_train_settings(train, cluster),
            _python_ctrl_c(),
        ):
            _trainer(job, train, folder, cluster, device).fit()
    record = folder.finished()
    assert record is not None  # noqa: S101  # rank 0 published it before fit() returned
    log.info("train: %s", _describe_end(record))
    log.info("train: %s", folder.store.uri_of(record.key))
    return record


def _trainer(
    job: TrainJob, train: TrainConfig, folder: ModelFolder, cluster: Cluster, device: Device
) -> ray.train.torch.TorchTrainer:
    return ray.train.torch.TorchTrainer(
        train_worker,
        train_loop_config={"job": job},
        scaling_config=_scaling(train, cluster, device),
        run_config=RunConfig(
            name=f"{job.name}-{uuid.uuid4().hex[:8]}",  # Ray's own state of one attempt; ours is in the store
            storage_path=_ray_storage(folder, cluster),
            failure_config=_failure_config(train),
        ),
    )


@contextmanager
def _told_of_stalls(board: Any) -> Iterator[None]:
    """Where workers were lost because they ended themselves, the error says so.

    PartialError: what is stored is kept, and another start from the snapshot may well pass the place.
    """
    try:
        yield
    except PartialError as error:
        stalled = ray.get(board.noted.remote(STALLED))
        if stalled is None:
            raise
        raise PartialError(
            f"training stopped: {stalled}; the log says where each of its threads was. What is stored is kept, run the "
            "same command again to go on"
        ) from error


def _start_uri(train: TrainConfig) -> str | None:
    """Where fine-tuning starts from, in full: a relative path would mean another folder to a worker."""
    return (
        None if train.start_from is None else ModelFolder.at(train.start_from, field="train.start_from").uri
    )


@contextmanager
def _python_ctrl_c() -> Iterator[None]:
    """Ray Train takes Ctrl-C for itself and ends the process by SystemExit; give it back as what it is."""
    in_main_thread = threading.current_thread() is threading.main_thread()
    handler = signal.getsignal(signal.SIGINT)
    try:
        yield
    except SystemExit as stop:
        raise KeyboardInterrupt from stop
    finally:
        if in_main_thread:
            signal.signal(signal.SIGINT, handler)


def _scaling(train: TrainConfig, cluster: Cluster, device: Device) -> ScalingConfig:
    resources = {"CPU": _cpus_per_worker(train, cluster, device)}
    if device == "gpu":
        resources["GPU"] = 1
    return ScalingConfig(num_workers=train.workers, use_gpu=device == "gpu", resources_per_worker=resources)


def _cpus_per_worker(train: TrainConfig, cluster: Cluster, device: Device) -> float:
    if train.cpus_per_worker is not None:
        return train.cpus_per_worker
    if device == "gpu":
        return 1.0
    _, most = train.worker_range  # so that there is room for all of them
    share = min(cluster.cpus / most, cluster.cpus_per_node)
    return float(int(share)) if share >= 1 else share


def _threads(train: TrainConfig, cluster: Cluster, device: Device) -> int:
    """Intra-op threads a worker: Ray starts it with one, whatever it reserved."""
    return max(1, int(_cpus_per_worker(train, cluster, device)))


def _is_elastic(train: TrainConfig) -> bool:
    least, most = train.worker_range
    return least < most


@contextmanager
def _ray_train_settings(train: TrainConfig, cluster: Cluster) -> Iterator[None]:
    """What Ray Train takes from the environment, but for what the user has set there.

    How long it waits for all workers to start before it tries again. And on a cluster of our own nobody is watched who
    might announce that a node goes: that takes a process, which holds up the workers' start.
    """
    settings = {START_TIMEOUT: str(ELASTIC_START_TIMEOUT_S if _is_elastic(train) else START_TIMEOUT_S)}
    if cluster.scratch is not None:  # one node, and our own
        settings[PREEMPTION_WATCHER] = "0"
    ours = {name: value for name, value in settings.items() if name not in os.environ}
    os.environ.update(ours)
    try:
        yield
    finally:
        for name in ours:
            del os.environ[name]


def _failure_config(train: TrainConfig) -> FailureConfig:
    """`max_failures` workers may be lost, and as many while they start, which may be tried for START_PATIENCE_S besides."""
    timeout_s = ELASTIC_START_TIMEOUT_S if _is_elastic(train) else START_TIMEOUT_S
    return FailureConfig(
        max_failures=train.max_failures,
        controller_failure_limit=START_PATIENCE_S // timeout_s + train.max_failures,
    )


def _ray_storage(folder: ModelFolder, cluster: Cluster) -> str:
    """Where Ray Train keeps its own bookkeeping: our snapshots do not lie there."""
    return cluster.scratch or folder.store.uri_of(f"{folder.root}/ray")


def _show(stage: Stage, news: Begun | Report, train: TrainConfig) -> None:
    """What the board brought: workers that have started, and are to report next, or a report."""
    if isinstance(news, Begun):
        log.info("train: %d worker(s) started", news.workers)
        stage.waits_for(f"the first report, which comes each {train.log_every} steps (train.log_every)")
        return
    stage.advance_to(news.step, _describe(news), limit_left_s=news.limit_left_s, step=news.step)


def _count_of_workers(train: TrainConfig) -> str:
    """As in `2 worker(s)`, or `1 to 4 worker(s)` of an elastic training."""
    least, most = train.worker_range
    return f"{least} worker(s)" if least == most else f"{least} to {most} worker(s)"


def _describe(report: Report) -> str:
    losses = ", ".join(f"{name} {report.values[name]:.3f}" for name in report.values if name.endswith("loss"))
    return f"{report.images_per_second:,.0f} images/s, {losses}"


def _describe_end(record: ModelRecord) -> str:
    """Why training stopped and which step is exported."""
    why = {
        "steps": "all steps done",
        "max_kimg": "train.max_kimg reached",
        "max_time": "train.max_time is over",
        "budget": "the budget's part for training is over",
        "plateau": "no better measurement any more, a plateau",
    }.get(record.ended or "", "done")
    exported = (
        "" if record.best_step is None else f"; step {record.best_step:,}, the best measured, is exported"
    )
    return f"{why} at step {record.steps:,}{exported}"

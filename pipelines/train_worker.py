"""One Ray Train worker, from its first line to its last: its rank's part in the training, and rank 0's errands.

Owns what a worker is sent and how it uses Ray: snapshots, the judge, progress and logs on rank 0, errors that
trying again cannot mend, and publishing the result. How many workers there are is pipelines.train's; the
training itself is augment.gan's.
"""

import logging
import time
from collections.abc import Callable, Mapping
from contextlib import closing, nullcontext
from dataclasses import dataclass
from typing import Any, NoReturn

import ray
import ray.train
import ray.train.torch
import torch
from torch import nn

from augment.errors import AugmentError, ConfigError, RetryLaterError
from augment.gan.critic import export_critic
from augment.gan.finetune import start_from
from augment.gan.generator import export_generator
from augment.gan.memory import is_out_of_memory
from augment.gan.report import Report
from augment.gan.spec import TrainingSpec
from augment.gan.stopping import StoppedError
from augment.gan.supervision import Evaluation, is_better
from augment.gan.training import RealImages, Replica, TrainState, train
from augment.objects import open_store
from augment.store.models import ClassQuality, JudgeRecord, ModelFolder
from augment.types import sha256_hex
from pipelines import metrics
from pipelines.board import LogLine, logging_to
from pipelines.evaluate import Evaluator, describe
from pipelines.judge import open_judge
from pipelines.progress import log
from pipelines.pulse import Pulse, beating
from pipelines.recorder import Recorder
from pipelines.snapshots import StoredSnapshots

__all__ = ["Begun", "TrainJob", "train_worker"]

CPU_BUCKET_MB = 2

MICRO_BATCHES = "micro-batches"
"""The board's note of how many parts a step is computed in, once it did not fit in memory whole."""


@dataclass(frozen=True)
class TrainJob:
    """What a worker is sent. References travel in lists, so that Ray hands them over unopened."""

    spec: bytes
    store_uri: str
    name: str
    pixels: list[ray.ObjectRef]
    class_index: list[ray.ObjectRef]
    start_uri: str | None  # of the model's folder that fine-tuning starts from
    judge: JudgeRecord | None
    board: Any
    threads: int
    stall_timeout_s: float
    ends_at: float | None = None  # seconds since 1970: when the budget for training is over


@dataclass(frozen=True, slots=True)
class Begun:
    """Rank 0's first word: all workers of its group have started."""

    workers: int


def train_worker(loop_config: dict[str, Any]) -> None:
    """One Ray Train worker, from its first line to its last."""
    job: TrainJob = loop_config["job"]
    _stop_if_hopeless(job.board)
    torch.set_num_threads(job.threads)
    folder = ModelFolder(open_store(job.store_uri), job.name)
    rank = ray.train.get_context().get_world_rank()
    is_first = rank == 0
    if is_first:
        job.board.post.remote(Begun(ray.train.get_context().get_world_size()))
    micro_batches = ray.get(job.board.noted.remote(MICRO_BATCHES)) or 1
    clock = metrics.SnapshotClock()

    def after_save(step: int) -> None:
        clock.restart()
        ray.train.report({"step": float(step)})  # every rank, equally often

    with (
        logging_to(job.board) if is_first else nullcontext(),
        beating(job.board, rank=rank, stall_timeout_s=job.stall_timeout_s) as pulse,
        closing(Recorder(folder, job.board)) if is_first else nullcontext() as recorder,
    ):
        snapshots = StoredSnapshots(
            folder,
            writes=is_first,
            beside=recorder.look if recorder else None,
            after_save=after_save,
        )
        try:
            with closing(snapshots):
                state, steps = _train(job, folder, snapshots, recorder, clock, pulse, micro_batches)
        except StoppedError:
            return  # as it was asked to: the driver finds a snapshot and no model
        except RetryLaterError:
            raise  # the store did not answer: a new worker group may find it again
        except AugmentError as error:
            ray.get(job.board.set_fatal.remote(error))  # the same data and seed would fail the same way again
            raise
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            _refuse_memory(job, rank, micro_batches, error)
    if is_first:
        _publish(
            folder, state, steps=max(steps, folder.latest_step() or 0), training_sha256=sha256_hex(job.spec)
        )


def _train(
    job: TrainJob,
    folder: ModelFolder,
    snapshots: StoredSnapshots,
    recorder: Recorder | None,
    clock: metrics.SnapshotClock,
    pulse: Pulse,
    micro_batches: int,
) -> tuple[TrainState, int]:
    """This rank's part in the training: the state to publish, and the last step that it reported."""
    context = ray.train.get_context()
    spec = TrainingSpec.model_validate_json(job.spec)
    images = RealImages(ray.get(job.pixels[0]), ray.get(job.class_index[0]))
    replica = Replica(
        rank=context.get_world_rank(),
        world_size=context.get_world_size(),
        device=ray.train.torch.get_device(),
        parallelize=_shared,
    )
    steps = 0

    def on_report(report: Report) -> None:
        nonlocal steps
        steps = report.step
        if recorder is not None:
            recorder.report(report)
            metrics.images_per_second("train", report.images_per_second)
            metrics.snapshot_age_seconds(clock.age_seconds)

    def start(state: TrainState) -> None:
        if job.start_uri is not None and spec.start_sha256 is not None:
            uri, sha256 = job.start_uri, spec.start_sha256
            transfer = start_from(state, replica.agree(lambda: _start_files(uri, sha256)))
            if replica.rank == 0:
                log.info("train: starting from %s: %s", uri, transfer)

    state = train(
        spec,
        images,
        replica=replica,
        snapshots=snapshots,
        start=start,
        evaluate=_evaluate(job, folder, spec, images, replica.device, pulse) if replica.rank == 0 else None,
        on_report=on_report,
        pulse=pulse,
        micro_batches=micro_batches,
        seconds_left=None if job.ends_at is None else max(0.0, job.ends_at - time.time()),
    )
    return state, steps


def _shared(network: nn.Module) -> nn.Module:
    """The network on this worker's device, its gradients shared by DistributedDataParallel where there are several.

    On CPUs they travel in small buckets: the first are under way while a network of a few megabytes is still in its
    backward pass. Sums over two workers don't depend on it.
    """
    settings: dict[str, Any] = {"gradient_as_bucket_view": True}
    if ray.train.torch.get_device().type == "cpu":
        settings["bucket_cap_mb"] = CPU_BUCKET_MB
    shared: nn.Module = ray.train.torch.prepare_model(network, parallel_strategy_kwargs=settings)
    return shared


def _evaluate(
    job: TrainJob,
    folder: ModelFolder,
    spec: TrainingSpec,
    images: RealImages,
    device: torch.device,
    pulse: Pulse,
) -> Callable[[TrainState], Evaluation] | None:
    """Rank 0's measurement, which tells the log; None where this training has none."""
    if job.judge is None:
        return None
    measure = Evaluator(spec, images, open_judge(folder, job.judge, device=device), device=device)

    def evaluate(state: TrainState) -> Evaluation:
        pulse.beat()
        evaluation = measure(state)
        pulse.beat()
        log.info("train: %s", describe(evaluation, best=is_better(evaluation, state.watch.best)))
        return evaluation

    return evaluate


def _refuse_memory(job: TrainJob, rank: int, micro_batches: int, error: BaseException) -> NoReturn:
    """Have the next workers compute each step in halves; ConfigError, for good where that was tried already."""
    train = TrainingSpec.model_validate_json(job.spec).train
    what = f"worker {rank} is out of memory ({_first_line(error)})"
    if micro_batches > 1:
        refused = ConfigError(
            f"training: {what}, though each step was computed in halves; lower model.width or "
            f"train.batch_size={train.batch_size} (under another `name`: it is another model), or add train.workers"
        )
        ray.get(job.board.set_fatal.remote(refused))
        raise refused from error
    again = "from the last snapshot on, each step is computed in halves: the same updates, up to rounding"
    ray.get([
        job.board.note.remote(MICRO_BATCHES, 2),
        job.board.post.remote(LogLine(logging.WARNING, f"train: {what}; {again}")),
    ])  # fmt: skip
    raise ConfigError(
        f"training: {what}; train.max_failures leaves no try with half as much at a time: raise it, or lower model.width "
        f"or train.batch_size={train.batch_size}"
    ) from error


def _first_line(error: BaseException) -> str:
    return f"{type(error).__name__}: {error}".partition("\n")[0]


def _publish(folder: ModelFolder, state: TrainState, *, steps: int, training_sha256: str) -> None:
    best = state.watch.best
    quality = (
        ClassQuality(name=one.name, frechet=one.frechet, recall=one.recall, label_accuracy=one.label_accuracy)
        for one in (best.classes if best is not None else ())
    )
    folder.publish(
        export_generator(state),
        critic=export_critic(state),
        steps=steps,
        training_sha256=training_sha256,
        ended=state.watch.ended,
        best_step=state.step if best is not None else None,
        evaluation=tuple(quality),
    )


def _start_files(uri: str, sha256: str) -> Mapping[str, bytes]:
    """The snapshot that this training was pinned to start from."""
    files = ModelFolder.at(uri, field="train.start_from").snapshot_of(sha256)
    if files is None:
        raise ConfigError(
            f"train.start_from={uri} no longer holds the snapshot {sha256[:16]} that this training was to start "
            "from; set `name` to something new to start from the one that is there now"
        )
    return files


def _stop_if_hopeless(board: Any) -> None:
    fatal = ray.get(board.fatal.remote())
    if fatal is not None:
        raise fatal

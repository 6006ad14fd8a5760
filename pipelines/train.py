"""Ray Train: decoded images → a trained generator, on n workers, from the last snapshot if there is one.

Owns the worker group and what each worker hands back on the way: snapshots, pictures, curves, progress.
The training itself is augment.gan's, which knows nothing of Ray; where files lie is augment.store.models'.
"""

import signal
import threading
import uuid
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any

import ray
import ray.train
import ray.train.torch
import torch
from ray.train import FailureConfig, RunConfig, ScalingConfig

from augment.config import Config
from augment.errors import AugmentError, ConfigError, RetryLaterError
from augment.gan.generator import export_generator
from augment.gan.spec import TrainingSpec
from augment.gan.training import RealImages, Replica, Report, TrainState, train
from augment.objects import open_store
from augment.store.models import ModelFolder, ModelRecord, SourceRecord
from augment.types import sha256_hex
from pipelines.board import new_board, watching
from pipelines.cluster import Cluster, ray_errors
from pipelines.ingest import DecodedImages
from pipelines.progress import Progress, log
from pipelines.recorder import Recorder

__all__ = ["fit", "pin_training", "training_spec"]

CONTROLLER_FAILURES = 3  # Ray's own default tries for ever to start a worker group


def training_spec(config: Config, source: SourceRecord) -> TrainingSpec:
    """Everything that decides the weights: the config's part, and what decoding the source found."""
    return TrainingSpec(
        model=config.model,
        train=config.train,
        image=config.image.shape,
        classes=source.counts.classes,
        counts=source.counts.counts,
        seed=config.seed,
        data_sha256=source.decoded_sha256,
    )


def pin_training(folder: ModelFolder, spec: TrainingSpec) -> None:
    """Claim the model's name for `spec`; ConfigError with the differences where it means another training."""
    stored = TrainingSpec.model_validate_json(folder.pin_training(spec.to_json()))
    if differences := spec.differences(stored):
        raise ConfigError(
            f"{folder.store.uri_of(folder.root)} was begun with another configuration:\n  "
            + "\n  ".join(differences)
            + "\nset `name` to something new for a new model, or undo the change to go on with this one"
        )


def fit(
    config: Config,
    folder: ModelFolder,
    images: DecodedImages,
    spec: TrainingSpec,
    *,
    cluster: Cluster,
    progress: Progress,
) -> ModelRecord:
    """Train to the end, or from the last snapshot to the end, and publish the generator.

    Raises DivergenceError on a non-finite loss, ConfigError where the name is taken or GPUs are missing.
    """
    pin_training(folder, spec)
    device = cluster.device_for(config.train.device, processes=config.train.workers, field="train.device")
    board = new_board()
    job = _Job(
        spec=spec.to_json(), store_uri=folder.store.uri, name=config.name, pixels=[images.pixels],
        class_index=[images.class_index], board=board, threads=_threads(config, cluster, device),
    )  # fmt: skip
    with progress.stage("train", total=config.train.steps, unit="steps") as stage:

        def show(report: Report) -> None:
            stage.advance_to(report.step, _describe(report))

        trainer = ray.train.torch.TorchTrainer(
            _worker,
            train_loop_config={"job": job},
            scaling_config=_scaling(config, cluster, device),
            run_config=RunConfig(
                name=f"{config.name}-{uuid.uuid4().hex[:8]}",  # Ray's own state of one attempt; ours is in the store
                storage_path=_ray_storage(folder, cluster),
                failure_config=FailureConfig(
                    max_failures=config.train.max_failures, controller_failure_limit=CONTROLLER_FAILURES
                ),
            ),
        )
        latest = folder.latest_step()
        log.info("train: %s", f"going on from step {latest}" if latest else "starting workers")
        with ray_errors("training"), watching(board, show), _python_ctrl_c():
            trainer.fit()
    record = folder.finished()
    assert record is not None  # noqa: S101  # rank 0 published it before fit() returned
    log.info("train: %s", folder.store.uri_of(record.key))
    return record


@dataclass(frozen=True)
class _Job:
    """What a worker is sent. References travel in lists, so that Ray hands them over unopened."""

    spec: bytes
    store_uri: str
    name: str
    pixels: list[ray.ObjectRef]
    class_index: list[ray.ObjectRef]
    board: Any
    threads: int


def _worker(loop_config: dict[str, Any]) -> None:
    """One Ray Train worker, from its first line to its last."""
    job: _Job = loop_config["job"]
    _stop_if_hopeless(job.board)
    torch.set_num_threads(job.threads)
    context = ray.train.get_context()
    spec = TrainingSpec.model_validate_json(job.spec)
    folder = ModelFolder(open_store(job.store_uri), job.name)
    recorder = Recorder(folder, job.board) if context.get_world_rank() == 0 else None

    def on_report(report: Report) -> None:
        if recorder is not None:
            recorder.report(report)

    def on_snapshot(state: TrainState) -> None:
        if recorder is not None:
            recorder.snapshot(state)
        ray.train.report({"step": float(state.step)})  # every rank, equally often

    try:
        state = train(
            spec,
            RealImages(ray.get(job.pixels[0]), ray.get(job.class_index[0])),
            replica=Replica(
                rank=context.get_world_rank(),
                world_size=context.get_world_size(),
                device=ray.train.torch.get_device(),
                parallelize=ray.train.torch.prepare_model,
            ),
            resume=_snapshot_for_all(folder),
            on_report=on_report,
            on_snapshot=on_snapshot,
        )
    except RetryLaterError:
        raise  # the store did not answer: a new worker group may find it again
    except AugmentError as error:
        ray.get(job.board.set_fatal.remote(error))  # the same data and seed would fail the same way again
        raise
    finally:
        if recorder is not None:
            recorder.close()
    if recorder is not None:
        folder.publish(export_generator(state), steps=state.step, training_sha256=sha256_hex(job.spec))


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


def _snapshot_for_all(folder: ModelFolder) -> Mapping[str, bytes] | None:
    """The newest snapshot, as rank 0 found it: another driver may be writing the next one meanwhile."""
    found = [folder.latest_snapshot() if ray.train.get_context().get_world_rank() == 0 else None]
    if torch.distributed.is_initialized():
        torch.distributed.broadcast_object_list(found, src=0)
    return found[0]


def _stop_if_hopeless(board: Any) -> None:
    fatal = ray.get(board.fatal.remote())
    if fatal is not None:
        raise fatal


def _scaling(config: Config, cluster: Cluster, device: str) -> ScalingConfig:
    resources = {"CPU": _cpus_per_worker(config, cluster, device)}
    if device == "gpu":
        resources["GPU"] = 1
    return ScalingConfig(
        num_workers=config.train.workers, use_gpu=device == "gpu", resources_per_worker=resources
    )


def _cpus_per_worker(config: Config, cluster: Cluster, device: str) -> float:
    if config.train.cpus_per_worker is not None:
        return config.train.cpus_per_worker
    if device == "gpu":
        return 1.0
    share = min(cluster.cpus / config.train.workers, cluster.cpus_per_node)
    return float(int(share)) if share >= 1 else share


def _threads(config: Config, cluster: Cluster, device: str) -> int:
    """Intra-op threads a worker: Ray starts it with one, whatever it reserved."""
    return max(1, int(_cpus_per_worker(config, cluster, device)))


def _ray_storage(folder: ModelFolder, cluster: Cluster) -> str:
    """Where Ray Train keeps its own bookkeeping: our snapshots do not lie there."""
    return cluster.scratch or folder.store.uri_of(f"{folder.root}/ray")


def _describe(report: Report) -> str:
    losses = ", ".join(f"{name} {report.values[name]:.3f}" for name in report.values if name.endswith("loss"))
    return f"{report.images_per_second:,.0f} images/s, {losses}"

"""The judge of a training: a small classifier of the user's real images, fitted once before the first step.

Owns how long it is fitted, on what, and that it is fitted once a model: a resumed run measures with the same
bytes. What it is good for is pipelines.evaluate's.
"""

import time
from collections.abc import Callable
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
import torch

from augment.gan.spec import TrainingSpec
from augment.gan.state import resolve_precision
from augment.objects import open_store
from augment.quality.classifier import Classifier, fit_classifier
from augment.store.models import JudgeRecord, ModelFolder
from pipelines.board import new_board, watching
from pipelines.cluster import Cluster, Device, ray_errors
from pipelines.evaluate import measured_classes, why_not_measured
from pipelines.ingest import DecodedImages
from pipelines.progress import Progress, log

__all__ = ["judge_for", "judge_steps", "open_judge"]

BATCH_SIZE = 128
MOST_STEPS = 400  # 25 s for the demo on two cores
STEPS_A_CLASS = 20  # where there are many, so that each is seen often enough
IMAGES_SHARE = 0.5  # of the images of the planned training: one costs about a fifth of a GAN's
TIME_SHARE = 0.05  # of `max_time`
TIMED_STEPS = 3  # to know the speed by
MOST_THREADS = 8  # more don't help with so small a network


def judge_steps(spec: TrainingSpec) -> int:
    """Steps that the judge is fitted for, at least 1: few where the training itself is short."""
    planned_images = spec.train.budget_steps * spec.train.batch_size
    wanted = max(MOST_STEPS, STEPS_A_CLASS * len(spec.classes))
    return max(1, min(wanted, int(IMAGES_SHARE * planned_images / BATCH_SIZE)))


def judge_for(
    spec: TrainingSpec,
    folder: ModelFolder,
    images: DecodedImages,
    *,
    cluster: Cluster,
    device: Device,
    progress: Progress,
) -> JudgeRecord | None:
    """The model's judge, fitted now if it has none; None where quality is not measured.

    Raises DivergenceError on a non-finite loss.
    """
    if (reason := why_not_measured(spec)) is not None:
        log.info("judge: quality is not measured while training: %s", reason)
        return None
    measured = set(measured_classes(spec))
    if left_out := [info.name for index, info in enumerate(spec.classes) if index not in measured]:
        log.info("judge: too few real images, or too many classes, to measure %s", _shortened(left_out))
    if (known := folder.judge()) is not None:
        return known
    board = new_board()
    cpus = max(1, min(MOST_THREADS, int(cluster.cpus_per_node)))
    fitting = _fit.options(num_cpus=min(cpus, cluster.cpus_per_node), num_gpus=int(device == "gpu"))
    with progress.stage("judge", total=judge_steps(spec), unit="steps") as stage:

        def show(event: tuple[int, float]) -> None:
            done, loss = event
            stage.advance_to(done, f"loss {loss:.3f}")

        with ray_errors("fitting the judge"), watching(board, show):
            record = ray.get(
                fitting.remote(
                    images.pixels, images.class_index, spec.to_json(), folder.store.uri, folder.name,
                    device, cpus, board,
                )
            )  # fmt: skip
    return JudgeRecord.model_validate_json(record)


def _shortened(names: list[str]) -> str:
    return ", ".join(names[:10]) + (f" and {len(names) - 10} more" if names[10:] else "")


def open_judge(folder: ModelFolder, record: JudgeRecord, *, device: torch.device) -> Classifier:
    """The fitted judge; IntegrityError where its file is damaged."""
    return Classifier.from_bytes(folder.store.get(record.key), sha256=record.sha256, device=device)


@ray.remote
def _fit(
    pixels_NHWC: npt.NDArray[np.uint8],
    class_index_N: npt.NDArray[np.int64],
    spec_json: bytes,
    store_uri: str,
    name: str,
    device: Device,
    threads: int,
    board: Any,
) -> bytes:
    """Fit, store, and return the record: alone on its CPUs, since training has not begun."""
    torch.set_num_threads(threads)
    spec = TrainingSpec.model_validate_json(spec_json)
    computes_on = torch.device("cuda" if device == "gpu" else "cpu")

    def fit(steps: int, log: Callable[[int, float], None] | None = None) -> Classifier:
        return fit_classifier(
            pixels_NHWC,
            class_index_N,
            len(spec.classes),
            seed=spec.seed,
            steps=steps,
            batch_size=BATCH_SIZE,
            horizontal_flip=spec.train.horizontal_flip,
            vertical_flip=spec.train.vertical_flip,
            precision="bf16" if resolve_precision(spec.train.precision, computes_on) == "bf16" else "fp32",
            device=computes_on,
            log=log,
        )

    steps = judge_steps(spec)
    if (limit_s := spec.train.max_time_s) is not None:
        fit(1)  # what is done once only
        begin_s = time.perf_counter()
        fit(TIMED_STEPS)
        step_s = (time.perf_counter() - begin_s) / TIMED_STEPS
        steps = max(1, min(steps, int(TIME_SHARE * limit_s / step_s)))
    judge = fit(steps, log=lambda done, loss: board.post.remote((done, loss)))
    folder = ModelFolder(open_store(store_uri), name)
    return folder.put_judge(judge.to_bytes()).to_json()

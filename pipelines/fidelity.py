"""A Ray task: a run's generated samples beside the real images, once they are committed.

Owns when it is done, in whose eyes, and what a user sees meanwhile. What is measured is augment.report's.

    _runs/<run>/neighbours.npz     put last: where it lies, everything was measured
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import ray
import torch

from augment.config import Config
from augment.objects import open_store
from augment.quality.gates import GateKeeper
from augment.report.fidelity import Examiner, generated_classes, measure_fidelity
from augment.report.fidelity_file import put_fidelity
from augment.report.first_samples import first_samples, shown_classes
from augment.report.neighbours import nearest_real, put_neighbours
from augment.store.models import GatesRecord, JudgeRecord, ModelFolder
from augment.store.reading import open_dataset
from augment.types import Record
from pipelines.cluster import Cluster, Device, ray_errors
from pipelines.ingest import DecodedImages
from pipelines.judge import open_judge
from pipelines.progress import Progress, log

__all__ = ["measure_run"]

_MOST_THREADS = 8  # more don't help with so small a network
_SHOWN, _MOST_CLASSES = 10, 100  # samples a class, and classes, whose nearest real images are kept


class _Order(Record):
    """What the task is to do."""

    uri: str
    version: int
    run_id: str
    samples: int
    model: str
    gates: GatesRecord | None
    judge: JudgeRecord | None


def measure_run(
    config: Config,
    folder: ModelFolder,
    version: int,
    run_id: str,
    images: Callable[[], DecodedImages],
    gates: GatesRecord | None,
    *,
    cluster: Callable[[], Cluster],
    progress: Progress,
) -> None:
    """Measure a run of a committed version.

    The eyes are the first of the gates' classifiers, else the training's judge; without either the nearest real
    images are looked for alone.
    """
    order = _Order(
        uri=folder.store.uri,
        version=version,
        run_id=run_id,
        samples=config.report.samples,
        model=folder.name,
        gates=gates,
        judge=None if gates else folder.judge(),
    )
    there = cluster()
    decoded = images()
    device = there.device_for("auto", processes=1, field="report")
    cpus = max(1, min(_MOST_THREADS, int(there.cpus_per_node)))
    task = _measure.options(num_cpus=min(cpus, there.cpus_per_node), num_gpus=int(device == "gpu"))
    with progress.stage("fidelity"), ray_errors("measuring fidelity"):
        ray.get(task.remote(decoded.pixels, decoded.class_index, order.to_json(), device, cpus))
    if order.gates is None and order.judge is None:
        log.info("fidelity: no classifier of the real images is at hand; only nearest images were looked for")


@ray.remote
def _measure(
    pixels_NHWC: npt.NDArray[np.uint8],
    class_index_N: npt.NDArray[np.int64],
    order_json: bytes,
    device: Device,
    threads: int,
) -> None:
    """Measure and store: alone on its CPUs, since everything is committed."""
    torch.set_num_threads(threads)
    order = _Order.model_validate_json(order_json)
    store, dataset = open_store(order.uri), open_dataset(order.uri, order.version)
    run = next(each for each in dataset.runs if each.plan.run_id == order.run_id)
    examiner = _examiner(order, pixels_NHWC, class_index_N, device)
    if examiner is not None and generated_classes(run):
        record = measure_fidelity(dataset, run, pixels_NHWC, class_index_N, examiner, samples=order.samples)
        put_fidelity(store, record)
    samples = first_samples(dataset, run, _SHOWN, shown_classes(run.plan.plan, _MOST_CLASSES))
    put_neighbours(store, order.run_id, nearest_real(samples, pixels_NHWC, class_index_N))


def _examiner(
    order: _Order, pixels_NHWC: npt.NDArray[np.uint8], class_index_N: npt.NDArray[np.int64], device: Device
) -> Examiner | None:
    store, computes_on = open_store(order.uri), torch.device("cuda" if device == "gpu" else "cpu")
    if order.gates is not None:
        data = store.get(order.gates.key)
        keeper = GateKeeper.from_bytes(data, sha256=order.gates.sha256, device=computes_on)
        return Examiner.of_gates(keeper, pixels_NHWC, class_index_N)
    if order.judge is not None:
        judge = open_judge(ModelFolder(store, order.model), order.judge, device=computes_on)
        return Examiner(judge, None)
    return None

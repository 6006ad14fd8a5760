"""Pictures of a run: real images beside committed synthetic ones, a row a class.

Owns which samples are shown. The synthetic ones are read back from the committed shards, so the picture
shows what a reader will get.
"""

import io

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from augment.report.contact_sheet import ContactRow, contact_sheet_png
from augment.store.decoding import decode_sample
from augment.store.models import ModelFolder
from augment.store.reading import Dataset, read_shard
from augment.types import RunPlan

__all__ = ["load_real_samples", "make_contact_sheet", "save_real_samples"]

MOST_CLASSES = 40
SAMPLES_A_SIDE = 10
_REAL_SAMPLES = "real-samples.npz"

Pixels = npt.NDArray[np.uint8]  # [B, H, W, C]


def save_real_samples(folder: ModelFolder, samples: list[Pixels]) -> None:
    """Keep a few real images of each class beside the model."""
    buffer = io.BytesIO()
    np.savez(buffer, *samples)
    folder.put_artefact(_REAL_SAMPLES, buffer.getvalue())


def load_real_samples(folder: ModelFolder) -> list[Pixels]:
    """Those images, in class order."""
    with np.load(io.BytesIO(folder.artefact(_REAL_SAMPLES)), allow_pickle=False) as arrays:
        return [arrays[f"arr_{index}"] for index in range(len(arrays.files))]


def make_contact_sheet(dataset: Dataset, run: RunPlan, real: list[Pixels]) -> bytes:
    """PNG bytes. Classes in the plan's order; of very many, the rarest and the largest."""
    shown = _shown_classes(run)
    synthetic = _committed_samples(dataset, run, shown)
    rows = [
        ContactRow(
            name=run.plan.classes[index].name,
            real_count=run.plan.classes[index].real,
            synthetic_count=run.plan.classes[index].synthetic,
            real_BHWC=real[index][:SAMPLES_A_SIDE],
            synthetic_BHWC=synthetic[index],
        )
        for index in shown
    ]
    return contact_sheet_png(rows, title=f"{run.plan.rows:,} synthetic samples, run {run.run_id}")


def _committed_samples(dataset: Dataset, run: RunPlan, class_indices: list[int]) -> dict[int, Pixels]:
    """The first few committed samples of each class, read shard by shard."""
    wanted: dict[int, list[tuple[int, int]]] = {}  # shard → (class index, row)
    for class_index in class_indices:
        for sample in range(min(SAMPLES_A_SIDE, run.plan.classes[class_index].synthetic)):
            shard, row = run.plan.locate(class_index, sample)
            wanted.setdefault(shard, []).append((class_index, row))
    shards = next(
        committed.manifest.shards for committed in dataset.runs if committed.plan.run_id == run.run_id
    )
    samples: dict[int, list[Pixels]] = {class_index: [] for class_index in class_indices}
    for shard, places in sorted(wanted.items()):
        data = read_shard(dataset.store, shards[shard])
        table = pq.read_table(pa.BufferReader(data), columns=["image", "sample_id"])
        for class_index, row in places:
            image, name = table["image"][row].as_py(), table["sample_id"][row].as_py()
            samples[class_index].append(decode_sample(image["bytes"], run.plan.image, name))
    shape = (0, run.plan.image.size, run.plan.image.size, run.plan.image.channels)
    return {
        class_index: np.stack(found) if found else np.zeros(shape, np.uint8)
        for class_index, found in samples.items()
    }


def _shown_classes(run: RunPlan) -> list[int]:
    order = sorted(range(len(run.plan.classes)), key=lambda index: run.plan.classes[index].real)
    if len(order) > MOST_CLASSES:
        order = order[: MOST_CLASSES // 2] + order[-MOST_CLASSES // 2 :]
    return sorted(order)

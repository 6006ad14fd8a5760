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
from augment.types import AugmentPlan, RunPlan

__all__ = ["SAMPLES_A_SIDE", "load_real_samples", "make_contact_sheet", "save_real_samples", "shown_classes"]

MOST_CLASSES = 40
SAMPLES_A_SIDE = 10
_REAL_SAMPLES = "real-samples.npz"

Pixels = npt.NDArray[np.uint8]  # [B, H, W, C]


def save_real_samples(folder: ModelFolder, samples: dict[int, Pixels]) -> None:
    """Keep a few real images, by class index, beside the model."""
    buffer = io.BytesIO()
    np.savez(buffer, **{str(index): pixels for index, pixels in samples.items()})
    folder.put_artefact(_REAL_SAMPLES, buffer.getvalue())


def load_real_samples(folder: ModelFolder) -> dict[int, Pixels]:
    """Those images by class index."""
    with np.load(io.BytesIO(folder.artefact(_REAL_SAMPLES)), allow_pickle=False) as arrays:
        return {int(name): arrays[name] for name in arrays.files}


def make_contact_sheet(dataset: Dataset, run: RunPlan, real: dict[int, Pixels]) -> bytes:
    """PNG bytes. Classes in the plan's order; of very many, the rarest and the largest."""
    # Real ones were kept for the classes of the plan that trained; a later plan may show others.
    none = np.zeros((0, run.plan.image.size, run.plan.image.size, run.plan.image.channels), np.uint8)
    shown = shown_classes(run.plan)
    synthetic = _committed_samples(dataset, run, shown)
    rows = [
        ContactRow(
            name=run.plan.classes[index].name,
            real_count=run.plan.classes[index].real,
            synthetic_count=run.plan.classes[index].synthetic,
            real_BHWC=real.get(index, none)[:SAMPLES_A_SIDE],
            synthetic_BHWC=synthetic[index],
        )
        for index in shown
    ]
    return contact_sheet_png(rows, title=f"{run.plan.rows:,} synthetic samples, run {run.run_id}")


def _committed_samples(dataset: Dataset, run: RunPlan, class_indices: list[int]) -> dict[int, Pixels]:
    """The first few committed samples of each class, read shard by shard."""
    wanted: dict[int, list[tuple[int, int]]] = {}  # shard → (class index, row)
    for class_index in class_indices:
        target = run.plan.classes[class_index]
        for sample in range(target.first, target.first + min(SAMPLES_A_SIDE, target.synthetic)):
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


def shown_classes(plan: AugmentPlan) -> list[int]:
    """Class indices of the rows of a picture: all, or of very many the rarest and the largest."""
    order = sorted(range(len(plan.classes)), key=lambda index: plan.classes[index].real)
    if len(order) > MOST_CLASSES:
        order = order[: MOST_CLASSES // 2] + order[-MOST_CLASSES // 2 :]
    return sorted(order)

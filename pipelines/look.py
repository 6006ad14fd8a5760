"""Pictures of a run: real images beside committed synthetic ones, a row a class.

Owns how many classes and samples are shown. The synthetic ones are read back from the committed shards, so the
picture shows what a reader will get.
"""

from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from augment.report.contact_sheet import ContactRow, contact_sheet_png
from augment.report.first_samples import Samples, first_samples
from augment.report.first_samples import shown_classes as chosen_classes
from augment.report.real_samples import load_real_samples, save_real_samples
from augment.store.reading import Dataset
from augment.types import AugmentPlan, RunPlan

__all__ = ["SAMPLES_A_SIDE", "load_real_samples", "make_contact_sheet", "save_real_samples", "shown_classes"]

MOST_CLASSES = 40
SAMPLES_A_SIDE = 10

Pixels = npt.NDArray[np.uint8]  # [B, H, W, C]


def make_contact_sheet(dataset: Dataset, run: RunPlan, real: Mapping[int, Pixels]) -> bytes:
    """PNG bytes. Classes in the plan's order; of very many, the rarest and the largest."""
    # Real ones were kept for the classes of the plan that trained; a later plan may show others.
    none = np.zeros((0, run.plan.image.size, run.plan.image.size, run.plan.image.channels), np.uint8)
    shown = shown_classes(run.plan)
    committed = next(each for each in dataset.runs if each.plan.run_id == run.run_id)
    synthetic = first_samples(dataset, committed, SAMPLES_A_SIDE, shown)
    rows_of = committed.rows_by_label
    rows = [
        ContactRow(
            name=run.plan.classes[index].name,
            real_count=run.plan.classes[index].real,
            synthetic_count=rows_of[run.plan.classes[index].label],
            real_BHWC=real.get(index, none)[:SAMPLES_A_SIDE],
            synthetic_BHWC=synthetic.get(index, Samples(none, ())).pixels_BHWC,
        )
        for index in shown
    ]
    return contact_sheet_png(rows, title=f"{sum(rows_of.values()):,} synthetic samples, run {run.run_id}")


def shown_classes(plan: AugmentPlan) -> list[int]:
    """Class indices of the rows of a picture: all, or of very many the rarest and the largest."""
    return chosen_classes(plan, MOST_CLASSES)

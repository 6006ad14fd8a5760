"""From a generator's pixels to those of a run: the run's augmentation, with a seed for each sample. No Ray here."""

import numpy as np
import numpy.typing as npt

from augment.pixel_pipelines import apply_pipeline, load_pipeline
from augment.seeds import digest64
from augment.types import RunPlan, ShardSpec

__all__ = ["augmented"]


def augmented(pixels_BHWC: npt.NDArray[np.uint8], run: RunPlan, spec: ShardSpec) -> npt.NDArray[np.uint8]:
    """The samples of `spec` as the run's pipeline makes them, each by its own seed; as they are without one."""
    if run.augmentation is None:
        return pixels_BHWC
    seeds_B = [
        digest64(
            "augmentation", run.plan.seed, run.plan.classes[piece.class_index].label, piece.first + offset
        )
        for piece in spec.pieces
        for offset in range(piece.count)
    ]
    return apply_pipeline(load_pipeline(run.augmentation, field="output.augmentation"), pixels_BHWC, seeds_B)

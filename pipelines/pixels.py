"""From a generator's pixels to those of a run: the run's augmentation, with a seed for each sample. No Ray here."""

import numpy as np
import numpy.typing as npt

from augment.pixel_pipelines import apply_pipeline, load_pipeline
from augment.seeds import digest64
from augment.types import RunPlan, SampleBlock

__all__ = ["augmented"]


def augmented(block: SampleBlock, run: RunPlan) -> npt.NDArray[np.uint8]:
    """A block's pixels as the run's pipeline makes them, each generated sample by its own seed.

    As they are without a pipeline, and where a recipe made them: `classic` has a pipeline of its own, and the others
    are meant as they are.
    """
    generated = np.array([marks.recipe == "gan" for marks in block.marks], bool)
    if run.augmentation is None or not generated.any():
        return block.pixels_BHWC
    seeds_B = [
        digest64(
            "augmentation", run.plan.seed, run.plan.classes[piece.class_index].label, piece.first + offset
        )
        for piece in block.spec.pieces
        for offset in range(piece.count)
    ]
    pipeline = load_pipeline(run.augmentation, field="output.augmentation")
    pixels_BHWC = block.pixels_BHWC.copy()
    seeds = [seed for seed, chosen in zip(seeds_B, generated.tolist(), strict=True) if chosen]
    pixels_BHWC[generated] = apply_pipeline(pipeline, pixels_BHWC[generated], seeds)
    return pixels_BHWC

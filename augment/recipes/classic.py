"""The recipe `classic`: a real image, changed by an albumentations pipeline with numbers of the sample's own.

Owns which image is changed, and by which seed. What a pipeline may hold is augment.pixel_pipelines'; which
pipeline it is, the config's. Axes: B = samples.
"""

import numpy as np
import numpy.typing as npt

from augment.pixel_pipelines import PixelPipeline, apply_pipeline
from augment.recipes.contract import Made, RealImages, one_source
from augment.recipes.draws import in_turn, seeds_for

__all__ = ["Classic"]


class Classic:
    """Every image of a class is changed as often as the next, each time in another way."""

    def __init__(self, images: RealImages, seed: int, pipeline: PixelPipeline) -> None:
        self._images = images
        self._seed = seed
        self._pipeline = pipeline

    def make(
        self, class_index: int, sample_index_B: npt.NDArray[np.int64], attempt_B: npt.NDArray[np.int64]
    ) -> Made:
        """See `Recipe.make`. Raises InputError where the class has no image, ConfigError where the pipeline can't
        take it.
        """
        label, count = self._images.classes[class_index].label, len(self._images.rows_of(class_index))
        source_index_B = in_turn("classic", self._seed, label, count, sample_index_B, attempt_B)
        seeds_B = seeds_for("classic", self._seed, label, sample_index_B, attempt_B)
        sources_BHWC = self._images.of_class(class_index, source_index_B)
        return Made(apply_pipeline(self._pipeline, sources_BHWC, seeds_B), one_source(source_index_B))

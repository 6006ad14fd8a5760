"""The recipe `duplicate`: real images again, each as often as the next.

Owns nothing but that. A control that is hard to beat at a fixed number of training steps: what a recipe gives
must be more than what seeing the same images oftener gives. Axes: B = samples.
"""

import numpy as np
import numpy.typing as npt

from augment.recipes.contract import Made, RealImages, one_source
from augment.recipes.draws import in_turn

__all__ = ["Duplicate"]


class Duplicate:
    """Repeats: of consecutive samples at one attempt, an image's repeats differ from another's by at most one."""

    def __init__(self, images: RealImages, seed: int) -> None:
        self._images = images
        self._seed = seed

    def make(
        self, class_index: int, sample_index_B: npt.NDArray[np.int64], attempt_B: npt.NDArray[np.int64]
    ) -> Made:
        """See `Recipe.make`. Raises InputError where the class has no image."""
        label, count = self._images.classes[class_index].label, len(self._images.rows_of(class_index))
        source_index_B = in_turn("duplicate", self._seed, label, count, sample_index_B, attempt_B)
        return Made(self._images.of_class(class_index, source_index_B), one_source(source_index_B))

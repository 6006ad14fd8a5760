"""Candidates for samples: whichever recipe a class has, asked for by (class, index, attempt).

Owns which of the generator and the recipes makes a class's samples, and the names of the real images that these
come from. Knows no gate, store or Ray.

S = samples asked for, N = real images, 2 = the real images that a sample may come from.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property

import numpy as np
import numpy.typing as npt

from augment.gan.generator import FrozenGenerator
from augment.recipes.config import SmoteConfig
from augment.recipes.contract import NO_SOURCE, RealImages, Recipe
from augment.recipes.making import RecipeInputs, open_recipe
from augment.types import RecipeName, RunPlan

__all__ = ["Candidates", "Drawn", "Real"]

Indices = npt.NDArray[np.int64]


@dataclass(frozen=True)
class Real:
    """The real images that recipes work from; `features_NF` where `smote.space=features` needs them."""

    images: RealImages
    names_N: Sequence[str]
    features_NF: npt.NDArray[np.floating] | None = None


@dataclass(frozen=True, slots=True)
class Drawn:
    """Candidates: uint8 pixels [S, H, W, C], and the names of each one's real images."""

    pixels_SHWC: npt.NDArray[np.uint8]
    source_images_S: tuple[tuple[str, ...], ...]


class Candidates:
    """Draws the candidates of a run. A candidate is the same in any company; not for two threads at once."""

    def __init__(self, run: RunPlan, generator: FrozenGenerator | None, real: Real | None) -> None:
        if generator is not None:
            generator.check(run.plan)
        self._run = run
        self._generator = generator
        self._real = real
        self._recipes: dict[RecipeName, Recipe] = {}

    def draw(
        self,
        class_index_S: Indices,
        sample_index_S: Indices,
        attempt_S: Indices,
        recipe: RecipeName | None = None,
    ) -> Drawn:
        """Candidates for these samples, by each class's own recipe or by the one given.

        Raises what the recipes raise; ValueError where one has not what it needs.
        """
        shape = self._run.plan.image
        pixels_SHWC = np.empty((len(class_index_S), shape.size, shape.size, shape.channels), np.uint8)
        source_images = [()] * len(class_index_S)  # type: list[tuple[str, ...]]
        targets = self._run.plan.classes
        recipes = [recipe or targets[class_index].recipe for class_index in class_index_S.tolist()]
        generated = np.array([each == "gan" for each in recipes], bool)
        if generated.any():
            pixels_SHWC[generated] = self._opened_generator(
                self._run.plan.seed,
                class_index_S[generated],
                sample_index_S[generated],
                attempt_S[generated],
            )
        for class_index in np.unique(class_index_S[~generated]).tolist():
            rows = np.flatnonzero(~generated & (class_index_S == class_index))
            made = self._recipe(recipe or targets[class_index].recipe).make(
                class_index, sample_index_S[rows], attempt_S[rows]
            )
            pixels_SHWC[rows] = made.pixels_BHWC
            for row, sources_2 in zip(rows.tolist(), made.source_index_B2.tolist(), strict=True):
                source_images[row] = self._names(class_index, sources_2)
        return Drawn(pixels_SHWC, tuple(source_images))

    def _names(self, class_index: int, sources_2: Sequence[int]) -> tuple[str, ...]:
        real = self._opened_real
        rows_M = real.images.rows_of(class_index)
        return tuple(real.names_N[rows_M[source]] for source in sources_2 if source != NO_SOURCE)

    def _recipe(self, name: RecipeName) -> Recipe:
        if name not in self._recipes:
            specs, real = self._run.recipes, self._opened_real
            inputs = RecipeInputs(
                images=real.images,
                seed=self._run.plan.seed,
                classic=specs.classic,
                smote=SmoteConfig.model_validate(specs.smote or {}),
                features_NF=real.features_NF,
            )
            self._recipes[name] = open_recipe(name, inputs)
        return self._recipes[name]

    @cached_property
    def _opened_generator(self) -> FrozenGenerator:
        if self._generator is None:
            raise ValueError(
                f"run {self._run.run_id} has classes of the recipe gan, and no generator was given"
            )
        return self._generator

    @cached_property
    def _opened_real(self) -> Real:
        if self._real is None:
            raise ValueError(f"run {self._run.run_id} has recipes, and no real images were given")
        return self._real

"""From a recipe's name and settings to the recipe itself.

Owns the table of recipes. To add one: write its file and an entry of RECIPES, and name it in `RecipeName`.

Axes: N = real images of all classes, F = features of an image.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt

from augment.errors import ConfigError
from augment.pixel_pipelines import load_pipeline
from augment.recipes.classic import Classic
from augment.recipes.classic_presets import PRESETS, preset_spec
from augment.recipes.config import ClassicConfig, SmoteConfig
from augment.recipes.contract import RealImages, Recipe
from augment.recipes.duplicate import Duplicate
from augment.recipes.smote import Smote

__all__ = ["RECIPES", "RecipeInputs", "classic_spec", "open_recipe"]

_CLASSIC_FIELD = "classic.pipeline"


@dataclass(frozen=True)
class RecipeInputs:
    """What recipes are made from; each takes what it needs.

    `classic`: the pipeline as `classic_spec` gives it, or as a plan recorded it. `features_NF`: a row for each of
    `images`, needed for `smote.space=features`.
    """

    images: RealImages
    seed: int
    classic: dict[str, Any] | None = None
    smote: SmoteConfig = SmoteConfig()  # noqa: RUF009  # frozen
    features_NF: npt.NDArray[np.floating] | None = None


def open_recipe(name: str, inputs: RecipeInputs) -> Recipe:
    """The recipe `name` of RECIPES, ready to make samples.

    Raises ConfigError where a pipeline can't be built, ValueError where an input that it needs is missing.
    """
    return RECIPES[name](inputs)


def classic_spec(config: ClassicConfig) -> dict[str, Any]:
    """The pipeline that a config asks for, as albumentations records one: to be stored in a plan.

    `config.pipeline` must have been read, if it was a path. Raises ConfigError where the config names none: no
    pipeline keeps the labels of all images, so that there is no default.
    """
    if isinstance(config.pipeline, str):
        raise ValueError(f"{_CLASSIC_FIELD} is still a path, {config.pipeline!r}")
    if config.pipeline is not None:
        return config.pipeline
    if config.preset is None:
        raise ConfigError(
            "the recipe classic needs to know which changes keep a label: set classic.preset to "
            f"{', '.join(PRESETS)}, whichever the images are, or classic.pipeline to a file of your own"
        )
    return preset_spec(config.preset)


def _classic(inputs: RecipeInputs) -> Recipe:
    if inputs.classic is None:
        raise ValueError("the recipe classic needs a pipeline")
    return Classic(inputs.images, inputs.seed, load_pipeline(inputs.classic, field=_CLASSIC_FIELD))


def _duplicate(inputs: RecipeInputs) -> Recipe:
    return Duplicate(inputs.images, inputs.seed)


def _smote(inputs: RecipeInputs) -> Recipe:
    if inputs.smote.space == "pixels":
        return Smote(inputs.images, inputs.seed, inputs.smote.k_neighbors)
    if inputs.features_NF is None:
        raise ValueError("smote.space=features needs the features of the real images")
    return Smote(inputs.images, inputs.seed, inputs.smote.k_neighbors, inputs.features_NF)


RECIPES: dict[str, Callable[[RecipeInputs], Recipe]] = {
    "classic": _classic,
    "duplicate": _duplicate,
    "smote": _smote,
}
"""The recipes that work from real images; `gan` works from noise, and `none` makes nothing."""

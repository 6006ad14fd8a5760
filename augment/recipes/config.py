"""Config of recipes: which class's samples are made how, and the settings of those that have any."""

from typing import Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from augment.types import ConfigModel, RecipeName

__all__ = ["ClassicConfig", "PresetName", "RecipeChoice", "SmoteConfig"]

RecipeChoice = Literal["gan", "classic", "duplicate", "smote", "none", "auto"] | dict[str, RecipeName]
"""One recipe for all classes; `auto`: as a recommendation says, class by class; or a map from class name to
recipe, where classes that it does not name have `gan`."""

PresetName = Literal["photographs", "medical", "documents-digits", "textures"]


class ClassicConfig(ConfigModel):
    """How the recipe `classic` changes real images; it needs one of the two."""

    preset: PresetName | None = None
    """A pipeline that keeps the labels of such images: `photographs` (mirrored, moved, recoloured a little),
    `medical` (moved a little, exposure; never mirrored, never recoloured), `documents-digits` (slanted and moved a
    little; never mirrored), `textures` (all turns and mirrorings)."""

    pipeline: str | dict[str, Any] | None = None
    """One of your own: the YAML file that `albumentations.save(pipeline, path, data_format="yaml")` wrote, relative
    to the config, or its content."""

    @model_validator(mode="after")
    def _only_one_is_given(self) -> Self:
        if self.preset is not None and self.pipeline is not None:
            raise ValueError(f"preset={self.preset} has no effect beside pipeline=…; remove one")
        return self


class SmoteConfig(ConfigModel):
    """How the recipe `smote` finds the two images that it goes between."""

    k_neighbors: int = Field(default=5, ge=1)
    """Nearest images of the same class that an image is paired with; a class of fewer than one more has all its
    others."""

    space: Literal["pixels", "features"] = "pixels"
    """Where nearness is measured: between pixels, as in imbalanced-learn, or between a classifier's features; what
    is interpolated is pixels in both."""

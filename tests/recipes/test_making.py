"""From a config to a recipe: which pipeline, and what is missing."""

from __future__ import annotations

import typing

import pytest

from augment.errors import ConfigError
from augment.recipes.classic_presets import preset_spec
from augment.recipes.config import ClassicConfig, SmoteConfig
from augment.recipes.making import RECIPES, RecipeInputs, classic_spec, open_recipe
from augment.types import RecipeName
from tests.recipes.common import real_images

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what albumentations imports


def test_the_table_has_every_recipe_that_works_from_real_images() -> None:
    assert set(RECIPES) == set(typing.get_args(RecipeName)) - {"gan", "none"}


def test_a_preset_or_ones_own_pipeline_is_what_a_plan_records() -> None:
    assert classic_spec(ClassicConfig(preset="medical")) == preset_spec("medical")
    own = {"transform": {"__class_fullname__": "VerticalFlip", "p": 1.0}}
    assert classic_spec(ClassicConfig(pipeline=own)) == own


def test_classic_without_a_pipeline_names_the_presets() -> None:
    with pytest.raises(
        ConfigError, match=r"set classic\.preset to photographs, medical, documents-digits, textures"
    ):
        classic_spec(ClassicConfig())


def test_a_pipeline_that_cannot_be_built_is_a_config_error() -> None:
    inputs = RecipeInputs(real_images(), 0, classic={"transform": {"__class_fullname__": "Blr", "p": 1.0}})
    with pytest.raises(
        ConfigError, match=r"classic\.pipeline: 'Blr' is not a transform .*did you mean 'Blur'\?"
    ):
        open_recipe("classic", inputs)


@pytest.mark.parametrize(
    ("name", "smote", "message"),
    [
        ("classic", SmoteConfig(), "needs a pipeline"),
        ("smote", SmoteConfig(space="features"), "needs the features"),
    ],
)
def test_a_missing_input_is_our_own_error(name: str, smote: SmoteConfig, message: str) -> None:
    with pytest.raises(ValueError, match=message):
        open_recipe(name, RecipeInputs(real_images(), 0, smote=smote))


def test_a_path_that_nobody_read_is_our_own_error() -> None:
    with pytest.raises(ValueError, match="still a path"):
        classic_spec(ClassicConfig(pipeline="mine.yaml"))

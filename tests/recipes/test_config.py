"""Recipes in a config file, as a user writes them and as errors speak of them."""

from __future__ import annotations

import subprocess
import sys
from pathlib import Path

import pytest

from augment.config_fields import fields_of
from augment.config_file import read_config
from augment.errors import ConfigError
from augment.recipes.config import ClassicConfig, RecipeChoice, SmoteConfig
from augment.types import ConfigModel


class Root(ConfigModel):
    """A config with recipes and nothing else."""

    recipe: RecipeChoice = "gan"
    """Which."""

    classic: ClassicConfig = ClassicConfig()
    smote: SmoteConfig = SmoteConfig()


def read(folder: Path, text: str) -> Root:
    (folder / "run.yaml").write_text(text)
    return read_config(Root, folder / "run.yaml")


def test_defaults_are_the_gan_and_imbalanced_learns_five_neighbours(tmp_path: Path) -> None:
    root = read(tmp_path, "")
    assert root.recipe == "gan"
    assert root.smote == SmoteConfig(k_neighbors=5, space="pixels")


def test_a_recipe_is_one_word_or_a_map_of_classes(tmp_path: Path) -> None:
    assert read(tmp_path, "recipe: auto").recipe == "auto"
    text = "recipe: {Ankle boot: classic, bag: none}\nclassic: {preset: documents-digits}"
    root = read(tmp_path, text)
    assert root.recipe == {"Ankle boot": "classic", "bag": "none"}
    assert root.classic.preset == "documents-digits"


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("recipe: clasic", r"run\.yaml:1: recipe: .*did you mean classic\?"),
        ("recipe: {bag: auto}", r"recipe\.bag: expected gan, classic, duplicate, smote or none, got 'auto'"),
        (
            "classic: {preset: digits}",
            r"classic\.preset: .*photographs, medical, documents-digits or textures",
        ),
        (
            "classic:\n  preset: medical\n  pipeline: mine.yaml",
            r"run\.yaml:3: classic: preset=medical has no effect beside",
        ),
        ("smote: {k_neighbors: 0}", r"smote\.k_neighbors: expected whole number ≥ 1, got 0"),
        ("smote: {neighbors: 3}", r"unknown key .*did you mean smote\.k_neighbors\?"),
    ],
)
def test_a_slip_is_named_with_its_place_and_mend(tmp_path: Path, text: str, message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        read(tmp_path, text)


def test_every_field_has_words_for_the_reference() -> None:
    fields = {field.name: field for field in fields_of(Root)}
    assert "gan, classic, duplicate, smote, none or auto, or a map" in fields["recipe"].type
    assert all(field.doc for field in fields.values())


def test_choosing_imports_neither_torch_nor_ray_nor_albumentations_nor_opencv() -> None:
    script = (
        "import sys, augment.recipes.choosing, augment.recipes.making as making\n"
        "making.classic_spec(making.ClassicConfig(preset='medical'))\n"
        "print(sorted({'torch', 'ray', 'albumentations', 'cv2', 'sklearn', 'scipy'} & set(sys.modules)))"
    )
    shown = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, check=True)
    assert shown.stdout.strip() == "[]"

"""Albumentations pipelines for kinds of images, a YAML file each, in the form that `albumentations.save` writes.

Owns where those files lie. Each says at its top which changes keep a label in such images, and why. To add one:
write the file, and name it in `PresetName` of augment.recipes.config. Knows no recipe.
"""

from importlib.resources import files
from typing import Any, get_args

from augment.errors import ConfigError
from augment.recipes.config import PresetName
from augment.strict_yaml import parse

__all__ = ["PRESETS", "preset_spec"]

PRESETS: tuple[PresetName, ...] = get_args(PresetName)


def preset_spec(name: PresetName) -> dict[str, Any]:
    """The preset's pipeline, a new dict at every call; albumentations is not imported.

    Raises ConfigError, naming the presets, for another name.
    """
    if name not in PRESETS:
        raise ConfigError(f"classic.preset: there is no preset {name!r}; there are {', '.join(PRESETS)}")
    file = f"{name}.yaml"
    spec: dict[str, Any] = parse(files(__name__).joinpath(file).read_text(encoding="utf-8"), file).value
    return spec

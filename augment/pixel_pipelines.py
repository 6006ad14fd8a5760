"""Albumentations pipelines that are repeatable image by image.

Owns: what a recorded pipeline may hold, and that an image's result depends on its pixels and its own seed
alone (never on the batch, the order or the process). Knows no plan, shard or recipe: whoever loads a pipeline
says which field of the config it came from.

Axes: B = images, H = height, W = width, C = channels (1 or 3).
"""

import difflib
import os
import random
import warnings
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt

from augment.errors import ConfigError
from augment.types import ImageShape

__all__ = ["PixelPipeline", "apply_pipeline", "load_pipeline"]

_TRIALS = 8  # images put through a new pipeline: enough to meet a transform applied with p = 0.3
# What transforms raise on arguments or images they cannot take, besides cv2.error.
_TRANSFORM_ERRORS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError)


class PixelPipeline:
    """A loaded pipeline. Not safe to share between threads: its random state is set for each image."""

    def __init__(self, pipeline: Any, field: str) -> None:
        """`pipeline`: an albumentations Compose; `field`: where the config has it, for messages."""
        import cv2

        self._pipeline = pipeline
        self._field = field
        self._errors = (*_TRANSFORM_ERRORS, cv2.error)

    def __call__(self, pixels_HWC: npt.NDArray[np.uint8], seed: int) -> npt.NDArray[np.uint8]:
        """One image, transformed by the random numbers of `seed` (0 ≤ seed < 2^64); same shape and dtype.

        Raises ConfigError if the pipeline changes the shape or the dtype, or cannot take the image.
        """
        # One generator for the whole pipeline: set_random_seed would give every transform the same draws.
        self._pipeline.set_random_state(np.random.default_rng(seed), random.Random(seed))  # noqa: S311
        try:
            result = self._pipeline(image=np.ascontiguousarray(pixels_HWC))["image"]
        except self._errors as error:
            raise ConfigError(
                f"{self._field} cannot be applied to {_described(pixels_HWC)}: {error}"
            ) from error
        if not isinstance(result, np.ndarray):
            raise ConfigError(
                f"{self._field} turns images into {type(result).__name__}; leave that transform out"
            )
        augmented_HWC: npt.NDArray[np.uint8] = result[:, :, np.newaxis] if result.ndim == 2 else result
        if augmented_HWC.shape != pixels_HWC.shape or augmented_HWC.dtype != np.uint8:
            raise ConfigError(
                f"{self._field} turns {_described(pixels_HWC)} into {_described(augmented_HWC)}; "
                "its transforms must keep an image's shape and type"
            )
        return augmented_HWC


def load_pipeline(spec: dict[str, Any], shape: ImageShape | None = None, *, field: str) -> PixelPipeline:
    """The pipeline of `spec`, the dict that `albumentations.to_dict` makes; `field` is where the config has it.

    Only albumentations' own transforms are taken, with every argument known and `p` given, so that the
    recorded spec says all. With `shape` a few images are put through it at once. Raises ConfigError.
    """
    registry = _registry()
    if not isinstance(spec.get("transform"), dict):
        raise ConfigError(f"{field} is not what albumentations.to_dict or albumentations.save writes")
    _check_transform(spec["transform"], registry, field)
    pipeline = PixelPipeline(_built(spec, field), field)
    if shape is not None:
        noise = np.random.default_rng(0)
        for seed in range(_TRIALS):
            pipeline(noise.integers(0, 256, (shape.size, shape.size, shape.channels), np.uint8), seed)
    return pipeline


def apply_pipeline(
    pipeline: PixelPipeline,
    pixels_BHWC: npt.NDArray[np.uint8],
    seeds_B: Sequence[int] | npt.NDArray[np.uint64],
) -> npt.NDArray[np.uint8]:
    """Every image transformed by its own seed; row i of the result depends on row i alone."""
    changed_BHWC = np.empty_like(pixels_BHWC)
    for row, (pixels_HWC, seed) in enumerate(zip(pixels_BHWC, seeds_B, strict=True)):
        changed_BHWC[row] = pipeline(pixels_HWC, int(seed))
    return changed_BHWC


def _registry() -> dict[str, Any]:
    """Albumentations' serializable transforms by short name; imported here, and without its update check."""
    os.environ["NO_ALBUMENTATIONS_UPDATE"] = "1"
    from albumentations.core.serialization import SERIALIZABLE_REGISTRY

    return {
        name: kind
        for name, kind in SERIALIZABLE_REGISTRY.items()
        if kind.__module__.partition(".")[0] == "albumentations"  # not what the user's code registered
    }


def _check_transform(transform: object, registry: dict[str, Any], where: str) -> None:
    """ConfigError unless `transform`, and each one nested in it, is a complete record of a known one."""
    if not isinstance(transform, dict) or not isinstance(transform.get("__class_fullname__"), str):
        raise ConfigError(f"{where}: {transform!r} is not a transform; it needs a __class_fullname__")
    full_name: str = transform["__class_fullname__"]
    name = full_name.rpartition(".")[2] if full_name.startswith("albumentations.") else full_name
    if name not in registry:
        raise ConfigError(
            f"{where}: {full_name!r} is not a transform of albumentations that can be recorded; "
            f"{_nearest(name, registry)}"
        )
    if "p" not in transform:
        raise ConfigError(f"{where}: {name} does not say its probability; add p")
    nested_transforms = transform.get("transforms", [])
    if not isinstance(nested_transforms, list):
        raise ConfigError(f"{where}: the transforms of {name} must be a list, not {nested_transforms!r}")
    for position, nested in enumerate(nested_transforms):
        _check_transform(nested, registry, f"{where}.transforms[{position}]")


def _nearest(name: str, registry: dict[str, Any]) -> str:
    nearest = difflib.get_close_matches(name, registry, n=1)
    return f"did you mean {nearest[0]!r}?" if nearest else "see albumentations' list of transforms"


def _built(spec: dict[str, Any], field: str) -> Any:
    import albumentations

    try:
        with warnings.catch_warnings(record=True) as caught:
            warnings.simplefilter("always")
            pipeline: Any = albumentations.from_dict(spec)
            if not isinstance(pipeline, albumentations.Compose):
                pipeline = albumentations.Compose([pipeline])
            pipeline.strict = True  # an unknown argument is an error, not a warning
    except _TRANSFORM_ERRORS as error:
        raise ConfigError(f"{field} cannot be built: {error}") from error
    for warning in caught:
        if issubclass(warning.category, UserWarning) and "albumentations" in warning.filename:
            raise ConfigError(f"{field}: {warning.message}")
    return pipeline


def _described(array: npt.NDArray[Any]) -> str:
    return f"an image of shape {'×'.join(map(str, array.shape))} ({array.dtype})"

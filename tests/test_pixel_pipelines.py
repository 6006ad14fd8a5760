"""Albumentations pipelines: repeatable image by image, refused early where they cannot serve."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from augment.errors import ConfigError
from augment.pixel_pipelines import PixelPipeline, apply_pipeline, load_pipeline
from augment.types import ImageShape

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what albumentations imports

FIELD = "output.augmentation"
GRAY, RGB = ImageShape(size=28, channels=1), ImageShape(size=28, channels=3)


def step(name: str, **arguments: Any) -> dict[str, Any]:
    return {"__class_fullname__": name, "p": 1.0, **arguments}


def spec(*steps: dict[str, Any]) -> dict[str, Any]:
    return {"__version__": "2.0.8", "transform": step("Compose", transforms=list(steps))}


LIVELY = spec(
    step("HorizontalFlip", p=0.5),
    step("RandomBrightnessContrast", p=0.5),
    step("OneOf", p=0.8, transforms=[step("GaussNoise"), step("Affine", rotate=[-20, 20])]),
)


def loaded(recorded: dict[str, Any], shape: ImageShape | None = None) -> PixelPipeline:
    return load_pipeline(recorded, shape, field=FIELD)


def block(shape: ImageShape, count: int = 40) -> np.ndarray:
    size = (count, shape.size, shape.size, shape.channels)
    return np.random.default_rng(0).integers(0, 256, size, np.uint8)


SEEDS = np.arange(40, dtype=np.uint64) + np.uint64(2**63)


@pytest.mark.parametrize("shape", [GRAY, RGB], ids=["gray", "rgb"])
def test_an_image_depends_on_its_pixels_and_its_seed_alone(shape: ImageShape) -> None:
    pixels_BHWC = block(shape)
    together = apply_pipeline(loaded(LIVELY, shape), pixels_BHWC, SEEDS)
    assert together.shape == pixels_BHWC.shape
    assert together.dtype == np.uint8
    backwards = apply_pipeline(loaded(LIVELY), pixels_BHWC[::-1], SEEDS[::-1])[::-1]
    np.testing.assert_array_equal(together, backwards)
    pipeline = loaded(LIVELY)
    for row in (39, 0, 17):
        np.testing.assert_array_equal(pipeline(pixels_BHWC[row], int(SEEDS[row])), together[row])


def test_different_seeds_give_different_images() -> None:
    same_BHWC = np.repeat(block(RGB, 1), 40, axis=0)
    results = apply_pipeline(loaded(LIVELY), same_BHWC, SEEDS)
    assert len({result.tobytes() for result in results}) > 25


def test_transforms_of_one_pipeline_draw_independently() -> None:
    both = loaded(spec(step("HorizontalFlip", p=0.5), step("VerticalFlip", p=0.5)))
    corner = np.zeros((28, 28, 1), np.uint8)
    corner[:14, :14] = 255
    images = apply_pipeline(both, np.repeat(corner[np.newaxis], 40, axis=0), SEEDS)
    assert len({image.tobytes() for image in images}) == 4  # equal draws would flip both ways or neither


def test_a_flip_is_the_mirror_image() -> None:
    pixels = block(GRAY, 1)
    flipped = apply_pipeline(loaded(spec(step("HorizontalFlip"))), pixels, SEEDS[:1])
    np.testing.assert_array_equal(flipped, pixels[:, :, ::-1])


def test_a_pipeline_recorded_by_albumentations_survives_json() -> None:
    albumentations = pytest.importorskip("albumentations")
    pipeline = albumentations.Compose(
        [albumentations.Affine(rotate=(-30, 30), p=0.7), albumentations.Blur(p=0.5)]
    )
    recorded = albumentations.to_dict(pipeline)
    replayed = json.loads(json.dumps(recorded))
    first = apply_pipeline(loaded(recorded), block(RGB), SEEDS)
    np.testing.assert_array_equal(apply_pipeline(loaded(replayed), block(RGB), SEEDS), first)


def test_a_single_transform_is_a_pipeline_too() -> None:
    pixels = block(RGB, 2)
    for transform in (step("VerticalFlip"), step("OneOf", transforms=[step("VerticalFlip")])):
        flipped = apply_pipeline(loaded({"transform": transform}), pixels, SEEDS[:2])
        np.testing.assert_array_equal(flipped, pixels[:, ::-1])


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (spec(step("os.system")), r"output\.augmentation\.transforms\[0\]: 'os\.system' is not a transform"),
        (spec(step("HorizontalFlp")), "did you mean 'HorizontalFlip'"),
        (
            spec(step("Lambda", __name__="f")),
            "'Lambda' is not a transform of albumentations that can be recorded",
        ),
        (spec({"__class_fullname__": "Blur"}), "Blur does not say its probability; add p"),
        (spec(step("OneOf", transforms=[step("Nope")])), r"transforms\[0\]\.transforms\[0\]: 'Nope'"),
        (spec(step("Blur", p=3)), "output.augmentation cannot be built"),
        (spec(step("HorizontalFlip", bogus=1)), "'bogus' are not valid for transform HorizontalFlip"),
        ({"transform": step("Compose", transforms=3)}, "the transforms of Compose must be a list"),
        ({"transform": step("Compose", transforms=["Blur"])}, "'Blur' is not a transform"),
        ({"transforms": []}, "is not what albumentations.to_dict"),
    ],
)
def test_a_pipeline_that_cannot_be_built_is_a_config_error(wrong: dict[str, Any], message: str) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded(wrong)


@pytest.mark.parametrize(
    ("wrong", "message"),
    [
        (step("Resize", height=8, width=9), r"turns an image of shape 28×28×1 \(uint8\) into .* 8×9×1"),
        (step("Normalize"), "28×28×1 .float32.; its transforms must keep"),
        (step("ChannelDropout"), "cannot be applied to an image of shape 28×28×1"),
        (step("FDA"), "cannot be applied .*fda_metadata"),
    ],
)
def test_a_pipeline_that_does_not_fit_the_images_is_a_config_error_at_once(
    wrong: dict[str, Any], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        loaded(spec(wrong), GRAY)

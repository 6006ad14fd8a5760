"""Classic augmentation of real images: the pipeline's own result on the image that is named."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from augment.errors import ConfigError
from augment.pixel_pipelines import load_pipeline
from augment.recipes.classic import Classic
from augment.recipes.contract import RealImages
from tests.recipes.common import CLASSES, made, real_images

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what albumentations imports


def classic(images: RealImages, transform: str, **arguments: Any) -> Classic:
    spec = {"transform": {"__class_fullname__": transform, "p": 1.0, **arguments}}
    return Classic(images, 0, load_pipeline(spec, field="classic.pipeline"))


def test_a_sample_is_the_transformed_source_image() -> None:
    images = real_images(channels=3)
    samples = made(classic(images, "HorizontalFlip"), 2, range(30))
    source_B, none_B = samples.source_index_B2.T
    np.testing.assert_array_equal(samples.pixels_BHWC, images.of_class(2)[source_B][:, :, ::-1])
    assert (none_B == -1).all()
    uses_M = np.bincount(source_B, minlength=12)
    assert uses_M.max() - uses_M.min() <= 1


def test_one_image_gives_many_different_samples() -> None:
    images = real_images((1, 3, 3))
    samples = made(classic(images, "Affine", rotate=[-40.0, 40.0]), 0, range(50))
    assert len({sample.tobytes() for sample in samples.pixels_BHWC}) > 45


def test_a_pipeline_that_cannot_take_the_images_is_named_by_its_field() -> None:
    images = RealImages(np.zeros((2, 16, 16, 1), np.uint8), np.array([0, 0]), CLASSES)
    with pytest.raises(
        ConfigError, match=r"^classic\.pipeline cannot be applied to an image of shape 16×16×1"
    ):
        made(classic(images, "ChannelDropout"), 0, [0])

"""Arrays that don't fit, or that would make figures meaningless, are refused by name."""

from __future__ import annotations

from dataclasses import replace

import numpy as np
import pytest

from augment.errors import InputError
from augment.lift.images import LabelledImages
from tests.lift.common import COUNTS, data, images


@pytest.mark.parametrize(
    ("change", "why"),
    [
        ({"test": images((3, 0, 3), 5)}, "the test images have none of class 'b'"),
        ({"validation": images((3, 3, 3), 5, size=16)}, r"validation: images are uint8 \[9, 16, 16, 1\]"),
        ({"validation": images((3, 3, 3, 3), 5)}, "validation: class indices go from 0 to 3, outside 0..2"),
        ({"test": images((12, 12, 12), 1)}, r"test and validation both"),
        ({"validation": images(COUNTS, 0)}, r"68 image\(s\) are in validation and training both"),
        (
            {"pools": {"gan": replace(images((1, 1, 1), 5), class_index_N=np.zeros(2, int))}},
            "pool gan: 3 images",
        ),
        (
            {"pools": {"gan": replace(images((1, 1, 1), 5), soft_NK=np.ones((3, 2), "f"))}},
            "pool gan: soft labels",
        ),
        ({"training": LabelledImages(np.zeros((3, 8, 9, 1), np.uint8), np.arange(3))}, "square images"),
    ],
)
def test_what_does_not_fit_is_an_error_that_names_the_part(change: dict, why: str) -> None:
    with pytest.raises(InputError, match=why):
        replace(data(), **change)


def test_images_that_come_to_no_arm_may_be_anything_a_generator_makes() -> None:
    copies = images(COUNTS, 0)
    assert (
        data({"gan": copies}).pools["gan"] is copies
    )  # training images again: the gates' subject, not leakage

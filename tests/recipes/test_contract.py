"""What every recipe keeps, run over all of them; and the real images that they see."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import InputError
from augment.recipes.classic_presets import preset_spec
from augment.recipes.config import SmoteConfig
from augment.recipes.contract import NO_SOURCE, RealImages, Recipe
from augment.recipes.making import RECIPES, RecipeInputs, open_recipe
from augment.types import ClassInfo
from tests.recipes.common import CLASSES, made, real_images

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what albumentations imports

Opened = Callable[..., Recipe]
INDICES = [*range(20), 35, 36, 500]
MIXED_ATTEMPTS = [0, 0, 1, 0, 2, 0, 0, 0, 1, 1, *[0] * 13]


@pytest.fixture(params=[*RECIPES, "smote of features"])
def opened(request: pytest.FixtureRequest) -> Opened:
    """A recipe of these images and this seed."""

    def of(images: RealImages, seed: int = 0) -> Recipe:
        rows = len(images.pixels_NHWC)
        features_NF = images.pixels_NHWC.reshape(rows, -1)[:, :5].astype(np.float32)
        space = "features" if request.param == "smote of features" else "pixels"
        inputs = RecipeInputs(
            images, seed, classic=preset_spec("photographs"),
            smote=SmoteConfig(k_neighbors=3, space=space), features_NF=features_NF,
        )  # fmt: skip
        return open_recipe(request.param.partition(" ")[0], inputs)

    return of


@pytest.mark.parametrize("channels", [1, 3])
def test_a_sample_depends_neither_on_its_company_nor_on_the_order(opened: Opened, channels: int) -> None:
    images = real_images(channels=channels)
    together = made(opened(images), 2, INDICES, MIXED_ATTEMPTS)
    rows = np.random.default_rng(0).permutation(len(INDICES))
    shuffled = made(opened(images), 2, np.array(INDICES)[rows], np.array(MIXED_ATTEMPTS)[rows])
    np.testing.assert_array_equal(shuffled.pixels_BHWC, together.pixels_BHWC[rows])
    np.testing.assert_array_equal(shuffled.source_index_B2, together.source_index_B2[rows])
    recipe = opened(images)
    for row in (22, 0, 4):
        alone = made(recipe, 2, [INDICES[row]], [MIXED_ATTEMPTS[row]])
        np.testing.assert_array_equal(alone.pixels_BHWC[0], together.pixels_BHWC[row])
        np.testing.assert_array_equal(alone.source_index_B2[0], together.source_index_B2[row])


def test_samples_have_the_real_images_shape_and_name_real_images_of_the_class(opened: Opened) -> None:
    images = real_images(channels=3)
    for class_index in range(3):
        samples = made(opened(images), class_index, INDICES)
        assert samples.pixels_BHWC.shape == (len(INDICES), 16, 16, 3)
        assert samples.pixels_BHWC.dtype == np.uint8
        first_B, second_B = samples.source_index_B2.T
        assert samples.source_index_B2.dtype == np.int64
        assert ((first_B >= 0) & (first_B < images.count(class_index))).all()
        assert ((second_B >= NO_SOURCE) & (second_B < images.count(class_index))).all()
        assert (first_B != second_B).all()


def test_another_seed_or_attempt_gives_another_sample(opened: Opened) -> None:
    images = real_images()
    first = made(opened(images), 2, INDICES)
    for other in (made(opened(images, seed=1), 2, INDICES), made(opened(images), 2, INDICES, 1)):
        assert (first.pixels_BHWC != other.pixels_BHWC).any(axis=(1, 2, 3)).mean() > 0.6


def test_a_sample_depends_on_its_classs_label_and_images_and_on_no_other_class(opened: Opened) -> None:
    images = real_images()
    moved = {0: 2, 1: 0, 2: 1}  # the same classes in another order, one of them with other pixels
    pixels_NHWC = np.where(
        (images.class_index_N == 0)[:, None, None, None], 255 - images.pixels_NHWC, images.pixels_NHWC
    )
    class_index_N = np.array([moved[index] for index in images.class_index_N])
    other = RealImages(pixels_NHWC, class_index_N, (CLASSES[1], CLASSES[2], CLASSES[0]))
    here, there = made(opened(images), 2, INDICES), made(opened(other), moved[2], INDICES)
    np.testing.assert_array_equal(here.pixels_BHWC, there.pixels_BHWC)
    np.testing.assert_array_equal(here.source_index_B2, there.source_index_B2)
    relabelled = RealImages(
        images.pixels_NHWC, images.class_index_N, (*CLASSES[:2], ClassInfo(label=41, name="coat"))
    )
    assert (made(opened(relabelled), 2, INDICES).pixels_BHWC != here.pixels_BHWC).any()


def test_a_class_without_images_is_named(opened: Opened) -> None:
    with pytest.raises(InputError, match=r"class 'boot' has no real images .* set its recipe to none"):
        made(opened(real_images((3, 0, 4))), 1, [0])


def test_no_samples_are_an_empty_block(opened: Opened) -> None:
    samples = made(opened(real_images()), 0, [])
    assert samples.pixels_BHWC.shape == (0, 16, 16, 1)
    assert samples.source_index_B2.shape == (0, 2)


def test_real_images_are_left_as_they_are(opened: Opened) -> None:
    images = real_images()
    images.pixels_NHWC.flags.writeable = False  # as shared memory is
    samples = made(opened(images), 0, INDICES)
    samples.pixels_BHWC[:] = 0  # a sample is nobody's view
    np.testing.assert_array_equal(images.pixels_NHWC, real_images().pixels_NHWC)


@pytest.mark.parametrize(("indices", "attempts"), [([-1], [0]), ([0], [-1]), ([0, 1], [0])])
def test_an_index_without_an_attempt_or_below_zero_is_our_own_error(
    opened: Opened, indices: list[int], attempts: list[int]
) -> None:
    with pytest.raises(ValueError, match="attempt"):
        opened(real_images()).make(0, np.array(indices), np.array(attempts))


# ---- real images --------------------------------------------------------------------------------------


@given(st.lists(st.integers(0, 2), max_size=30))
def test_a_class_has_its_images_in_the_sources_order(class_indices: list[int]) -> None:
    class_index_N = np.array(class_indices, np.int64)
    pixels_NHWC = np.arange(len(class_indices), dtype=np.uint8).reshape(-1, 1, 1, 1)
    images = RealImages(pixels_NHWC, class_index_N, CLASSES)
    for class_index in range(3):
        rows = [row for row, index in enumerate(class_indices) if index == class_index]
        assert images.count(class_index) == len(rows)
        if rows:
            assert images.rows_of(class_index).tolist() == rows
            assert images.of_class(class_index).ravel().tolist() == rows
            assert images.of_class(class_index, np.array([len(rows) - 1, 0])).ravel().tolist() == [
                rows[-1],
                rows[0],
            ]


@pytest.mark.parametrize(
    ("pixels", "class_index", "message"),
    [
        (np.zeros((2, 4, 4, 1), np.float32), [0, 0], "uint8"),
        (np.zeros((2, 4, 4), np.uint8), [0, 0], r"\[N, H, W, C\]"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0], r"2 images have \[1\] class indices"),
        (np.zeros((2, 4, 4, 1), np.uint8), [0, 3], r"0 … 2"),
        (np.zeros((2, 4, 4, 1), np.uint8), [-1, 0], r"0 … 2"),
    ],
)
def test_arrays_that_are_no_images_are_refused(
    pixels: np.ndarray, class_index: list[int], message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        RealImages(pixels, np.array(class_index), CLASSES)

"""Held-out images: apart from training, cut by pixels alone, and whole in every class."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import InputError
from augment.lift.held_out import apart_from, choosing_share, refuse_too_few
from augment.lift.images import LabelledImages, pixel_digests
from augment.quality.intervals import compare
from tests.lift.common import COUNTS, NAMES, images


def joined(*parts: LabelledImages) -> LabelledImages:
    return LabelledImages(
        np.concatenate([part.pixels_NHWC for part in parts]),
        np.concatenate([part.class_index_N for part in parts]),
    )


def test_images_that_are_training_images_too_are_left_out() -> None:
    training, fresh = images(COUNTS, 0), images((5, 5, 5), 1)
    leaked = joined(fresh, LabelledImages(training.pixels_NHWC[3:7], training.class_index_N[3:7]))
    np.testing.assert_array_equal(apart_from(leaked, training).pixels_NHWC, fresh.pixels_NHWC)


@given(share=st.floats(0.01, 0.99), counts=st.tuples(*[st.integers(4, 12)] * 3), seed=st.integers(0, 9))
def test_both_parts_hold_two_of_every_class_and_no_image_is_in_both(
    share: float, counts: tuple[int, ...], seed: int
) -> None:
    held_out = images(counts, seed)
    choosing, reporting = choosing_share(held_out, share, NAMES)
    np.testing.assert_array_equal(choosing.counts(3) + reporting.counts(3), counts)
    wanted = np.clip(np.round(share * np.array(counts)), 2, np.array(counts) - 2)
    np.testing.assert_array_equal(choosing.counts(3), wanted)
    assert not set(pixel_digests(choosing)) & set(pixel_digests(reporting))


def test_neither_order_nor_other_classes_move_an_image() -> None:
    held_out = images((20, 20, 20), 4)
    order = np.random.default_rng(0).permutation(60)
    moved = LabelledImages(held_out.pixels_NHWC[order], held_out.class_index_N[order])
    fewer = LabelledImages(
        held_out.pixels_NHWC[np.r_[0:40, 40:45]], held_out.class_index_N[np.r_[0:40, 40:45]]
    )
    chosen = set(pixel_digests(choosing_share(held_out, 0.3, NAMES)[0]))
    assert set(pixel_digests(choosing_share(moved, 0.3, NAMES)[0])) == chosen
    of_fewer = choosing_share(fewer, 0.3, NAMES)[0]
    own = LabelledImages(
        of_fewer.pixels_NHWC[of_fewer.class_index_N < 2], of_fewer.class_index_N[of_fewer.class_index_N < 2]
    )
    assert set(pixel_digests(own)) <= chosen
    assert len(own.class_index_N) == 12


def test_an_image_that_is_there_twice_is_on_one_side_whatever_its_labels() -> None:
    once = images((10, 10, 10), 5)
    again = np.arange(0, 30, 3)
    other = LabelledImages(once.pixels_NHWC[again], (once.class_index_N[again] + 1) % 3)
    twice = joined(once, other)
    choosing, reporting = choosing_share(twice, 0.5, NAMES)
    assert not set(pixel_digests(choosing)) & set(pixel_digests(reporting))
    assert len(choosing.class_index_N) + len(reporting.class_index_N) == 40


def test_classes_of_fewer_than_four_different_images_cannot_be_cut_and_are_all_named() -> None:
    with pytest.raises(
        InputError, match=r"class 'b' \(1\), class 'c' \(3\): at least 4 .*lift\.validation_uri"
    ):
        choosing_share(images((4, 1, 3), 0), 0.5, NAMES)


@pytest.mark.parametrize("share", [0.01, 0.3, 0.99])
def test_arms_can_be_compared_on_both_parts_of_what_can_be_cut(share: float) -> None:
    for part in choosing_share(images((50, 4, 5), 0), share, NAMES):
        predicted_SN = np.random.default_rng(0).integers(0, 3, (2, len(part.class_index_N)))
        compare(predicted_SN, predicted_SN[::-1], part.class_index_N)
        refuse_too_few(part, NAMES, "x")


def test_a_class_of_one_different_image_on_a_side_is_refused_by_name() -> None:
    there = images((4, 1, 2), 0)
    with pytest.raises(InputError, match=r"images of class 'b' \(1\) among the test images: .* at least 2"):
        refuse_too_few(joined(there, rows(there, 4), rows(there, 4)), NAMES, "the test images")


def rows(of: LabelledImages, *numbers: int) -> LabelledImages:
    return LabelledImages(of.pixels_NHWC[list(numbers)], of.class_index_N[list(numbers)])

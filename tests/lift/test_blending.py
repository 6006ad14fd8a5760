"""Mixup, CutMix and Remix: pixels and labels are shared alike."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from augment.lift.blending import blended

CLASSES = torch.tensor([0, 1, 1, 2])
COUNTS = torch.tensor([100, 30, 10])


def batch() -> torch.Tensor:
    """Image i has the value i everywhere."""
    return torch.arange(4.0)[:, None, None, None].expand(4, 1, 10, 10).clone()


def test_mixup_shares_pixels_and_labels_by_one_number() -> None:
    mixed = blended("mixup", batch(), CLASSES, COUNTS, np.array([0.25, 0, 0]))
    assert mixed.partner_B.tolist() == [3, 2, 1, 0]
    assert mixed.x_BCHW[:, 0, 0, 0].tolist() == [0.75 * 3, 0.25 + 1.5, 0.5 + 0.75, 0.75]
    assert mixed.own_B.tolist() == [0.25] * 4


@given(
    st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True), st.floats(0, 1, exclude_max=True)
)
def test_cutmix_gives_each_label_the_share_of_the_area_that_is_its_own(
    share: float, y: float, x: float
) -> None:
    mixed = blended("cutmix", batch(), CLASSES, COUNTS, np.array([share, y, x]))
    own = (mixed.x_BCHW == batch()).float().mean((1, 2, 3))
    torch.testing.assert_close(mixed.own_B, own)


def test_remix_gives_the_label_to_the_minority_where_it_is_rare_enough_and_its_pixels_are_many_enough() -> (
    None
):
    # Rows 0 and 3 are of classes with 100 and 10 images; rows 1 and 2 of one class.
    mixed = blended("remix", batch(), CLASSES, COUNTS, np.array([0.4, 0, 0]))
    assert mixed.own_B.tolist() == pytest.approx([0.0, 0.4, 0.4, 0.4])  # row 0 is the larger class's, below ½
    mixed = blended("remix", batch(), CLASSES, COUNTS, np.array([0.6, 0, 0]))
    assert mixed.own_B.tolist() == pytest.approx([0.6, 0.6, 0.6, 1.0])  # row 3 is the minority's, above ½
    assert torch.equal(mixed.x_BCHW, blended("mixup", batch(), CLASSES, COUNTS, np.array([0.6, 0, 0])).x_BCHW)

"""Keys of samples: turns that are fair from any index on, and numbers that are a row's own."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from augment.recipes.draws import in_turn, seeds_for, uniforms_for
from augment.seeds import stream_id, uniforms


@given(
    seed=st.integers(0, 2**63 - 1),
    images=st.integers(1, 50),
    first=st.integers(0, 10**9),
    count=st.integers(1, 200),
    attempt=st.integers(0, 100),
)
def test_of_any_consecutive_samples_no_image_has_two_more_than_another(
    seed: int, images: int, first: int, count: int, attempt: int
) -> None:
    source_B = in_turn("x", seed, 4, images, np.arange(first, first + count), np.full(count, attempt))
    assert source_B.min() >= 0
    uses_M = np.bincount(source_B, minlength=images)
    assert len(uses_M) == images
    assert uses_M.max() - uses_M.min() <= 1


def test_the_next_attempt_takes_the_next_image_and_all_have_their_turn() -> None:
    attempts = in_turn("x", 0, 4, 7, np.full(7, 3), np.arange(7))
    assert sorted(attempts) == list(range(7))
    np.testing.assert_array_equal(attempts, in_turn("x", 0, 4, 7, np.arange(3, 10), np.zeros(7, np.int64)))


def test_seeds_classes_and_recipes_have_orders_of_their_own() -> None:
    index_B = np.arange(30)
    keys = [("x", 0, 4), ("x", 1, 4), ("x", 0, 5), ("y", 0, 4)]
    orders = {tuple(in_turn(*key, 30, index_B, np.zeros(30, np.int64))) for key in keys}
    assert len(orders) == len(keys)


@given(st.lists(st.tuples(st.integers(0, 50), st.integers(0, 3)), max_size=40), st.integers(1, 6))
def test_a_samples_uniforms_are_those_of_its_own_counter(pairs: list[tuple[int, int]], width: int) -> None:
    index_B = np.array([index for index, _ in pairs], np.int64)
    attempt_B = np.array([attempt for _, attempt in pairs], np.int64)
    uniforms_BU = uniforms_for("x", 9, 4, index_B, attempt_B, width)
    assert uniforms_BU.shape == (len(pairs), width)
    for row, (index, attempt) in enumerate(pairs):
        alone = uniforms(9, stream_id("recipe.uniforms", "x", 4, attempt), index, 1, width)[0]
        np.testing.assert_array_equal(uniforms_BU[row], alone)


def test_every_sample_and_attempt_has_a_seed_of_its_own() -> None:
    index_B, attempt_B = (grid.ravel() for grid in np.meshgrid(np.arange(50), np.arange(4)))
    seeds = [seeds_for(recipe, 0, label, index_B, attempt_B) for recipe in "xy" for label in (4, 5)]
    assert len({seed for some in seeds for seed in some}) == 4 * 200
    assert all(0 <= seed < 2**64 for some in seeds for seed in some)

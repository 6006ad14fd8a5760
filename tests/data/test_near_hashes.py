"""Near hashes found by blocks are those that comparing all pairs finds."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.data.near_hashes import MAX_DISTANCE, first_near, hamming_distance

WORDS = st.integers(0, 2**64 - 1)


def all_pairs(hashes: list[int], max_distance: int) -> list[int]:
    """Brute force: the first hash within the distance, by Python's own popcount."""
    return [
        next(there for there, other in enumerate(hashes) if bin(one ^ other).count("1") <= max_distance)
        for one in hashes
    ]


@st.composite
def clustered(draw: st.DrawFn) -> list[int]:
    """Distinct hashes, many of which differ from another in few bits."""
    centres = draw(st.lists(WORDS, min_size=1, max_size=6))
    flips = st.sets(st.integers(0, 63), max_size=MAX_DISTANCE + 2)
    members = draw(st.lists(st.tuples(st.sampled_from(centres), flips), max_size=30))
    return list(
        dict.fromkeys([*centres, *(centre ^ sum(1 << bit for bit in bits) for centre, bits in members)])
    )


@given(hashes=clustered(), max_distance=st.integers(0, MAX_DISTANCE))
def test_the_first_near_hash_is_the_one_that_all_pairs_give(hashes: list[int], max_distance: int) -> None:
    found = first_near(np.array(hashes, np.uint64), max_distance)
    assert found.tolist() == all_pairs(hashes, max_distance)


def test_many_hashes_use_more_blocks_and_find_the_same() -> None:
    rng = np.random.default_rng(3)
    apart = rng.integers(0, 2**64, 1_200, np.uint64)
    near = apart[:200] ^ (np.uint64(1) << rng.integers(0, 64, 200).astype(np.uint64))
    hashes = np.unique(np.concatenate([apart, near]))
    rng.shuffle(hashes)
    for max_distance in (0, 2, 4):
        distance = hamming_distance(hashes[:, None], hashes[None, :])
        assert first_near(hashes, max_distance).tolist() == (distance <= max_distance).argmax(axis=1).tolist()


def test_no_hashes_have_no_neighbours() -> None:
    assert first_near(np.array([], np.uint64), 4).tolist() == []
    assert first_near(np.array([7], np.uint64), 4).tolist() == [0]


@given(st.lists(st.tuples(WORDS, WORDS), max_size=20))
def test_the_hamming_distance_is_the_number_of_bits_that_differ(pairs: list[tuple[int, int]]) -> None:
    one, other = (np.array([pair[side] for pair in pairs], np.uint64) for side in (0, 1))
    assert hamming_distance(one, other).tolist() == [bin(a ^ b).count("1") for a, b in pairs]


@pytest.mark.parametrize("max_distance", [-1, MAX_DISTANCE + 1])
def test_a_distance_that_would_find_unlike_images_is_refused(max_distance: int) -> None:
    with pytest.raises(ValueError, match="is not 0 to 8"):
        first_near(np.array([1], np.uint64), max_distance)

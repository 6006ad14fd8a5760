import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from augment.errors import InputError
from augment.quality import neighbours
from augment.quality.neighbours import Gathering, NearestSearch, pair_distances


def vectors(rows, *shape, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, *shape)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_k_nearest_are_those_of_scipys_sorted_distances(k):
    query, reference = vectors(150, 6), vectors(40, 6, seed=1)
    distances = cdist(query, reference)
    found = NearestSearch(reference).nearest(query[:, None], k)
    np.testing.assert_allclose(found.distance_NK, np.sort(distances, axis=1)[:, :k], rtol=1e-6)
    np.testing.assert_array_equal(found.index_NK, np.argsort(distances, axis=1)[:, :k])


@pytest.mark.parametrize("k", [1, 3])
def test_an_image_is_not_its_own_neighbour_though_others_are_at_distance_0(k):
    reference = vectors(90, 4)
    reference[7] = reference[8]
    found = NearestSearch(reference).nearest(reference[:, None], k, left_out_N=np.arange(90))
    distances = cdist(reference, reference)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_allclose(found.distance_NK, np.sort(distances, axis=1)[:, :k], rtol=1e-6)
    assert found.distance_NK[7, 0] == found.distance_NK[8, 0] == 0
    assert (found.index_NK[7, 0], found.index_NK[8, 0]) == (8, 7)


@pytest.mark.parametrize("k", [1, 4])
def test_of_several_views_the_nearest_counts(k):
    query, reference = vectors(70, 3, 5), vectors(20, 5, seed=1)
    found = NearestSearch(reference).nearest(query, k)
    distances = cdist(query.reshape(-1, 5), reference).reshape(70, 3, 20).min(1)
    np.testing.assert_allclose(found.distance_NK, np.sort(distances, axis=1)[:, :k], rtol=1e-6)


@pytest.mark.parametrize("offset", [0, 1e4, 1e6])
def test_what_float32_cannot_tell_apart_is_still_told_apart(offset):
    """A thousand references at almost one distance from a far query: products round it all away."""
    random = np.random.default_rng(0)
    reference = (offset + random.normal(scale=1e-3, size=(1000, 8))).astype(np.float32)
    query = (offset + 500 + random.normal(size=(40, 8))).astype(np.float32)
    distances = cdist(query.astype(np.float64), reference.astype(np.float64))
    found = NearestSearch(reference).nearest(query[:, None], 3)
    np.testing.assert_array_equal(found.distance_NK, np.sort(distances, axis=1)[:, :3].astype(np.float32))
    copies = NearestSearch(reference).nearest(reference[:, None])
    assert (copies.distance_NK == 0).all()


@given(seed=st.integers(0, 10**6), tile=st.integers(1, 70), elements=st.integers(1, 3000))
@settings(max_examples=30)
def test_an_answer_is_the_same_to_the_last_bit_in_any_company_order_and_tile(seed, tile, elements):
    query, reference = vectors(60, 3, 50, seed=seed), vectors(133, 50, seed=seed + 1)
    search = NearestSearch(reference)
    whole = search.nearest(query, 2)
    order = np.random.default_rng(seed).permutation(60)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(neighbours, "_MOST_QUERIES", tile)
        patch.setattr(neighbours, "_TILE_ELEMENTS", elements)
        moved = search.nearest(query[order], 2)
        alone = search.nearest(query[7:8], 2)
    for name in ("distance_NK", "index_NK"):
        np.testing.assert_array_equal(getattr(moved, name), getattr(whole, name)[order])
        np.testing.assert_array_equal(getattr(alone, name), getattr(whole, name)[7:8])


def test_of_equally_near_references_the_first_is_named():
    reference = np.repeat(vectors(3, 4), 5, axis=0)
    found = NearestSearch(reference).nearest(reference[:, None], 2)
    np.testing.assert_array_equal(found.index_NK[:, 0], np.repeat([0, 5, 10], 5))
    np.testing.assert_array_equal(found.index_NK[:, 1], np.repeat([1, 6, 11], 5))


def test_no_query_gives_no_row_and_too_few_references_are_an_error():
    search = NearestSearch(vectors(3, 4))
    assert search.nearest(vectors(0, 1, 4), 3).distance_NK.shape == (0, 3)
    with pytest.raises(InputError, match="4-th nearest of 3"):
        search.nearest(vectors(3, 1, 4), 4)
    with pytest.raises(InputError, match="3-th nearest of 2"):
        search.nearest(vectors(3, 1, 4), 3, left_out_N=np.arange(3))


@given(
    seed=st.integers(0, 10**6),
    rows=st.integers(0, 90),
    added=st.lists(st.integers(0, 40), max_size=4),
    share=st.floats(0, 1),
    coarse=st.booleans(),
)
@settings(max_examples=40)
def test_those_within_a_distance_are_scipys_however_they_were_added(seed, rows, added, share, coarse):
    query, known = vectors(rows, 2, 12, seed=seed), vectors(sum(added), 12, seed=seed + 1)
    basis = np.linalg.qr(np.random.default_rng(seed).normal(size=(12, 5)))[0] if coarse else None
    gathering = Gathering(np.zeros(12), basis)
    for part in np.split(known, np.cumsum(added)):
        gathering.add(part)
    distances = cdist(query.reshape(-1, 12).astype(float), known.astype(float)).reshape(rows, 2, len(known))
    distance = float(np.quantile(distances, share)) if distances.size else 1.0
    found = gathering.within(query, distance)
    expected = np.nonzero((distances < distance).any(1))
    # The quantile is often one pair's own distance, which scipy may sum up in another order.
    unsure = np.isclose(distances, distance, rtol=1e-12).any(1)
    sure = ~unsure[expected]
    assert set(zip(expected[0][sure], expected[1][sure], strict=True)) <= set(zip(*found, strict=True))
    assert (distances.min(1)[found] <= distance * (1 + 1e-12)).all()
    assert sorted(zip(*found, strict=True)) == list(zip(*found, strict=True))


def test_nothing_is_within_no_distance():
    gathering = Gathering(np.zeros(4))
    gathering.add(vectors(5, 4))
    for distance in (0.0, -np.inf):
        assert [len(each) for each in gathering.within(vectors(5, 1, 4), distance)] == [0, 0]


def test_pair_distances_are_scipys():
    x, y = vectors(9000, 7), vectors(9000, 7, seed=1)
    expected = np.sqrt(((x.astype(np.float64) - y) ** 2).sum(1))
    np.testing.assert_allclose(pair_distances(x, y), expected, rtol=1e-12)
    assert (pair_distances(x[:9], x[:9]) == 0).all()
    assert pair_distances(x[:0], y[:0]).shape == (0,)

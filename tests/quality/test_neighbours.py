import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from augment.errors import InputError
from augment.quality.neighbours import all_distances, earlier_duplicates, kth_nearest, nearest_view


def vectors(rows, *shape, seed=0):
    return np.random.default_rng(seed).normal(size=(rows, *shape)).astype(np.float32)


@pytest.mark.parametrize("k", [1, 2, 5])
def test_the_kth_nearest_is_that_of_scipys_sorted_distances(k):
    query, reference = vectors(150, 6), vectors(40, 6, seed=1)
    distances = cdist(query, reference)
    found = kth_nearest(query, reference, k)
    np.testing.assert_allclose(found.distance_N, np.sort(distances, axis=1)[:, k - 1], rtol=1e-6)
    np.testing.assert_array_equal(found.index_N, np.argsort(distances, axis=1)[:, k - 1])


@pytest.mark.parametrize("k", [1, 3])
def test_an_image_is_not_its_own_neighbour_though_others_are_at_distance_0(k):
    reference = vectors(90, 4)
    reference[7] = reference[8]
    found = kth_nearest(reference, reference, k, left_out_N=np.arange(90))
    distances = cdist(reference, reference)
    np.fill_diagonal(distances, np.inf)
    np.testing.assert_allclose(found.distance_N, np.sort(distances, axis=1)[:, k - 1], rtol=1e-6)
    if k == 1:
        assert found.distance_N[7] == found.distance_N[8] == 0
        assert (found.index_N[7], found.index_N[8]) == (8, 7)


def test_of_several_views_the_nearest_counts():
    query, reference = vectors(70, 3, 5), vectors(20, 5, seed=1)
    found = nearest_view(query, reference)
    expected = cdist(query.reshape(-1, 5), reference).reshape(70, 3, 20).min((1, 2))
    np.testing.assert_allclose(found.distance_N, expected, rtol=1e-6)


def test_a_querys_answer_is_the_same_to_the_last_bit_in_any_company_and_order():
    query, reference = vectors(200, 3, 50), vectors(333, 50, seed=1)
    whole = nearest_view(query, reference)
    order = np.random.default_rng(0).permutation(200)
    np.testing.assert_array_equal(nearest_view(query[order], reference).distance_N, whole.distance_N[order])
    for row in (0, 63, 64, 199):
        alone = nearest_view(query[row : row + 1], reference)
        assert (alone.distance_N[0], alone.index_N[0]) == (whole.distance_N[row], whole.index_N[row])


def test_no_query_gives_no_row_and_too_few_references_are_an_error():
    reference = vectors(3, 4)
    assert kth_nearest(reference[:0], reference, 3).distance_N.shape == (0,)
    with pytest.raises(InputError, match="4-th nearest of 3"):
        kth_nearest(reference, reference, 4)
    with pytest.raises(InputError, match="3-th nearest of 2"):
        kth_nearest(reference, reference, 3, left_out_N=np.arange(3))


def test_all_distances_are_scipys():
    query, reference = vectors(30, 8), vectors(20, 8, seed=1)
    np.testing.assert_allclose(all_distances(query, reference), cdist(query, reference), rtol=1e-6)
    assert all_distances(query[:0], reference).shape == (0, 20)
    assert all_distances(query, reference[:0]).shape == (30, 0)


@given(seed=st.integers(0, 10**6), members=st.integers(0, 200), share=st.floats(0, 0.3))
@settings(max_examples=40)
def test_a_member_near_an_earlier_kept_one_is_its_duplicate_and_no_other_is(seed, members, share):
    near = np.random.default_rng(seed).random((members, members)) < share
    near |= near.T
    kept, expected = [], []
    for member in range(members):
        earlier = [other for other in kept if near[member, other]]
        expected.append(earlier[0] if earlier else -1)
        if not earlier:
            kept.append(member)
    found = earlier_duplicates(members, lambda one, other: near[np.ix_(one, other)])
    np.testing.assert_array_equal(found, np.array(expected, np.int64))

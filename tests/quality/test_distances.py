import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.spatial.distance import cdist

from augment.errors import InputError
from augment.quality import distances
from augment.quality.distances import check_features, nearest, squared_distance_blocks, squared_radii


@pytest.fixture
def small_blocks(monkeypatch):
    monkeypatch.setattr(distances, "_BLOCK_ELEMENTS", 100)


@given(seed=st.integers(0, 10**6), n=st.integers(1, 40), m=st.integers(1, 30), shift=st.floats(-1e3, 1e3))
@settings(max_examples=30)
def test_blocks_together_are_the_matrix_that_scipy_computes(seed, n, m, shift):
    random = np.random.default_rng(seed)
    x, y = random.normal(shift, 1, (n, 6)), random.normal(shift, 1, (m, 6))
    found = np.empty((n, m))
    for rows, block in squared_distance_blocks(x, y):
        found[rows] = block
    np.testing.assert_allclose(found, cdist(x, y, "sqeuclidean"), rtol=1e-9, atol=1e-8)


def test_the_size_of_a_block_changes_no_row(small_blocks):
    random = np.random.default_rng(0)
    x, y = random.normal(size=(37, 5)), random.normal(size=(33, 5))
    blocks = list(squared_distance_blocks(x, y))
    assert [block.shape for _, block in blocks] == [(3, 33)] * 12 + [(1, 33)]
    np.testing.assert_allclose(np.concatenate([block for _, block in blocks]), cdist(x, y, "sqeuclidean"))


@pytest.mark.usefixtures("small_blocks")
@pytest.mark.parametrize("k", [1, 5, 11])
def test_radii_are_the_distances_to_the_kth_other_vector(k):
    x = np.random.default_rng(1).normal(100, 1, (12, 4)).astype(np.float32)
    expected = np.sort(cdist(x.astype(np.float64), x.astype(np.float64), "sqeuclidean"), axis=1)[:, k]
    np.testing.assert_allclose(squared_radii(x, k), expected, rtol=1e-9)


def test_twins_are_each_others_nearest_neighbour_and_not_their_own():
    x = np.array([[0.0, 0], [0, 0], [3, 4]])
    np.testing.assert_array_equal(squared_radii(x, 1), [0, 0, 25])
    np.testing.assert_array_equal(squared_radii(x, 2), [25, 25, 25])


@pytest.mark.usefixtures("small_blocks")
def test_nearest_is_exact_over_the_whole_reference():
    random = np.random.default_rng(2)
    query, reference = random.normal(size=(50, 8)), random.normal(size=(333, 8))
    found = nearest(query, reference)
    expected = cdist(query, reference)
    np.testing.assert_array_equal(found.index_N, expected.argmin(1))
    np.testing.assert_allclose(found.distance_N, expected.min(1), rtol=1e-6)
    assert found.distance_N.dtype == np.float32


def test_a_copy_is_at_distance_0_however_far_from_the_origin():
    reference = np.random.default_rng(3).normal(1e6, 1, (200, 16)).astype(np.float32)
    found = nearest(reference[[7, 150]], reference)
    np.testing.assert_array_equal(found.index_N, [7, 150])
    np.testing.assert_array_equal(found.distance_N, [0, 0])


def test_too_few_or_broken_features_are_named():
    with pytest.raises(InputError, match=r"cells: needs \[N ≥ 3, F\] features, not \[2, 4\]"):
        check_features("cells", np.zeros((2, 4)), at_least=3)
    with pytest.raises(InputError, match="needs"):
        check_features("cells", np.zeros(4))
    with pytest.raises(InputError, match="not finite"):
        check_features("cells", np.array([[1.0, np.nan]]))
    with pytest.raises(InputError, match="5-th nearest"):
        squared_radii(np.zeros((5, 2)), 5)
    with pytest.raises(InputError, match="references"):
        nearest(np.zeros((1, 2)), np.zeros((0, 2)))

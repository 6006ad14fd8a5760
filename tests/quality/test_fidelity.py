import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.linalg import sqrtm
from scipy.spatial.distance import cdist
from scipy.stats import ortho_group

from augment.errors import InputError
from augment.quality import distances, fidelity
from augment.quality.fidelity import Moments, RealManifold, frechet_distance, kernel_distance, prdc


def gaussian(seed, n, features=6, mean=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(mean, scale, (n, features))


# ---- moments and the Fréchet distance -----------------------------------------------------------------


def test_moments_are_numpys():
    x = gaussian(0, 40).astype(np.float32)
    moments = Moments.of(x)
    np.testing.assert_allclose(moments.mean_F, x.mean(0, dtype=np.float64))
    np.testing.assert_allclose(moments.covariance_FF, np.cov(x.astype(np.float64), rowvar=False), atol=1e-12)
    assert moments.n == 40


def test_spread_is_the_root_mean_square_distance_of_all_pairs():
    x = gaussian(1, 15, features=4, scale=3.0)
    pairs = cdist(x, x, "sqeuclidean")[np.triu_indices(15, 1)]
    assert Moments.of(x).spread == pytest.approx(np.sqrt(pairs.mean()))


def test_gaussians_with_diagonal_covariance_have_the_closed_form():
    a = Moments(np.array([0.0, 1, 2]), np.diag([1.0, 4, 9]), 10)
    b = Moments(np.array([1.0, 1, 0]), np.diag([4.0, 4, 0]), 10)
    # |μ_a − μ_b|² = 1 + 4, and (σ_a − σ_b)² = 1 + 0 + 9
    assert frechet_distance(a, b) == pytest.approx(15)


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_frechet_distance_is_that_of_scipys_matrix_square_root(seed):
    mixing = gaussian(seed + 10, 8, features=8)
    x, y = gaussian(seed, 60, features=8) @ mixing, gaussian(seed + 5, 50, features=8, mean=0.3, scale=2.0)
    a, b = Moments.of(x), Moments.of(y)
    root = sqrtm(a.covariance_FF @ b.covariance_FF)
    difference = a.mean_F - b.mean_F
    expected = difference @ difference + np.trace(a.covariance_FF + b.covariance_FF - 2 * np.real(root))
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-9)


def test_fewer_vectors_than_features_give_the_nuclear_norm_of_their_products():
    x, y = gaussian(0, 5, features=30), gaussian(1, 7, features=30, mean=1.0)
    a, b = Moments.of(x), Moments.of(y)
    # Σ_a = A Aᵀ and Σ_b = B Bᵀ: tr (Σ_a Σ_b)^½ = ‖Aᵀ B‖_*
    factors = (x - x.mean(0)) @ (y - y.mean(0)).T / np.sqrt(4 * 6)
    cross = np.linalg.norm(factors, "nuc")
    difference = x.mean(0) - y.mean(0)
    expected = difference @ difference + np.trace(a.covariance_FF) + np.trace(b.covariance_FF) - 2 * cross
    assert frechet_distance(a, b) == pytest.approx(expected, rel=1e-6)


@given(seed=st.integers(0, 10**6), n=st.integers(2, 30), scale=st.floats(0.1, 10), shift=st.floats(-50, 50))
@settings(max_examples=30)
def test_frechet_distance_is_symmetric_unmoved_by_rigid_motion_and_grows_with_the_square(
    seed, n, scale, shift
):
    x, y = gaussian(seed, n), gaussian(seed + 1, 20, mean=1.0)
    rotation = ortho_group.rvs(6, random_state=seed)
    distance = frechet_distance(Moments.of(x), Moments.of(y))
    moved = frechet_distance(Moments.of(x @ rotation + shift), Moments.of(y @ rotation + shift))
    assert frechet_distance(Moments.of(y), Moments.of(x)) == pytest.approx(distance, rel=1e-6)
    assert moved == pytest.approx(distance, rel=1e-5)
    assert frechet_distance(Moments.of(scale * x), Moments.of(scale * y)) == pytest.approx(
        scale**2 * distance, rel=1e-6
    )
    assert 0 <= frechet_distance(Moments.of(x), Moments.of(x)) < 1e-5


@given(shift=st.floats(-10, 10))
@settings(max_examples=20)
def test_a_moved_set_is_as_far_as_the_square_of_the_way(shift):
    x = gaussian(3, 25)
    distance = frechet_distance(Moments.of(x), Moments.of(x + shift))
    assert distance == pytest.approx(6 * shift**2, rel=1e-6, abs=1e-6)


def test_one_vector_has_no_covariance():
    with pytest.raises(InputError, match="≥ 2"):
        Moments.of(np.zeros((1, 3)))


# ---- the kernel distance ------------------------------------------------------------------------------


def kernel(x, y):
    return (x @ y / len(x) + 1) ** 3


def test_kernel_distance_is_the_unbiased_sum_over_pairs(monkeypatch):
    monkeypatch.setattr(fidelity, "_BLOCK_ELEMENTS", 50)
    x, y = gaussian(0, 13), gaussian(1, 17, mean=0.5)
    within_x = np.mean([kernel(a, b) for i, a in enumerate(x) for j, b in enumerate(x) if i != j])
    within_y = np.mean([kernel(a, b) for i, a in enumerate(y) for j, b in enumerate(y) if i != j])
    between = np.mean([kernel(a, b) for a in x for b in y])
    assert kernel_distance(x, y) == pytest.approx(within_x + within_y - 2 * between)


def test_kernel_distance_of_two_samples_of_one_distribution_is_0_in_the_mean():
    values = [kernel_distance(gaussian(2 * i, 10), gaussian(2 * i + 1, 12)) for i in range(400)]
    assert abs(np.mean(values)) < 3 * np.std(values) / np.sqrt(len(values))
    assert min(values) < 0


@given(seed=st.integers(0, 10**6))
@settings(max_examples=20)
def test_kernel_distance_is_symmetric_and_unmoved_by_rotation(seed):
    x, y = gaussian(seed, 8), gaussian(seed + 1, 9, mean=0.5)
    rotation = ortho_group.rvs(6, random_state=seed)
    distance = kernel_distance(x, y)
    assert kernel_distance(y, x) == pytest.approx(distance, abs=1e-9)
    assert kernel_distance(x @ rotation, y @ rotation) == pytest.approx(distance, abs=1e-9)


def test_kernel_distance_needs_two_vectors_on_each_side():
    with pytest.raises(InputError, match="second set"):
        kernel_distance(np.zeros((2, 3)), np.zeros((1, 3)))


# ---- precision, recall, density, coverage -------------------------------------------------------------


def brute_force(real, fake, k):
    """The four formulas with explicit balls; a distance equal to the radius is outside."""
    between = cdist(real, fake)
    real_radius = np.sort(cdist(real, real), axis=1)[:, k]
    fake_radius = np.sort(cdist(fake, fake), axis=1)[:, k]
    inside = between < real_radius[:, None]
    return (
        inside.any(0).mean(),
        (between < fake_radius).any(1).mean(),
        inside.sum() / (k * len(fake)),
        (between.min(1) < real_radius).mean(),
    )


@given(
    seed=st.integers(0, 10**6),
    n=st.integers(6, 40),
    m=st.integers(6, 40),
    k=st.integers(1, 5),
    mean=st.floats(0, 3),
)
@settings(max_examples=40)
def test_prdc_is_what_explicit_balls_give(seed, n, m, k, mean):
    real, fake = gaussian(seed, n, features=3), gaussian(seed + 1, m, features=3, mean=mean)
    found = prdc(real, fake, k)
    expected = brute_force(real, fake, k)
    np.testing.assert_allclose(
        (found.precision, found.recall, found.density, found.coverage), expected, atol=1e-12
    )


def test_blocks_change_nothing_in_prdc(monkeypatch):
    real, fake = gaussian(0, 50), gaussian(1, 40, mean=0.5)
    whole = prdc(real, fake)
    monkeypatch.setattr(distances, "_BLOCK_ELEMENTS", 120)
    assert prdc(real, fake) == whole


def test_prdc_on_a_line_by_hand():
    real = np.array([[0.0], [1.0], [2.0], [10.0]])  # k = 1: radii 1, 1, 1, 8
    fake = np.array([[0.5], [0.6], [30.0]])  # radii 0.1, 0.1, 29.4
    found = prdc(real, fake, k=1)
    assert found.precision == pytest.approx(2 / 3)  # 30 lies in no real ball
    assert found.recall == pytest.approx(3 / 4)  # the ball of 30 reaches down past 1, but not to 0
    assert found.density == pytest.approx(4 / 3)  # 0.5 and 0.6 lie in the balls of 0 and 1
    assert found.coverage == pytest.approx(2 / 4)


def test_copies_of_all_real_vectors_have_precision_recall_density_and_coverage_1():
    real = gaussian(5, 60, features=16).astype(np.float32)
    found = prdc(real, real.copy())
    assert (found.precision, found.recall, found.coverage) == (1, 1, 1)
    assert found.density == 1  # itself and its k − 1 nearest, in the mean: the rim is outside


def test_one_repeated_vector_is_precise_but_has_no_recall():
    real = gaussian(6, 40)
    found = prdc(real, np.repeat(real[:1], 10, axis=0))
    assert found.precision == 1
    assert found.recall == 0
    assert found.coverage < 0.5


@given(seed=st.integers(0, 10**6), scale=st.floats(0.01, 100))
@settings(max_examples=20)
def test_prdc_is_unmoved_by_rigid_motion_and_scale(seed, scale):
    real, fake = gaussian(seed, 20), gaussian(seed + 1, 15, mean=0.5)
    rotation = ortho_group.rvs(6, random_state=seed)
    assert prdc(scale * real @ rotation + 3, scale * fake @ rotation + 3) == prdc(real, fake)


def test_no_more_vectors_than_neighbours_is_an_input_error():
    with pytest.raises(InputError, match="5-th nearest neighbours"):
        RealManifold(np.zeros((5, 2)))
    with pytest.raises(InputError, match="5-th nearest neighbours"):
        RealManifold(gaussian(0, 10)).prdc(gaussian(1, 5))
    with pytest.raises(InputError, match="k=0"):
        RealManifold(np.zeros((5, 2)), k=0)

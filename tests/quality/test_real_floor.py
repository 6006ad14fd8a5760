import numpy as np
import pytest
from prdc import compute_prdc
from torch_fidelity.metric_fid import KEY_METRIC_FID, fid_statistics_to_metric
from torch_fidelity.metric_kid import kernel_poly, mmd2

from augment.errors import InputError
from augment.quality.fidelity import Moments, frechet_distance, kernel_distance, prdc
from augment.quality.real_floor import balanced_mixture, frechet_bias, matched_figures, matched_sets


def gaussian(seed, n, features=6, mean=0.0, scale=1.0):
    return np.random.default_rng(seed).normal(mean, scale, (n, features))


def classifier_like(seed, n, features=32):
    """Skewed, correlated features ≥ 0, as a network's pooled ones are."""
    mixing = np.random.default_rng(99).normal(size=(features, features)) / 4
    return np.maximum(gaussian(seed, n, features) @ mixing + 0.3, 0).astype(np.float32)


# ---- the published implementations on the same features ----------------------------------------------


@pytest.mark.parametrize("n", [400, 20], ids=["many", "fewer vectors than features"])
def test_the_frechet_distance_is_torch_fidelitys(n):
    real, fake = classifier_like(0, n), classifier_like(1, n) * 1.2
    moments = [
        {"mu": x.mean(0, dtype=np.float64), "sigma": np.cov(x.astype(np.float64), rowvar=False)}
        for x in (real, fake)
    ]
    expected = fid_statistics_to_metric(*moments, verbose=False)[KEY_METRIC_FID]
    assert frechet_distance(Moments.of(real), Moments.of(fake)) == pytest.approx(expected, rel=1e-3)


def test_the_kernel_distance_is_torch_fidelitys():
    real, fake = (x.astype(np.float64) for x in (classifier_like(0, 300), classifier_like(1, 300) * 1.2))
    options = {"kid_kernel_poly_degree": 3, "kid_kernel_poly_gamma": None, "kid_kernel_poly_coef0": 1}
    pairs = (real, real), (real, fake), (fake, fake)
    expected = mmd2(*(kernel_poly(x, y, **options) for x, y in pairs))
    assert kernel_distance(real, fake) == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("k", [3, 5])
def test_precision_recall_density_and_coverage_are_prdcs(k, capsys):
    real, fake = classifier_like(0, 250), classifier_like(1, 200) * 1.1
    expected = compute_prdc(real_features=real, fake_features=fake, nearest_k=k)
    found = prdc(real, fake, k)
    for name in ("precision", "recall", "density", "coverage"):
        assert getattr(found, name) == pytest.approx(expected[name], rel=1e-3)


# ---- the floor ----------------------------------------------------------------------------------------


@pytest.mark.parametrize("scales", [np.ones(8), np.geomspace(0.1, 10, 8)], ids=["sphere", "ellipsoid"])
def test_the_floor_of_gaussians_is_near_its_expectation(scales):
    """24 pairs of sets of one Gaussian: their mean FID against the leading term of its bias."""
    n, m = 400, 300
    draws = [(gaussian(2 * i, n, 8) * scales, gaussian(2 * i + 1, m, 8) * scales) for i in range(24)]
    distances = [frechet_distance(Moments.of(x), Moments.of(y)) for x, y in draws]
    truth = Moments(np.zeros(8), np.diag(scales**2), n)
    noise = np.std(distances) / np.sqrt(len(distances))
    assert np.mean(distances) == pytest.approx(
        frechet_bias(truth, m), abs=3 * noise + 0.02 * np.mean(distances)
    )


def test_the_bias_of_a_sphere_has_the_closed_form():
    # Σ = σ²·1: σ²·[F·(1/n + 1/m) + F(F+1)/4·(1/(n−1) + 1/(m−1))]
    sphere = Moments(np.zeros(10), 4 * np.eye(10), 101)
    expected = 4 * (10 * (1 / 101 + 1 / 51) + 10 * 11 / 4 * (1 / 100 + 1 / 50))
    assert frechet_bias(sphere, 51) == pytest.approx(expected)


def test_a_bias_of_too_few_vectors_is_not_told():
    sphere = Moments(np.zeros(10), np.eye(10), 100)
    assert frechet_bias(sphere, 19) is None
    assert frechet_bias(sphere, 20) is not None
    assert frechet_bias(Moments(np.zeros(10), np.eye(10), 19), 500) is None


def test_generated_vectors_of_the_real_distribution_reach_the_floor():
    figures = matched_figures(
        matched_sets(gaussian(0, 2000, 16), gaussian(1, 800, 16), gaussian(2, 1000, 16))
    )
    assert (figures.floor_from, figures.set_size, figures.reference_size) == ("heldout", 1000, 800)
    assert figures.frechet.value == pytest.approx(figures.frechet.floor, rel=0.4)
    assert figures.frechet.floor == pytest.approx(figures.frechet_bias, rel=0.4)
    assert figures.kernel.value == pytest.approx(0, abs=0.03)
    assert figures.density.value == pytest.approx(figures.density.floor, abs=0.07)
    for name in ("precision", "recall", "coverage"):
        assert getattr(figures, name).value == pytest.approx(getattr(figures, name).floor, abs=0.05)


def test_generated_vectors_of_another_distribution_do_not():
    figures = matched_figures(matched_sets(gaussian(0, 300, mean=1.0), gaussian(1, 300), gaussian(2, 300)))
    assert figures.frechet.value > 10 * figures.frechet.floor
    assert figures.kernel.value > 10 * abs(figures.kernel.floor)
    assert figures.precision.value < figures.precision.floor - 0.1


def test_more_generated_than_held_out_vectors_do_not_look_better_for_it():
    """The whole set's FID would lie below the floor's: it has less bias."""
    generated, training, heldout = gaussian(0, 1600, 16), gaussian(1, 400, 16), gaussian(2, 100, 16)
    figures = matched_figures(matched_sets(generated, training, heldout))
    assert figures.set_size == 100
    whole = frechet_distance(Moments.of(training), Moments.of(generated))
    assert whole < 0.5 * figures.frechet.floor
    assert figures.frechet.value == pytest.approx(figures.frechet.floor, rel=0.3)


def test_sets_are_disjoint_of_one_size_and_take_from_everywhere():
    generated = np.arange(50.0)[:, None]
    sets = matched_sets(generated, gaussian(0, 30, 1), gaussian(1, 12, 1))
    assert [len(each) for each in sets.generated] == [12] * 4
    taken = np.concatenate(sets.generated).ravel()
    assert len(set(taken)) == 48
    assert sets.generated[0].max() > 40
    assert len(sets.real) == 1


def test_without_enough_held_out_vectors_the_training_vectors_are_halved():
    training = gaussian(1, 13)
    for heldout in (None, gaussian(2, 5)):
        sets = matched_sets(gaussian(0, 40), training, heldout)
        assert sets.floor_from == "halves"
        np.testing.assert_array_equal(sets.reference_MF, training[::2])
        np.testing.assert_array_equal(sets.real[0], training[1::2])
    figures = matched_figures(sets)
    assert None not in (figures.recall.value, figures.recall.floor, figures.frechet.floor)


def test_what_too_few_vectors_cannot_tell_is_none():
    figures = matched_figures(matched_sets(gaussian(0, 40), gaussian(1, 4), None))
    assert figures.floor_from == "none"
    assert figures.frechet.value is not None
    assert figures.frechet.floor is figures.recall.value is figures.frechet_bias is None
    figures = matched_figures(matched_sets(gaussian(0, 40), gaussian(1, 1), None))
    assert figures.frechet.value is figures.kernel.value is None


def test_a_mixture_has_the_moments_of_its_classes_drawn_equally_often():
    classes = [gaussian(k, 50 + 100 * k, 4, mean=float(k), scale=1.0 + k) for k in range(3)]
    found = balanced_mixture([Moments.of(each) for each in classes])
    weights = np.concatenate([np.full(len(each), 1 / len(each)) for each in classes])
    together = np.concatenate(classes)
    np.testing.assert_allclose(found.mean_F, np.average(together, axis=0, weights=weights))
    # `Moments` are unbiased within each class, np.cov is told the population's: they differ by 1 in 50
    expected = np.cov(together, rowvar=False, aweights=weights, ddof=0)
    np.testing.assert_allclose(found.covariance_FF, expected, rtol=0.03, atol=0.05)
    assert found.n == 450
    with pytest.raises(InputError, match="at least one class"):
        balanced_mixture([])


def test_features_that_are_none_are_refused():
    with pytest.raises(InputError, match="generated features"):
        matched_sets(np.zeros((0, 3)), gaussian(0, 9, 3), None)
    with pytest.raises(InputError, match="held-out features: some features are not finite"):
        matched_sets(gaussian(0, 9), gaussian(1, 9), np.full((9, 6), np.nan))

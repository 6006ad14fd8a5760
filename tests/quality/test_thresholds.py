import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import betabinom

from augment.errors import ConfigError, InputError
from augment.quality.thresholds import class_means, lower_limits, upper_limits


def scores(seed, counts):
    random = np.random.default_rng(seed)
    class_index = np.repeat(np.arange(len(counts)), counts)
    return random.normal(size=len(class_index)) - class_index, class_index


def mixture_quantile(score, class_index, own, quantile, prior):
    """The formula, term by term: the least score at which (m F_c + m_0 F_0) / (m + m_0) reaches q."""
    present = [c for c in np.unique(class_index)]
    m = (class_index == own).sum()
    for t in np.sort(score):
        pooled = np.mean([(score[class_index == c] <= t).mean() for c in present])
        below = (score[class_index == own] <= t).sum()
        if (below + prior * pooled) / (m + prior) >= quantile - 1e-12:
            return t
    raise AssertionError


@given(
    seed=st.integers(0, 10**6),
    counts=st.lists(st.integers(0, 12), min_size=1, max_size=4).filter(any),
    quantile=st.floats(0.001, 0.49),
    prior=st.floats(0.1, 50),
)
@settings(max_examples=60)
def test_a_limit_is_the_quantile_of_the_posterior_mean(seed, counts, quantile, prior):
    score, class_index = scores(seed, counts)
    limit = lower_limits(score, class_index, len(counts), quantile=quantile, prior_images=prior)
    for own in range(len(counts)):
        assert limit[own] == mixture_quantile(score, class_index, own, quantile, prior)


@given(
    seed=st.integers(0, 10**6),
    counts=st.lists(st.integers(1, 60), min_size=1, max_size=4),
    quantile=st.floats(0.01, 0.3),
)
@settings(max_examples=60)
def test_no_class_loses_more_of_its_own_than_its_number_of_images_allows(seed, counts, quantile):
    score, class_index = scores(seed, counts)
    limit = lower_limits(score, class_index, len(counts), quantile=quantile, prior_images=10)
    for own, count in enumerate(counts):
        refused = (score[class_index == own] < limit[own]).mean()
        assert refused <= quantile * (count + 10) / count + 1e-9


def test_without_a_prior_the_limit_is_numpys_inverted_cdf():
    score, class_index = scores(0, [200, 300])
    limit = lower_limits(score, class_index, 2, quantile=0.053, prior_images=1e-9)
    for own in (0, 1):
        assert limit[own] == np.quantile(score[class_index == own], 0.053, method="inverted_cdf")


def test_new_scores_of_the_same_distribution_are_refused_at_the_nominal_rate():
    """The j-th smallest of m has Beta(j, m + 1 - j) of the distribution below it (order statistics)."""
    random = np.random.default_rng(1)
    m, new, q = 399, 20_000, 0.0499
    limit = lower_limits(random.normal(size=m), np.zeros(m, np.int64), 1, quantile=q, prior_images=1e-9)
    refused = (random.normal(size=new) < limit[0]).sum()
    low, high = betabinom(new, 20, m + 1 - 20).ppf([0.0005, 0.9995])
    assert low <= refused <= high


def test_a_hard_class_of_few_images_is_not_measured_by_the_easy_ones():
    easy = np.random.default_rng(0).normal(0, 0.1, 2_000)
    hard = np.array([-9.0, -8, -7, -6, -5])
    score, class_index = np.concatenate([easy, hard]), np.repeat([0, 1], [2_000, 5])
    limit = lower_limits(score, class_index, 2, quantile=0.05, prior_images=10)
    assert (hard < limit[1]).sum() == 0
    assert limit[0] > -0.5


def test_a_class_without_scores_has_the_limit_of_all_classes_together_each_weighing_the_same():
    score = np.concatenate([np.zeros(900), np.full(10, -1.0)])
    class_index = np.repeat([0, 1], [900, 10])
    assert lower_limits(score, class_index, 3, quantile=0.4, prior_images=5)[2] == -1


def test_upper_limits_are_lower_ones_seen_from_above():
    score, class_index = scores(3, [50, 7, 0])
    options = {"quantile": 0.1, "prior_images": 10}
    np.testing.assert_array_equal(
        upper_limits(score, class_index, 3, **options), -lower_limits(-score, class_index, 3, **options)
    )


def test_a_quantile_of_0_lets_everything_pass():
    score, class_index = scores(3, [5])
    assert lower_limits(score, class_index, 1, quantile=0, prior_images=1)[0] == -np.inf
    assert upper_limits(score, class_index, 1, quantile=0, prior_images=1)[0] == np.inf


def test_a_class_without_scores_has_the_mean_of_the_others_means():
    mean = class_means(np.array([1.0, 3, 10]), np.array([0, 0, 2]), 3)
    np.testing.assert_array_equal(mean, [2, 6, 10])


def test_impossible_calls_are_refused():
    score, class_index = scores(0, [5])
    for quantile, prior in ((0.5, 1), (-0.1, 1), (0.1, 0)):
        with pytest.raises(ConfigError, match="quantile="):
            lower_limits(score, class_index, 1, quantile=quantile, prior_images=prior)
    for bad in (score[:0], np.full(5, np.nan), score[:4]):
        with pytest.raises(InputError, match="finite scores"):
            lower_limits(bad, class_index, 1, quantile=0.1, prior_images=1)
    with pytest.raises(InputError, match="0 to 0"):
        lower_limits(score, class_index + 1, 1, quantile=0.1, prior_images=1)
    for bad in (score[:0], np.full(5, np.nan), score[:4]):
        with pytest.raises(InputError, match="finite scores"):
            class_means(bad, class_index, 1)

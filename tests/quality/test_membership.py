import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy import stats
from sklearn.metrics import roc_auc_score, roc_curve

from augment.errors import ConfigError, InputError
from augment.quality.membership import (
    area_under_roc,
    attack,
    membership_scores,
    pooled_attack,
    true_positive_rate,
)


def scores(seed, members=300, heldout=250, shift=0.0):
    random = np.random.default_rng(seed)
    return random.normal(shift, 1, members), random.normal(0, 1, heldout)


def both(member, heldout):
    return np.repeat([1, 0], [len(member), len(heldout)]), np.concatenate([member, heldout])


@given(
    seed=st.integers(0, 10**6), members=st.integers(2, 40), heldout=st.integers(2, 40), shift=st.floats(-1, 3)
)
@settings(max_examples=40)
def test_the_area_is_scikit_learns_with_ties_and_without(seed, members, heldout, shift):
    member, other = scores(seed, members, heldout, shift)
    for decimals in (9, 0):
        a, b = member.round(decimals), other.round(decimals)
        assert area_under_roc(a, b).estimate == pytest.approx(roc_auc_score(*both(a, b)))


def test_the_interval_of_the_area_is_delongs_by_the_pairs():
    member, other = scores(0, 40, 30, 0.5)
    psi = (member[:, None] > other) + 0.5 * (member[:, None] == other)
    variance = psi.mean(1).var(ddof=1) / 40 + psi.mean(0).var(ddof=1) / 30
    found = area_under_roc(member, other, level=0.9)
    half = stats.norm.ppf(0.95) * np.sqrt(variance)
    assert (found.low, found.high) == pytest.approx((psi.mean() - half, psi.mean() + half))


@pytest.mark.parametrize("shift", [0.0, 0.8])
def test_the_interval_of_the_area_holds_the_true_one_nineteen_times_in_twenty(shift):
    true = stats.norm.cdf(shift / np.sqrt(2))
    intervals = [area_under_roc(*scores(seed, 80, 60, shift)) for seed in range(1000)]
    assert 0.03 <= np.mean([not each.low <= true <= each.high for each in intervals]) <= 0.07


@given(seed=st.integers(0, 10**6), heldout=st.integers(100, 400), rate=st.sampled_from([0.01, 0.05, 0.1]))
@settings(max_examples=30)
def test_the_true_positive_rate_is_the_highest_of_the_roc_curve_within_the_rate(seed, heldout, rate):
    member, other = scores(seed, 150, heldout, 1.0)
    false, true, _ = roc_curve(*both(member, other), drop_intermediate=False)
    assert true_positive_rate(member, other, rate) == pytest.approx(true[false <= rate + 1e-12].max())


def test_equal_scores_are_an_alarm_no_oftener_than_once_in_twenty():
    alarms = 0
    for seed in range(400):
        found = attack(*scores(seed, 200, 200), seed=seed, draws=1)
        alarms += found.leaks
    assert alarms / 400 <= 0.083  # 5% and three of its standard errors


def test_the_p_value_is_the_share_of_random_orders_with_as_many_members_in_front():
    random = np.random.default_rng(0)
    member, other = scores(4, 30, 100, 1.0)
    found = attack(member, other, seed=0)
    everything = np.concatenate([member, other])
    hits = []
    for _ in range(2000):
        shuffled = random.permutation(everything)
        hits.append(
            true_positive_rate(shuffled[:30], shuffled[30:], 0.01) >= found.true_positive_rate.estimate
        )
    assert found.p_value == pytest.approx(np.mean(hits), abs=0.02)


def test_a_generator_that_copies_a_tenth_of_its_training_images_is_found_out():
    random = np.random.default_rng(0)
    training, heldout, synthetic = random.normal(size=(3, 400, 8))
    honest = attack(membership_scores(training, synthetic), membership_scores(heldout, synthetic), seed=0)
    assert not honest.leaks
    synthetic[:40] = training[:40] + 0.01 * random.normal(size=(40, 8))
    copier = attack(membership_scores(training, synthetic), membership_scores(heldout, synthetic), seed=0)
    assert copier.leaks
    assert copier.true_positive_rate.estimate >= 0.1
    assert copier.true_positive_rate.low > copier.false_positive_rate
    assert copier.p_value < 1e-6


def test_scores_are_minus_the_distance_to_the_nearest_synthetic_image():
    real, synthetic = np.array([[0.0, 0], [3, 4]]), np.array([[0.0, 1], [3, 4]])
    np.testing.assert_allclose(membership_scores(real, synthetic), [-1, 0])


def test_fewer_held_out_images_than_the_rate_can_tell_have_no_rate():
    found = attack(*scores(0, 50, 99), seed=0)
    assert found.true_positive_rate is found.p_value is None
    assert attack(*scores(0, 50, 100), seed=0).true_positive_rate is not None


def test_classes_of_other_distances_and_other_shares_of_members_feign_no_leak_together():
    random = np.random.default_rng(1)
    areas = []
    for seed in range(60):
        near = random.normal(-1, 0.1, 300), random.normal(-1, 0.1, 30)  # many members, all close
        far = random.normal(-50, 5, 30), random.normal(-50, 5, 120)
        areas.append(pooled_attack([near, far], seed=seed, draws=1).auc)
    assert np.mean([each.estimate for each in areas]) == pytest.approx(0.5, abs=0.015)
    assert np.mean([each.low > 0.5 for each in areas]) <= 0.1
    naive = area_under_roc(np.concatenate([near[0], far[0]]), np.concatenate([near[1], far[1]]))
    assert naive.low > 0.6  # what comparing raw distances would say


def test_a_leak_in_one_class_shows_in_all_together():
    leaking = scores(0, 200, 200, shift=2.0)
    found = pooled_attack([leaking, scores(1, 200, 200)], seed=0)
    assert found.leaks
    assert (found.members, found.heldout) == (400, 400)


def test_impossible_attacks_are_refused():
    member, other = scores(0, 10, 10)
    with pytest.raises(InputError, match="2 members and 2 held-out images: 1, 10"):
        attack(member[:1], other, seed=0)
    with pytest.raises(ConfigError, match="false_positive_rate=0 "):
        attack(member, other, seed=0, false_positive_rate=0)
    with pytest.raises(InputError, match="no class"):
        pooled_attack([], seed=0)

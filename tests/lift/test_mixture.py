"""From an arm and the class counts to a probability, a weight and a prior: closed forms."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import InputError
from augment.lift.arms import ARMS, Arm
from augment.lift.mixture import Phase, filled_counts, mixture_of
from tests.lift.common import COUNTS, data, images


def drawn(arm: Arm, phase: Phase, classes: np.ndarray, real: int) -> tuple[np.ndarray, np.ndarray]:
    """Probability of each class among real rows and among samples, [K] each."""
    probability_R = np.diff(phase.cumulative_R, prepend=0)
    return tuple(
        np.bincount(classes[part], probability_R[part], minlength=3)
        for part in (slice(None, real), slice(real, None))
    )


def of(arm: Arm, phase: int = 0) -> tuple[np.ndarray, np.ndarray, Phase]:
    mixture = mixture_of(arm, data(), 100)
    real_K, samples_K = drawn(arm, mixture.phases[phase], mixture.class_index_R, mixture.real)
    return real_K, samples_K, mixture.phases[phase]


@given(
    counts=st.lists(st.integers(1, 500), min_size=2, max_size=8),
    fill=st.floats(0.01, 1),
    rarest=st.none() | st.integers(1, 8),
)
def test_filling_goes_its_share_of_the_way_to_the_largest_class_and_never_beyond(
    counts: list[int], fill: float, rarest: int | None
) -> None:
    counts_K = np.array(counts)
    added_K = filled_counts(Arm(name="x", source="gan", fill=fill, rarest=rarest), counts_K)
    assert (counts_K + added_K <= counts_K.max()).all()
    chosen = np.flatnonzero(added_K)
    np.testing.assert_allclose(added_K[chosen], fill * (counts_K.max() - counts_K)[chosen], atol=0.5)
    assert rarest is None or len(chosen) <= rarest


def test_ratio_one_fills_every_class_to_the_largest_and_a_half_goes_half_way() -> None:
    counts_K = np.array(COUNTS)
    np.testing.assert_array_equal(filled_counts(ARMS["gan"], counts_K), [0, 20, 32])
    np.testing.assert_array_equal(filled_counts(ARMS["gan-0.5"], counts_K), [0, 10, 16])
    np.testing.assert_array_equal(filled_counts(ARMS["real"], counts_K), [0, 0, 0])
    only = Arm(name="x", source="gan", classes=(1,))
    np.testing.assert_array_equal(filled_counts(only, counts_K), [0, 20, 0])


def test_plain_rows_are_drawn_as_they_are_there_and_oversampling_draws_classes_alike() -> None:
    real_K, samples_K, phase = of(ARMS["balanced-softmax"])
    np.testing.assert_allclose(real_K, np.array(COUNTS) / 68)
    np.testing.assert_allclose(phase.prior_K, np.array(COUNTS) / 68)  # Ren et al. 2020: n / Σ n
    assert not samples_K.any()
    real_K, _, phase = of(ARMS["oversampling"])
    np.testing.assert_allclose(real_K, 1 / 3)
    np.testing.assert_allclose(phase.prior_K, 1 / 3)


def test_filled_up_classes_are_drawn_alike_so_that_balanced_softmax_changes_nothing() -> None:
    real_K, samples_K, phase = of(ARMS["gan-balanced-softmax"])
    np.testing.assert_allclose(real_K + samples_K, 1 / 3)
    np.testing.assert_allclose(phase.prior_K, 1 / 3)


def test_samples_instead_of_repeats_leave_each_class_drawn_as_often_as_without_them() -> None:
    real_K, samples_K, phase = of(ARMS["gan-even"])
    np.testing.assert_allclose(real_K, [1 / 3, 1 / 6, 1 / 6])  # the largest class has no gap to fill
    np.testing.assert_allclose(samples_K, [0, 1 / 6, 1 / 6])
    np.testing.assert_allclose(phase.prior_K, 1 / 3)
    by_rows = Arm(name="x", source="gan", rarest=1, replaced=0.25)
    real_K, samples_K, _ = of(by_rows)
    np.testing.assert_allclose(real_K, np.array([40, 20, 0.75 * 8]) / 68)
    np.testing.assert_allclose(samples_K, np.array([0, 0, 0.25 * 8]) / 68)


def test_a_samples_weight_counts_in_the_prior() -> None:
    _, _, phase = of(ARMS["gan-weight-0.5"])
    weights_K = np.array([40, 20 + 0.5 * 20, 8 + 0.5 * 32])
    np.testing.assert_allclose(phase.prior_K, weights_K / weights_K.sum())


def test_a_share_of_the_batch_is_samples_and_the_rest_real_rows_as_they_are() -> None:
    real_K, samples_K, phase = of(ARMS["gan-curriculum"])
    np.testing.assert_allclose(real_K, 0.6 * np.array(COUNTS) / 68)
    np.testing.assert_allclose(samples_K, 0.4 * np.array([0, 20, 32]) / 52)
    np.testing.assert_allclose(phase.prior_K, real_K + samples_K)


def test_the_real_prior_is_that_of_the_counts_whatever_is_drawn() -> None:
    arm = Arm(name="x", source="gan", share=0.3, loss="balanced_softmax", prior="real")
    np.testing.assert_allclose(of(arm)[2].prior_K, np.array(COUNTS) / 68)


def test_a_curriculum_ends_on_real_rows_alone_within_one_cycle_of_the_rate() -> None:
    mixture = mixture_of(ARMS["gan-curriculum"], data(), 100)
    assert [(phase.begin, phase.end, phase.cycle) for phase in mixture.phases] == [
        (0, 60, (0, 100)),
        (60, 100, (0, 100)),
    ]
    real_K, samples_K, phase = of(ARMS["gan-curriculum"], phase=1)
    assert not samples_K.any()
    np.testing.assert_allclose(real_K, np.array(COUNTS) / 68)
    np.testing.assert_allclose(phase.prior_K, np.array(COUNTS) / 68)


def test_a_refitted_head_sees_real_rows_class_balanced_in_a_cycle_of_its_own() -> None:
    mixture = mixture_of(ARMS["gan-crt"], data(), 100)
    assert [(p.begin, p.end, p.cycle, p.head_only) for p in mixture.phases] == [
        (0, 80, (0, 80), False),
        (80, 100, (80, 100), True),
    ]
    real_K, samples_K, _ = of(ARMS["gan-crt"], phase=1)
    np.testing.assert_allclose(real_K, 1 / 3)
    assert not samples_K.any()


def test_an_arm_takes_the_first_samples_of_each_class() -> None:
    mixture = mixture_of(ARMS["gan-0.5"], data(), 10)
    np.testing.assert_array_equal(mixture.pool_index, [*range(10), *range(20, 36)])


@pytest.mark.parametrize(
    ("pools", "why"),
    [
        ({}, "needs samples of source 'gan', and none are given"),
        ({"gan": images((0, 20, 31), 3)}, "needs 32 .*'c'.*31"),
    ],
)
def test_a_pool_that_is_missing_or_too_small_is_an_error(pools: dict, why: str) -> None:
    with pytest.raises(InputError, match=why):
        mixture_of(ARMS["gan"], data(pools), 10)


def test_an_arm_with_nothing_to_fill_is_an_error() -> None:
    with pytest.raises(InputError, match="adds no sample"):
        mixture_of(Arm(name="x", source="gan", classes=(0,)), data(), 10)

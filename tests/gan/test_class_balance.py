import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import ConfigError, InputError
from augment.gan.class_balance import effective_number, effective_number_weights

COUNTS = st.lists(st.integers(0, 100_000), min_size=1, max_size=30).filter(any)
BETAS = st.sampled_from([0.0, 0.5, 0.9, 0.99, 0.999, 0.9999])


@pytest.mark.parametrize("beta", [0.0, 0.3, 0.99])
def test_the_nth_image_adds_beta_to_the_power_n_minus_1(beta):
    geometric = np.cumsum([beta**j for j in range(300)])
    np.testing.assert_allclose(effective_number(np.arange(1, 301), beta), geometric, rtol=1e-12)


@given(count=st.integers(1, 10**6), beta=BETAS)
def test_the_effective_number_lies_between_1_and_both_the_images_and_the_distinct_looks(count, beta):
    (number,) = effective_number([count], beta)
    assert 1 - 1e-9 <= number <= min(count, 1 / (1 - beta)) * (1 + 1e-9)


def test_the_weights_are_those_of_the_gsr_code_for_cifar_10_at_imbalance_100():
    counts = [int(5000 * 0.01 ** (k / 9)) for k in range(10)]
    effective = np.array([(1 - 0.99**n) / (1 - 0.99) for n in counts])
    kappa = 10 / np.sum(1 / effective)
    np.testing.assert_allclose(effective_number_weights(counts), kappa / effective, rtol=1e-12)


@given(counts=COUNTS, beta=BETAS)
def test_weights_average_1_over_the_classes_with_images_and_rarer_classes_weigh_no_less(counts, beta):
    weights = effective_number_weights(counts, beta)
    counts = np.array(counts)
    assert weights.dtype == np.float64
    assert weights[counts > 0].mean() == pytest.approx(1)
    assert (weights[counts == 0] == 0).all()
    from_rarest = weights[np.argsort(counts)][np.sum(counts == 0) :]
    assert (np.diff(from_rarest) <= 1e-12).all()


@given(counts=COUNTS)
def test_an_empty_class_changes_no_other_weight(counts):
    alone = effective_number_weights(counts)
    np.testing.assert_allclose(effective_number_weights([0, *counts, 0]), [0, *alone, 0], rtol=1e-12)


def test_beta_0_weighs_classes_alike_and_beta_near_1_by_inverse_frequency():
    np.testing.assert_array_equal(effective_number_weights([1, 50, 5000], 0.0), [1, 1, 1])
    inverse = 1 / np.array([1, 50, 5000])
    expected = inverse / inverse.mean()
    np.testing.assert_allclose(effective_number_weights([1, 50, 5000], 1 - 1e-9), expected, rtol=1e-4)


def test_the_heaviest_class_weighs_at_most_the_number_of_distinct_looks_times_the_lightest():
    weights = effective_number_weights([1, 10**6], beta=0.99)
    assert weights[0] / weights[1] == pytest.approx(100)


def test_no_image_at_all_and_an_impossible_beta_are_errors_that_say_so():
    with pytest.raises(InputError, match="no class has an image"):
        effective_number_weights([0, 0])
    for beta in (1.0, -0.1, float("nan")):
        with pytest.raises(ConfigError, match="β="):
            effective_number_weights([3], beta)

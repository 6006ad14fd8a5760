import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import InputError
from augment.gan.labels import LabelSampler, tempered


@given(
    counts=st.lists(st.integers(0, 5000), min_size=1, max_size=20).filter(any),
    temperature=st.floats(0, 1),
)
def test_tempered_labels_are_n_to_the_tau_normalised(counts, temperature):
    p = tempered(counts, temperature)
    expected = np.array([n**temperature if n else 0.0 for n in counts])
    np.testing.assert_allclose(p, expected / expected.sum())
    assert p.sum() == pytest.approx(1)


def test_tau_1_is_the_natural_distribution_and_tau_0_uniform_over_classes_with_images():
    np.testing.assert_allclose(tempered([30, 0, 10], 1.0), [0.75, 0, 0.25])
    np.testing.assert_allclose(tempered([30, 0, 10], 0.0), [0.5, 0, 0.5])


def test_no_image_at_all_is_an_input_error():
    with pytest.raises(InputError, match="nothing to train on"):
        tempered([0, 0], 0.5)


@pytest.mark.parametrize("temperature", [0.0, 0.5, 1.0])
def test_draws_follow_the_tempered_distribution_and_every_image_has_its_class(temperature):
    class_index = np.random.default_rng(0).permutation(np.repeat([0, 1, 3], [80, 15, 5]))
    draws = LabelSampler(class_index, 4, temperature).draw(seed=1, first=0, rows=20_000)
    np.testing.assert_array_equal(class_index[draws.image_B], draws.class_B)
    shares = np.bincount(draws.class_B, minlength=4) / 20_000
    np.testing.assert_allclose(shares, tempered([80, 15, 0, 5], temperature), atol=0.015)


def test_every_image_of_a_class_is_drawn_about_equally_often():
    class_index = np.repeat([0, 1], [4, 10])
    draws = LabelSampler(class_index, 2, 0.0).draw(seed=2, first=0, rows=40_000)
    counts = np.bincount(draws.image_B, minlength=14)
    np.testing.assert_allclose(counts[:4], 5000, rtol=0.06)
    np.testing.assert_allclose(counts[4:], 2000, rtol=0.1)


@given(first=st.integers(0, 10**12), cut=st.integers(0, 32))
def test_a_block_of_draws_is_the_same_in_one_piece_or_in_two(first, cut):
    sampler = LabelSampler(np.repeat([0, 1, 2], [7, 3, 2]), 3, 0.5)
    whole = sampler.draw(5, first, 32)
    parts = [sampler.draw(5, first, cut), sampler.draw(5, first + cut, 32 - cut)]
    np.testing.assert_array_equal(whole.class_B, np.concatenate([part.class_B for part in parts]))
    np.testing.assert_array_equal(whole.image_B, np.concatenate([part.image_B for part in parts]))

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from scipy.stats import binomtest

from augment.errors import ConfigError, InputError
from augment.quality.memorization import NearCopies, Share, near_copies, nearest_distance, pool


def real_sets(seed, n=400):
    """Generated, training and held-out vectors of one distribution."""
    x = np.random.default_rng(seed).normal(size=(3 * n, 8))
    return x[:n], x[n : 2 * n], x[2 * n :]


@given(total=st.integers(1, 5000), share=st.floats(0, 1))
@settings(max_examples=50)
def test_the_interval_is_wilsons_as_scipy_computes_it(total, share):
    count = round(share * total)
    expected = binomtest(count, total).proportion_ci(0.95, method="wilson")
    np.testing.assert_allclose(Share(count=count, total=total).interval, expected, atol=1e-12)


def test_a_generator_that_draws_from_the_real_distribution_has_the_held_out_share():
    found = pool(near_copies(*real_sets(seed), quantile=0.05) for seed in range(20))
    assert found.heldout.value == pytest.approx(0.05, abs=0.005)
    assert found.generated.value == pytest.approx(0.05, abs=0.01)
    assert not found.copies


@pytest.mark.parametrize("noise", [0.0, 0.05])
def test_planted_copies_are_counted(noise):
    generated, training, heldout = real_sets(1)
    generated[:40] = training[:40] + noise * np.random.default_rng(0).normal(size=(40, 8))
    found = near_copies(generated, training, heldout)
    clean = near_copies(real_sets(1)[0][40:], training, heldout)
    assert found.generated.count == 40 + clean.generated.count
    assert found.generated.total == 400
    assert found.copies


def test_one_copied_training_image_among_many_is_found():
    generated, training, heldout = real_sets(2)
    generated[:] = training[137]
    assert near_copies(generated, training, heldout).generated.value == 1


def test_few_held_out_images_set_the_threshold_at_the_nearest_of_them():
    generated, training, heldout = real_sets(3)
    found = near_copies(generated, training, heldout[:20], quantile=0.01)
    threshold = nearest_distance(heldout[:20], training).min()
    assert found.heldout.count == 1
    assert found.threshold == threshold
    assert found.generated.count == (nearest_distance(generated, training) <= threshold).sum()


def test_held_out_images_that_are_copies_themselves_are_counted_as_such():
    generated, training, heldout = real_sets(4)
    heldout[:40] = training[:40]
    found = near_copies(generated, training, heldout)
    assert found.heldout.count == 40
    assert found.generated.count == 0


def test_the_threshold_grows_with_the_features_and_the_counts_stay():
    small, large = near_copies(*real_sets(5)), near_copies(*(1000 * x for x in real_sets(5)))
    assert (small.generated, small.heldout) == (large.generated, large.heldout)
    assert large.threshold == pytest.approx(1000 * small.threshold)


def test_mirrored_copies_are_found_among_mirrored_training_images():
    generated, training, heldout = real_sets(7)
    generated[:60] = training[:60, ::-1]
    both = np.concatenate([training, training[:, ::-1]])
    assert not near_copies(generated, training, heldout).copies
    assert near_copies(generated, both, heldout).generated.count >= 60


def test_pooling_adds_classes_that_each_have_their_own_threshold():
    a = NearCopies(threshold=1.0, generated=Share(count=1, total=10), heldout=Share(count=2, total=50))
    b = NearCopies(threshold=2.0, generated=Share(count=3, total=30), heldout=Share(count=0, total=7))
    assert pool([a]) == a
    assert pool([a, b]) == NearCopies(
        threshold=None, generated=Share(count=4, total=40), heldout=Share(count=2, total=57)
    )


def test_empty_sets_and_impossible_quantiles_are_refused():
    generated, training, heldout = real_sets(6, n=5)
    with pytest.raises(InputError, match="queries"):
        near_copies(generated[:0], training, heldout)
    with pytest.raises(InputError, match="no class"):
        pool([])
    with pytest.raises(ConfigError, match=r"quantile=1\.5"):
        near_copies(generated, training, heldout, quantile=1.5)

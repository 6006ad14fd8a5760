import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import ConfigError, InputError
from augment.quality import crossfit
from augment.quality.config import GatesConfig
from augment.quality.crossfit import Ensemble, assign_folds, fit_ensemble, unseen
from tests.quality.common import striped_images


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


@given(
    counts=st.lists(st.integers(0, 30), min_size=1, max_size=5),
    folds=st.integers(2, 10),
    seed=st.integers(0, 10**6),
)
@settings(max_examples=40)
def test_a_class_is_spread_evenly_and_every_complement_has_an_image_of_it(counts, folds, seed):
    class_index = np.repeat(np.arange(len(counts)), counts)
    fold = assign_folds(class_index, folds, seed)
    for own, count in enumerate(counts):
        a_fold = np.bincount(fold[(class_index == own) & (fold >= 0)], minlength=folds)
        assert a_fold.sum() == (count if count > 1 else 0)
        assert a_fold.max() - a_fold.min() <= 1
        assert (count - a_fold > 0).all() or count == 0


def test_folds_are_drawn_by_seed_and_class_alone():
    class_index = np.repeat([0, 1], [40, 40])
    fold = assign_folds(class_index, 4, 5)
    np.testing.assert_array_equal(fold, assign_folds(class_index, 4, 5))
    assert (fold != assign_folds(class_index, 4, 6)).any()
    np.testing.assert_array_equal(fold[:40], assign_folds(class_index[:40], 4, 5))
    with pytest.raises(ConfigError, match="folds=1"):
        assign_folds(class_index, 1, 5)


def test_no_member_is_fitted_on_an_image_that_it_scores_as_unseen(monkeypatch):
    """Each image is told by its own pixels: the training sets are looked into as the fit receives them."""
    pixels, class_index = striped_images((23, 9, 5), seed=1)
    fold = assign_folds(class_index, 4, 0)
    seen = []
    real_fit = crossfit.fit_classifier

    def spying_fit(pixels_NHWC, *args, **options):
        seen.append({image.tobytes() for image in pixels_NHWC})
        return real_fit(pixels_NHWC, *args, **options)

    monkeypatch.setattr(crossfit, "fit_classifier", spying_fit)
    ensemble = fit_ensemble(pixels, class_index, 3, fold, config=GatesConfig(steps=1), seed=0)
    scored_by = unseen(np.repeat(np.arange(4)[:, None], len(pixels), axis=1), fold)
    for image, member in zip(pixels, scored_by.tolist(), strict=True):
        assert image.tobytes() not in seen[member]
        assert all(image.tobytes() in seen[other] for other in range(4) if other != member)
    look = ensemble.look(pixels)
    for row, member in enumerate(scored_by.tolist()):
        alone = ensemble.members[member].look(pixels).probability_NK[row]
        np.testing.assert_allclose(np.exp(unseen(look.log_probability_ENK, fold)[row]), alone, rtol=1e-5)


def test_random_labels_are_known_to_members_that_saw_them_and_to_no_other():
    random = np.random.default_rng(0)
    pixels = random.integers(0, 256, (160, 8, 8, 1)).astype(np.uint8)
    class_index = random.integers(0, 2, 160)
    fold = assign_folds(class_index, 2, 0)
    config = GatesConfig(folds=2, steps=150, batch_size=32)
    look = fit_ensemble(pixels, class_index, 2, fold, config=config, seed=0).look(pixels)
    right = look.log_probability_ENK.argmax(2) == class_index
    assert unseen(right, 1 - fold).mean() > 0.75
    assert 0.35 < unseen(right, fold).mean() < 0.65


def test_progress_is_told_of_the_steps_of_all_members():
    pixels, class_index = striped_images((9, 9))
    told = []
    config = GatesConfig(folds=3, steps=2, batch_size=8)
    fit_ensemble(
        pixels, class_index, 2, assign_folds(class_index, 3, 0), config=config, seed=0,
        progress=lambda *news: told.append(news),
    )  # fmt: skip
    assert told == [("classifiers", 2, 6), ("classifiers", 4, 6), ("classifiers", 6, 6)]


def test_members_of_different_kinds_are_no_ensemble():
    config = GatesConfig(folds=2, steps=1, batch_size=8)
    members = []
    for size in (8, 16):
        pixels, class_index = striped_images((9, 9), size=size)
        fold = assign_folds(class_index, 2, 0)
        members.append(fit_ensemble(pixels, class_index, 2, fold, config=config, seed=0).members[0])
    with pytest.raises(InputError, match="of one kind"):
        Ensemble(members)

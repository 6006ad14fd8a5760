import numpy as np
import pytest
import torch
from scipy.spatial.distance import cdist

from augment.errors import InputError
from augment.quality import calibration
from augment.quality.calibration import calibrate, folds_of
from augment.quality.config import GatesConfig
from augment.quality.crossfit import assign_folds
from augment.quality.gates import GATES
from augment.quality.thresholds import lower_limits, upper_limits
from augment.types import sha256_hex
from tests.quality.common import striped_images

QUICK = GatesConfig(steps=8, batch_size=16, judges=None)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def test_the_order_of_the_images_and_exact_copies_change_nothing_but_positions():
    pixels, class_index = striped_images((30, 12, 6))
    first = calibrate(pixels, class_index, 3, QUICK, 0)
    order = np.random.default_rng(0).permutation(len(pixels) + 10) % len(pixels)
    again = calibrate(pixels[order], class_index[order], 3, QUICK, 0)
    np.testing.assert_array_equal(first.parts.limits.low_KG, again.parts.limits.low_KG)
    np.testing.assert_array_equal(first.parts.limits.high_KG, again.parts.limits.high_KG)
    np.testing.assert_array_equal(
        pixels[first.parts.references.position_R], pixels[order][again.parts.references.position_R]
    )
    assert first.to_bytes() == calibrate(pixels, class_index, 3, QUICK, 0).to_bytes()
    other = calibrate(pixels, class_index, 3, QUICK, 1)
    assert sha256_hex(first.to_bytes()) != sha256_hex(other.to_bytes())


def test_every_real_image_of_a_judged_class_is_kept_for_reference():
    pixels, class_index = striped_images((30, 12, 6))
    keeper = calibrate(pixels, class_index, 3, QUICK, 0, judged_classes=[2, 1])
    assert keeper.judged_classes == (1, 2)
    kept = keeper.parts.references.position_R
    assert sorted(kept.tolist()) == np.flatnonzero(class_index > 0).tolist()
    with pytest.raises(InputError, match=r"not calibrated for candidates of the classes \[0\]"):
        keeper.judge(pixels[:9], class_index[:9] * 0)


def test_limits_are_those_of_scores_by_members_that_did_not_see_the_image():
    """Derived once more from the keeper's own members and reference images, with scipy's distances."""
    pixels, class_index = striped_images((30, 14))
    keeper = calibrate(pixels, class_index, 2, QUICK, 0)
    references, config = keeper.parts.references, keeper.info.config
    own_class = references.class_index_R
    fold = assign_folds(own_class, config.folds, 0)
    label, far = np.empty(len(fold)), np.empty(len(fold))
    for row in range(len(fold)):
        look = keeper.parts.ensemble.members[fold[row]].look(pixels[references.position_R])
        label[row] = np.log(look.probability_NK[row, own_class[row]])
        others = (own_class == own_class[row]) & (np.arange(len(fold)) != row)
        distances = cdist(look.features_NF[[row]], look.features_NF[others])[0]
        spread = np.sqrt(((look.features_NF - look.features_NF.mean(0)) ** 2).sum(1).mean())
        far[row] = np.sort(distances)[config.neighbours - 1] / spread
    limits = keeper.parts.limits
    options = {"prior_images": config.prior_images}
    np.testing.assert_allclose(
        limits.low_KG[:, GATES.index("label")],
        lower_limits(label, own_class, 2, quantile=config.label_quantile, **options),
        rtol=1e-4,
    )
    scale = np.array([far[own_class == 0].mean(), far[own_class == 1].mean()])
    expected = upper_limits(
        far / scale[own_class], own_class, 2, quantile=config.distance_quantile / 2, **options
    )
    np.testing.assert_allclose(
        limits.high_KG[:, GATES.index("in-distribution-features")], expected * scale, rtol=1e-4
    )


@pytest.mark.parametrize("counts", [(40, 5), (40, 2), (40, 1), (5, 5), (2, 2)])
def test_classes_of_few_images_have_limits_and_their_candidates_verdicts(counts):
    pixels, class_index = striped_images(counts)
    keeper = calibrate(pixels, class_index, 2, QUICK, 0)
    limits = keeper.parts.limits
    for name in ("near-copy-pixels", "near-copy-features"):
        assert np.isfinite(limits.low_KG[:, GATES.index(name)]).all()
        assert (limits.low_KG[:, GATES.index(name)] > 0).all()
    assert np.isfinite(limits.low_KG[:, GATES.index("label")]).all()
    for name in ("in-distribution-features", "in-distribution-pixels"):
        assert np.isfinite(limits.high_KG[:, GATES.index(name)]).all()
    verdicts = keeper.judge(pixels, class_index)
    assert (verdicts.scores_BG[:, GATES.index("near-copy-pixels")] == 0).all()
    assert not verdicts.accepted_B.any()


def test_copies_among_the_real_images_do_not_open_the_copy_gate():
    pixels, class_index = striped_images((40, 20))
    shifted = np.pad(pixels, ((0, 0), (1, 0), (0, 0), (0, 0)), mode="edge")[:, :-1]
    some = np.concatenate([pixels, pixels, shifted[:15]])
    classes = np.concatenate([class_index, class_index, class_index[:15]])
    keeper = calibrate(some, classes, 2, QUICK, 0)
    assert (keeper.parts.limits.low_KG[:, GATES.index("near-copy-pixels")] > 1).all()
    assert not keeper.judge(pixels, class_index).accepted_B.any()
    with pytest.raises(InputError, match="is a copy of another"):
        calibrate(np.concatenate([pixels, shifted]), np.tile(class_index, 2), 2, QUICK, 0)


def test_a_gate_with_the_quantile_0_is_off():
    pixels, class_index = striped_images((30, 12))
    off = QUICK.model_copy(
        update={
            "label_quantile": 0.0,
            "distance_quantile": 0.0,
            "copy_quantile": 0.0,
            "duplicate_quantile": 0.0,
        }
    )
    keeper = calibrate(pixels, class_index, 2, off, 0)
    assert keeper.judge(pixels, class_index).accepted_B.all()
    same, own = np.repeat(pixels[:1], 5, axis=0), np.repeat(class_index[:1], 5)
    assert not keeper.repeats(int(own[0])).refuse(same, keeper.judge(same, own).features_EBF).any()


def test_the_approximate_band_is_one_to_two_mean_distances_of_real_images():
    pixels, class_index = striped_images((30, 12))
    keeper = calibrate(pixels, class_index, 2, QUICK.model_copy(update={"band": "approximate"}), 0)
    gate = GATES.index("in-distribution-features")
    low, high = keeper.parts.limits.low_KG[:, gate], keeper.parts.limits.high_KG[:, gate]
    np.testing.assert_allclose(high, 2 * low, rtol=1e-6)
    verdicts = keeper.judge(pixels, class_index)
    score = verdicts.scores_BG[:, gate]
    # Training images are copies: that gate comes first, and the others say nothing more.
    assert set(verdicts.refused_by_B.tolist()) == {GATES.index("near-copy-pixels")}
    within = (score > low[class_index]) & (score <= high[class_index])
    assert 0 < within.mean() < 1


def test_fewer_judges_have_the_limits_of_all_and_look_with_the_first_members():
    pixels, class_index = striped_images((30, 12))
    whole = calibrate(pixels, class_index, 2, QUICK, 0)
    one = calibrate(pixels, class_index, 2, QUICK.model_copy(update={"judges": 1}), 0)
    np.testing.assert_array_equal(one.parts.limits.low_KG, whole.parts.limits.low_KG)
    np.testing.assert_array_equal(one.parts.limits.high_KG, whole.parts.limits.high_KG)
    fresh, fresh_class = striped_images((9, 9), seed=5)
    probability = whole.parts.ensemble.members[0].look(fresh).probability_NK
    label = one.judge(fresh, fresh_class).scores_BG[:, GATES.index("label")]
    np.testing.assert_allclose(np.exp(label), probability[np.arange(18), fresh_class], rtol=1e-5)
    assert len(one.to_bytes()) < 0.5 * len(whole.to_bytes())


def test_progress_is_told_of_classifiers_and_of_distances():
    pixels, class_index = striped_images((9, 9))
    told = []
    calibrate(pixels, class_index, 2, QUICK, 0, lambda *news: told.append(news))
    assert told[-3:] == [("classifiers", 32, 32), ("distances", 1, 2), ("distances", 2, 2)]


def test_a_class_without_images_is_an_error_that_names_it():
    pixels, class_index = striped_images((9, 9))
    with pytest.raises(InputError, match=r"classes with index \[2\] have no real image"):
        calibrate(pixels, class_index, 3, QUICK, 0)
    with pytest.raises(InputError, match=r"classes with index \[1\] have no real image"):
        calibrate(pixels, class_index * 2, 3, QUICK, 0, judged_classes=[1, 2])


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, :, :4], y), "square uint8 images"),
        (lambda x, y: (x.astype(np.float32), y), "not float32"),
        (lambda x, y: (x, y[:-1]), "class indices"),
        (lambda x, y: (x, y + 1), r"outside 0\.\.1"),
        (lambda x, y: (x, y - 1), r"outside 0\.\.1"),
        (lambda x, y: (x[[0] * 9], np.arange(9) % 2), "two different images"),
    ],
)
def test_what_cannot_be_calibrated_on_is_an_input_error(change, message):
    pixels, class_index = change(*striped_images((9, 9)))
    with pytest.raises(InputError, match=message):
        calibrate(pixels, class_index, 2, QUICK.model_copy(update={"steps": 1}), 0)


def test_the_folds_that_are_told_are_those_that_the_classifiers_are_fitted_by(monkeypatch):
    pixels, class_index = striped_images((30, 12, 1))
    pixels, class_index = pixels[np.r_[:43, :5]], class_index[np.r_[:43, :5]]  # five copies
    given = {}

    class Stop(Exception):
        pass

    def capture(pixels_NHWC, class_index_N, class_count, fold_N, **options):
        given.update({image.tobytes(): fold for image, fold in zip(pixels_NHWC, fold_N, strict=True)})
        raise Stop

    monkeypatch.setattr(calibration, "fit_ensemble", capture)
    with pytest.raises(Stop):
        calibrate(pixels, class_index, 3, QUICK, seed=4)
    told_N = folds_of(pixels, class_index, QUICK.folds, 4)
    assert len(given) == 43
    assert told_N.tolist() == [given[image.tobytes()] for image in pixels]
    assert (told_N == -1).sum() == 1  # the only image of its class

import numpy as np
import pytest

from augment.errors import InputError
from augment.quality.fidelity import Moments, frechet_distance, kernel_distance, prdc
from augment.quality.per_class import ClassScore, Scores, Worst, class_references, score_classes

COUNTS = (50, 30, 4, 1, 0)


def real_set():
    random = np.random.default_rng(0)
    class_index = random.permutation(np.repeat(np.arange(5), COUNTS))
    return random.normal(class_index[:, None], 1.0, (len(class_index), 6)), class_index


def fake_set(per_class=20, seed=1):
    class_index = np.repeat(np.arange(5), per_class)
    return np.random.default_rng(seed).normal(class_index[:, None], 1.0, (len(class_index), 6)), class_index


def certain(class_index, classes=5):
    """Probabilities of a classifier that is sure of these classes."""
    return np.eye(classes, dtype=np.float32)[class_index]


def test_a_class_has_the_scores_of_its_own_images_alone():
    real, real_class = real_set()
    fake, fake_class = fake_set()
    score = score_classes(
        class_references(real, real_class, range(5)), fake, certain(fake_class), fake_class
    )[1]
    own_real, own_fake = real[real_class == 1], fake[fake_class == 1]
    expected = prdc(own_real, own_fake)
    assert (score.class_index, score.n_real, score.n_fake) == (1, 30, 20)
    assert score.frechet == frechet_distance(Moments.of(own_real), Moments.of(own_fake))
    assert score.kernel == kernel_distance(own_real, own_fake)
    assert (score.precision, score.recall) == (expected.precision, expected.recall)
    assert (score.density, score.coverage) == (expected.density, expected.coverage)
    assert score.spread == Moments.of(own_fake).spread / Moments.of(own_real).spread


def test_what_too_few_images_cannot_tell_is_none():
    fake, fake_class = fake_set()
    scores = score_classes(class_references(*real_set(), range(5)), fake, certain(fake_class), fake_class)
    assert None not in scores[0].model_dump().values()
    four, one, none = scores[2:]
    assert four.frechet is not None
    assert four.recall is four.precision is four.density is four.coverage is None  # 4 ≤ k
    for score in (one, none):
        assert score.frechet is score.kernel is score.recall is score.spread is None
        assert score.label_accuracy == 1
    assert (one.n_real, none.n_real) == (1, 0)


def test_a_class_without_generated_images_has_no_score():
    fake, fake_class = fake_set()
    kept = fake_class != 0
    score = score_classes(
        class_references(*real_set(), range(5)), fake[kept], certain(fake_class[kept]), fake_class[kept]
    )[0]
    assert score.n_fake == 0
    assert score.label_accuracy is score.frechet is score.recall is None


def test_label_accuracy_is_the_share_taken_for_the_class_asked_for():
    fake, fake_class = fake_set(per_class=10)
    taken_for = fake_class.copy()
    taken_for[:3] = 4  # three of class 0
    scores = score_classes(class_references(*real_set(), range(5)), fake, certain(taken_for), fake_class)
    assert [score.label_accuracy for score in scores] == [0.7, 1, 1, 1, 1]


def test_the_order_of_the_generated_images_changes_rounding_only():
    references = class_references(*real_set(), range(5))
    fake, fake_class = fake_set()
    order = np.random.default_rng(3).permutation(len(fake))
    plain = score_classes(references, fake, certain(fake_class), fake_class)[:2]
    shuffled = score_classes(references, fake[order], certain(fake_class[order]), fake_class[order])[:2]
    for a, b in zip(plain, shuffled, strict=True):
        assert a.model_dump() == pytest.approx(b.model_dump(), rel=1e-9)


def test_a_collapsed_class_is_named_by_its_spread_and_recall():
    references = class_references(*real_set(), [0, 1])
    fake, fake_class = fake_set()
    fake, fake_class = fake[fake_class < 2], fake_class[fake_class < 2]
    fake[fake_class == 1] = fake[fake_class == 1][0]
    summary = Scores.of(score_classes(references, fake, certain(fake_class), fake_class))
    assert summary.worst_spread.class_index == 1
    assert summary.worst_spread.value < 1e-12
    assert summary.worst_recall == Worst(class_index=1, value=0)
    assert summary.worst_frechet.class_index == 1


def test_some_of_many_classes_may_be_scored_alone():
    fake, fake_class = fake_set()
    kept = fake_class == 1
    references = class_references(*real_set(), [1])
    scores = score_classes(references, fake[kept], certain(fake_class[kept]), fake_class[kept])
    assert [score.class_index for score in scores] == [1]
    with pytest.raises(InputError, match=r"\[0, 2, 3, 4\] have no real reference"):
        score_classes(references, fake, certain(fake_class), fake_class)


def test_large_classes_keep_evenly_spaced_vectors_but_moments_of_all():
    real, real_class = real_set()
    reference = class_references(real, real_class, [0], most_kept=20)[0]
    own = real[real_class == 0]
    expected = own[[int(i * 2.5) for i in range(20)]]
    np.testing.assert_array_equal(reference.features_NF, expected)
    np.testing.assert_array_equal(reference.moments.mean_F, Moments.of(own).mean_F)
    assert reference.n == 50


def score(class_index, **values):
    fields = dict.fromkeys(ClassScore.model_fields) | {"class_index": class_index, "n_real": 9, "n_fake": 9}
    return ClassScore(**(fields | values))


def test_the_summary_is_the_mean_and_the_worst_of_those_that_have_a_score():
    summary = Scores.of(
        [
            score(3, frechet=2.0, recall=0.5, label_accuracy=0.9),
            score(5, frechet=4.0, recall=0.7, label_accuracy=0.4),
            score(8, label_accuracy=0.4),
        ]
    )
    assert summary.mean_frechet == 3
    assert summary.worst_frechet == Worst(class_index=5, value=4.0)
    assert summary.worst_recall == Worst(class_index=3, value=0.5)
    assert summary.worst_label_accuracy == Worst(class_index=5, value=0.4)
    assert summary.worst_spread is None


def test_a_summary_goes_through_json_unchanged():
    fake, fake_class = fake_set()
    summary = Scores.of(
        score_classes(class_references(*real_set(), range(5)), fake, certain(fake_class), fake_class)
    )
    assert Scores.model_validate_json(summary.to_json()) == summary
    assert Scores.model_validate_json(Scores.of([]).to_json()).mean_frechet is None


def test_arrays_that_do_not_fit_are_refused():
    references = class_references(*real_set(), range(5))
    fake, fake_class = fake_set()
    with pytest.raises(InputError, match="99 rows of probabilities"):
        score_classes(references, fake, certain(fake_class)[:-1], fake_class)
    with pytest.raises(InputError, match="the generated images: 100 features"):
        score_classes(references, fake, certain(fake_class), fake_class[:-1])
    with pytest.raises(InputError, match="the real images"):
        class_references(*real_set()[:1], np.zeros(3, np.int64), [0])

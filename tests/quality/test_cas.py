import numpy as np
import pytest
from sklearn.metrics import accuracy_score, balanced_accuracy_score, recall_score

from augment.errors import InputError
from augment.quality.cas import accuracy_of, classification_accuracy_score
from augment.quality.classifier import fit_classifier
from tests.quality.common import striped_images

STEPS = 40


@pytest.fixture(scope="module")
def real_test():
    return striped_images((40, 30, 20), seed=9)


def taught_by(images, labels, real_test, classes=3):
    return classification_accuracy_score(images, labels, *real_test, classes, seed=0, steps=STEPS)


def test_samples_as_good_as_real_images_teach_as_well_as_these(real_test):
    score = taught_by(*striped_images((60, 60, 60), seed=1), real_test)
    assert score.balanced_accuracy > 0.9
    assert score.accuracy.low > 0.8
    assert score.trained_on == 180


def test_samples_with_two_classes_exchanged_teach_these_two_wrong(real_test):
    images, labels = striped_images((60, 60, 60), seed=1)
    score = taught_by(images, np.array([1, 0, 2])[labels], real_test)
    assert score.recall_of(0) < 0.1
    assert score.recall_of(1) < 0.1
    assert score.recall_of(2) > 0.8


def test_a_class_without_samples_is_not_learned(real_test):
    score = taught_by(*striped_images((0, 60, 60), seed=1), real_test)
    assert score.recall_of(0) < 0.1
    assert score.balanced_accuracy < 0.7


def test_the_figures_are_scikit_learns(real_test):
    pixels, labels = real_test
    classifier = fit_classifier(*striped_images((30, 30, 30), seed=2), 4, seed=0, steps=3)
    score = accuracy_of(classifier, pixels, labels, trained_on=90)
    predicted = classifier.predict(pixels).class_index_N
    assert score.accuracy.estimate == pytest.approx(accuracy_score(labels, predicted))
    assert score.balanced_accuracy == pytest.approx(
        np.mean(recall_score(labels, predicted, average=None, labels=[0, 1, 2], zero_division=0))
    )
    assert balanced_accuracy_score(labels, labels) == 1
    assert [each.images for each in score.classes] == [40, 30, 20, 0]
    assert score.classes[3].recall is score.recall_of(3) is None


def test_tests_that_do_not_fit_are_refused(real_test):
    pixels, labels = real_test
    classifier = fit_classifier(*striped_images((10, 10), seed=2), 2, seed=0, steps=1)
    with pytest.raises(InputError, match=r"90 real test images have \[89\] labels"):
        accuracy_of(classifier, pixels, labels[1:], trained_on=20)
    with pytest.raises(InputError, match=r"from 0 to 2, outside 0\.\.1"):
        accuracy_of(classifier, pixels, labels, trained_on=20)

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from sklearn.metrics import accuracy_score, balanced_accuracy_score, confusion_matrix, f1_score, recall_score

from augment.errors import ConfigError, InputError
from augment.quality.label_metrics import METRICS, confusion_matrices, mean_recall, metric_named

CLASSES = 4


def guesses(seed, images=60, classes=CLASSES):
    """Predictions of 3 seeds, right about half the time; every class has an image."""
    random = np.random.default_rng(seed)
    labels = np.concatenate([np.arange(classes), random.integers(0, classes, images)])
    right = random.random((3, len(labels))) < 0.5
    return np.where(right, labels, random.integers(0, classes, right.shape)), labels


def sklearn_metric(name, labels, predicted):
    return {
        "accuracy": accuracy_score,
        "balanced_accuracy": balanced_accuracy_score,
        "macro_f1": lambda y, p: f1_score(y, p, average="macro", labels=np.unique(y), zero_division=0),
        "worst_class_recall": lambda y, p: recall_score(
            y, p, average=None, labels=np.unique(y), zero_division=0
        ).min(),
    }[name](labels, predicted)


def test_confusion_matrices_are_scikit_learns():
    predicted, labels = guesses(0)
    counts = confusion_matrices(predicted, labels, CLASSES)
    for counts_KK, predicted_N in zip(counts, predicted, strict=True):
        np.testing.assert_array_equal(counts_KK, confusion_matrix(labels, predicted_N))


@pytest.mark.parametrize("name", METRICS)
@given(seed=st.integers(0, 10**6), classes=st.integers(2, 6))
@settings(max_examples=25)
def test_every_metric_is_scikit_learns(name, seed, classes):
    predicted, labels = guesses(seed, classes=classes)
    measured = METRICS[name](confusion_matrices(predicted, labels, classes))
    expected = [sklearn_metric(name, labels, row) for row in predicted]
    np.testing.assert_allclose(measured.value_S, expected, atol=1e-12)


@pytest.mark.filterwarnings("ignore:y_pred contains classes not in y_true")  # scikit-learn's
@pytest.mark.parametrize("name", METRICS)
def test_a_class_without_test_images_counts_in_no_mean(name):
    predicted, labels = guesses(3)
    predicted, labels = predicted[:, labels != 1], labels[labels != 1]
    measured = METRICS[name](confusion_matrices(predicted, labels, CLASSES + 1))
    expected = [sklearn_metric(name, labels, row) for row in predicted]
    np.testing.assert_allclose(measured.value_S, expected, atol=1e-12)


@pytest.mark.parametrize("metric", [*METRICS.values(), mean_recall([0, 2])], ids=[*METRICS, "mean_recall"])
@given(seed=st.integers(0, 10**6))
@settings(max_examples=15)
def test_every_gradient_is_that_of_finite_differences(metric, seed):
    counts = np.random.default_rng(seed).uniform(5, 50, (2, CLASSES, CLASSES))
    gradient = metric(counts).gradient_SKK
    step = 1e-6
    for true in range(CLASSES):
        for predicted in range(CLASSES):
            moved = counts.copy()
            moved[:, true, predicted] += step
            slope = (metric(moved).value_S - metric(counts).value_S) / step
            np.testing.assert_allclose(gradient[:, true, predicted], slope, atol=1e-6)


def test_mean_recall_of_one_class_is_its_recall_and_of_all_the_balanced_accuracy():
    predicted, labels = guesses(5)
    counts = confusion_matrices(predicted, labels, CLASSES)
    recalls = [recall_score(labels, row, average=None)[2] for row in predicted]
    np.testing.assert_allclose(mean_recall([2])(counts).value_S, recalls)
    balanced = METRICS["balanced_accuracy"](counts).value_S
    np.testing.assert_allclose(mean_recall(range(CLASSES))(counts).value_S, balanced)


def test_unknown_metrics_and_classes_are_refused_by_name():
    predicted, labels = guesses(6)
    counts = confusion_matrices(predicted, labels, CLASSES)
    with pytest.raises(ConfigError, match=r"'f2' is none of accuracy, balanced_accuracy"):
        metric_named("f2")
    with pytest.raises(ConfigError, match="at least one class"):
        mean_recall([])
    with pytest.raises(InputError, match=r"no test image of \[9\]"):
        mean_recall([0, 9])(counts)

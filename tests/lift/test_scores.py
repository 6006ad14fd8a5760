"""Scores against closed forms and scikit-learn; calibration against its formula."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score, log_loss, recall_score

from augment.errors import InputError
from augment.lift.scores import expected_calibration_error, mean_scores, rarest_classes, score


def drawn(n: int = 600, classes: int = 4) -> tuple[np.ndarray, np.ndarray]:
    draws = np.random.default_rng(0)
    labels_N = draws.choice(classes, n, p=[0.5, 0.3, 0.15, 0.05])
    logits_NK = draws.normal(size=(n, classes)) + 2 * np.eye(classes)[labels_N]
    exp_NK = np.exp(logits_NK)
    return (exp_NK / exp_NK.sum(1, keepdims=True)).astype(np.float32), labels_N


def test_scores_are_scikit_learns() -> None:
    probability_NK, labels_N = drawn()
    predicted_N = probability_NK.argmax(1)
    found = score(probability_NK, labels_N, (3, 2))
    recall_K = recall_score(labels_N, predicted_N, average=None)
    assert found.balanced_accuracy == pytest.approx(balanced_accuracy_score(labels_N, predicted_N))
    assert found.macro_f1 == pytest.approx(f1_score(labels_N, predicted_N, average="macro"))
    np.testing.assert_allclose(found.recall_K, recall_K)
    assert found.worst_class_recall == pytest.approx(recall_K.min())
    assert found.tail_recall == pytest.approx(recall_K[[2, 3]].mean())
    double_NK = probability_NK.astype(np.float64)
    assert found.log_loss == pytest.approx(
        log_loss(labels_N, double_NK / double_NK.sum(1, keepdims=True)), rel=1e-5
    )


def test_calibration_error_is_the_gap_of_confidence_and_accuracy_bin_by_bin() -> None:
    # Ten images at confidence 0.9, of which 7 are right, and ten at 0.6, of which 6 are: |0.7 - 0.9| / 2 + 0.
    probability_NK = np.repeat([[0.9, 0.1], [0.6, 0.4]], 10, axis=0).astype(np.float32)
    labels_N = np.array([0] * 7 + [1] * 3 + [0] * 6 + [1] * 4)
    assert expected_calibration_error(probability_NK, labels_N) == pytest.approx(0.1, abs=1e-6)


def test_over_and_under_confidence_within_one_bin_cancel_as_in_the_formula() -> None:
    probability_NK = np.array([[1.0, 0.0]] * 2 + [[0.95, 0.05]] * 2, np.float32)
    labels_N = np.array([0, 1, 0, 1])
    gap = abs(0.5 - (1.0 + 0.95) / 2)
    assert expected_calibration_error(probability_NK, labels_N) == pytest.approx(gap, abs=1e-6)
    assert expected_calibration_error(probability_NK, labels_N, bins=1000) == pytest.approx(gap, abs=1e-6)


def test_a_limit_between_bins_belongs_to_the_lower_one() -> None:
    probability_NK = np.array([[0.5, 0.5, 0.0], [0.75, 0.25, 0.0]], np.float32)
    labels_N = np.array([0, 1])
    # Bins (0, ½] and (½, 1]: gaps 0.5 and 0.75, a half of the images each.
    assert expected_calibration_error(probability_NK, labels_N, bins=2) == pytest.approx(0.625)


def test_the_rarest_classes_are_by_training_images_and_the_first_of_equal_ones() -> None:
    assert rarest_classes(np.array([9, 2, 5, 2, 7])) == (1, 3, 2)


def test_a_class_without_held_out_images_cannot_be_scored() -> None:
    with pytest.raises(InputError, match="no image of class 1"):
        score(np.full((2, 3), 1 / 3, np.float32), np.array([0, 2]), (0,))


def test_means_are_figure_by_figure() -> None:
    probability_NK, labels_N = drawn()
    first, second = score(probability_NK, labels_N, (3,)), score(probability_NK[:, ::-1], labels_N, (3,))
    mean = mean_scores([first, second])
    assert mean.log_loss == pytest.approx((first.log_loss + second.log_loss) / 2)
    np.testing.assert_allclose(mean.recall_K, (np.array(first.recall_K) + second.recall_K) / 2)

"""The verdict: means over seeds, differences from the control that validation chose, and its JSON."""

from __future__ import annotations

import numpy as np
import pytest
from sklearn.metrics import balanced_accuracy_score, f1_score

from augment.lift.arms import ARMS
from augment.lift.config import LiftConfig
from augment.lift.supply import Untried
from augment.lift.verdict import ArmTrials, Asked, Verdict, verdict
from tests.lift.common import COUNTS, NAMES, predictions

VALIDATION_N, TEST_N = np.repeat(np.arange(3), 100), np.repeat(np.arange(3), 200)


def sure(classes_SN: np.ndarray) -> np.ndarray:
    """Probabilities [S, N, K] of 0.8 for the class that is predicted."""
    return np.where(np.eye(3, dtype=bool)[classes_SN], 0.8, 0.1).astype(np.float32)


def trials(name: str, recall_K: tuple[float, ...], seed: int) -> ArmTrials:
    return ArmTrials(
        ARMS[name],
        sure(predictions(VALIDATION_N, recall_K, seed, seeds=3)),
        sure(predictions(TEST_N, recall_K, seed + 50, seeds=3)),
        seconds=2.0,
    )


ALL = [
    trials("real", (0.95, 0.8, 0.4), 0),
    trials("balanced-softmax", (0.9, 0.8, 0.7), 1),
    trials("gan", (0.9, 0.85, 0.9), 2),
]


def asked(untried: tuple[Untried, ...] = ()) -> Asked:
    return Asked(
        NAMES, np.array(COUNTS), VALIDATION_N, TEST_N, (0, 1, 2), LiftConfig(), {"gan": "as told"}, untried
    )


def test_figures_are_those_of_scikit_learn_averaged_over_seeds() -> None:
    found = verdict(asked(), ALL)
    for one, given in zip(found.arms, ALL, strict=True):
        classes_SN = given.test_SNK.argmax(2)
        expected = np.mean([balanced_accuracy_score(TEST_N, row) for row in classes_SN])
        assert one.test.balanced_accuracy == pytest.approx(expected)
        assert one.test.macro_f1 == pytest.approx(
            np.mean([f1_score(TEST_N, row, average="macro") for row in classes_SN])
        )
        assert one.seconds == 2.0


def test_every_arm_is_compared_with_the_control_that_validation_chose() -> None:
    found = verdict(asked(), ALL)
    assert (found.control, found.best_control_on_test) == ("balanced-softmax", "balanced-softmax")
    real, control, gan = found.arms
    assert control.difference is None
    assert real.difference is not None
    assert gan.difference is not None
    assert real.difference.control == gan.difference.control == "balanced-softmax"
    difference = gan.test.balanced_accuracy - control.test.balanced_accuracy
    assert gan.difference.difference.estimate == pytest.approx(difference)
    assert gan.narrowed == "as told"
    assert found.recommendation.train == "gan"
    assert (found.test_counts, found.validation_counts) == ((200,) * 3, (100,) * 3)


def test_without_a_generated_arm_the_reason_says_why_there_is_none() -> None:
    untried = (
        Untried(arm="gan-gated", generated=True, reason="'c' has 0 of 32 samples"),
        Untried(arm="smote", generated=False, reason="not told"),
    )
    found = verdict(asked(untried), ALL[:2])
    assert not found.recommendation.augment
    assert found.recommendation.reason == (
        "no arm with generated samples was tried: gan-gated: 'c' has 0 of 32 samples"
    )


def test_a_verdict_survives_json() -> None:
    found = verdict(asked(), ALL)
    assert Verdict.model_validate_json(found.to_json()) == found

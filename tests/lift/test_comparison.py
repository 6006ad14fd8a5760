"""Arms against a control: the intervals are those of augment.quality, the p-values Holm's over all arms."""

from __future__ import annotations

import numpy as np
import pytest

from augment.errors import ConfigError
from augment.lift.comparison import against, best_of, mean_metric
from augment.quality.intervals import compare, holm
from augment.quality.label_metrics import mean_recall
from tests.lift.common import predictions

LABELS_N = np.repeat(np.arange(3), 200)
ARMS = {
    "real": predictions(LABELS_N, (0.9, 0.8, 0.5), 0),
    "same": predictions(LABELS_N, (0.9, 0.8, 0.5), 1),
    "better": predictions(LABELS_N, (0.9, 0.8, 0.8), 2),
}


def test_every_other_arm_is_compared_once_in_order() -> None:
    found = against("real", ARMS, LABELS_N)
    assert [one.arm for one in found] == ["same", "better"]
    expected = [
        compare(ARMS[name], ARMS["real"], LABELS_N, "balanced_accuracy") for name in ("same", "better")
    ]
    assert [one.difference for one in found] == expected
    assert [one.adjusted_p for one in found] == list(holm([one.p_value for one in expected]))


def test_a_better_arm_is_found_and_an_equal_one_is_not() -> None:
    same, better = against("real", ARMS, LABELS_N)
    assert better.difference.low > 0
    assert better.adjusted_p < 0.05 < same.adjusted_p


def test_the_best_arm_is_of_highest_mean_and_the_first_of_equal_ones() -> None:
    assert best_of(ARMS, LABELS_N) == "better"
    assert best_of({"x": ARMS["real"], "y": ARMS["real"]}, LABELS_N) == "x"
    assert best_of(ARMS, LABELS_N, mean_recall([2])) == "better"


def test_the_mean_is_over_seeds() -> None:
    hits_SN = ARMS["real"] == LABELS_N
    recall = np.mean([hits_SN[:, k == LABELS_N].mean() for k in range(3)])
    assert mean_metric(ARMS["real"], LABELS_N, "balanced_accuracy") == pytest.approx(recall)


def test_a_control_that_was_not_run_is_an_error() -> None:
    with pytest.raises(ConfigError, match="control 'smote' is not among the arms real, same, better"):
        against("smote", ARMS, LABELS_N)

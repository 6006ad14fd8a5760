"""Arms where a source has too few samples: narrowed to what it can fill, or not tried, always with the reason."""

from __future__ import annotations

import numpy as np

from augment.lift.arms import ARMS, only_classes
from augment.lift.supply import Supply, supplied
from tests.lift.common import COUNTS, NAMES

COUNTS_K = np.array(COUNTS)  # 40, 20, 8: samples wanted are 0, 20, 32
FULL = Supply(np.array([0, 20, 32]))


def test_arms_with_full_sources_and_those_without_samples_stay_as_they_are() -> None:
    arms = (ARMS["real"], ARMS["gan"], ARMS["duplicates"])
    found = supplied(arms, COUNTS_K, NAMES, {"gan": FULL, "duplicate": FULL})
    assert (found.arms, found.narrowed, found.untried) == (arms, {}, ())


def test_an_arm_is_narrowed_to_the_classes_that_can_be_filled_whole() -> None:
    short = Supply(np.array([0, 20, 31]), {2: "refused by label 289"})
    found = supplied((ARMS["gan-gated"],), COUNTS_K, NAMES, {"gan-gated": short})
    narrowed = only_classes(ARMS["gan-gated"], [1])
    assert found.arms == (narrowed,)
    assert found.narrowed == {
        narrowed.name: "'c' has 31 of 32 samples (refused by label 289)",
    }


def test_an_arm_that_wants_fewer_samples_is_not_narrowed_by_a_lack_of_more() -> None:
    found = supplied((ARMS["gan-0.5"],), COUNTS_K, NAMES, {"gan": Supply(np.array([0, 10, 16]))})
    assert found.arms == (ARMS["gan-0.5"],)


def test_an_arm_that_can_fill_nothing_is_not_tried() -> None:
    found = supplied(
        (ARMS["gan"], ARMS["smote"]), COUNTS_K, NAMES, {"gan": Supply(np.zeros(3, int)), "smote": FULL}
    )
    assert found.arms == (ARMS["smote"],)
    (untried,) = found.untried
    assert (untried.arm, untried.generated) == ("gan", True)
    assert untried.reason == "'b' has 0 of 20 samples; 'c' has 0 of 32 samples"


def test_where_every_class_is_full_no_arm_has_samples_to_add() -> None:
    found = supplied((ARMS["gan"],), np.array([5, 5, 5]), NAMES, {"gan": Supply(np.zeros(3, int))})
    assert [one.reason for one in found.untried] == ["every class is full"]

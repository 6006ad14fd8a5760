"""Arms that leave out the classes that lose: at most one of each kind, found on validation images, then measured."""

from __future__ import annotations

import numpy as np
import pytest

from augment.lift.arms import ARMS, Arm, only_classes
from augment.lift.comparison import HeldOut
from augment.lift.narrowing import losing_classes, narrower_arms, without_classes
from tests.lift.common import COUNTS, NAMES, predictions

COUNTS_K = np.array(COUNTS)
REAL, DROPS_B, DROPS_ALL = (0.9, 0.8, 0.5), (0.9, 0.5, 0.95), (0.9, 0.5, 0.2)


def held_out(recalls: dict[str, tuple[float, ...]]) -> HeldOut:
    labels_N = np.repeat(np.arange(3), 300)
    return HeldOut(
        {name: predictions(labels_N, recall_K, k) for k, (name, recall_K) in enumerate(recalls.items())},
        labels_N,
    )


def narrowed(
    recalls: dict[str, tuple[float, ...]], *more: Arm
) -> list[tuple[str, tuple[int, ...] | None, str]]:
    arms = [*(ARMS[name] for name in recalls if name in ARMS), *more]
    found = narrower_arms(arms, held_out(recalls), NAMES, COUNTS_K)
    return [(one.arm.name.partition("@")[0], one.arm.classes, one.reason) for one in found]


def test_the_best_generated_arm_is_tried_without_the_classes_that_it_costs() -> None:
    assert narrowed({"real": REAL, "gan": DROPS_B, "gan-0.5": DROPS_ALL}) == [
        ("gan", (2,), "gan without 'b': worse there than real on validation images")
    ]


@pytest.mark.parametrize("recalls", [(0.9, 0.85, 0.9), DROPS_ALL], ids=["no class", "every class"])
def test_an_arm_that_loses_in_no_class_or_in_every_one_is_not_narrowed(recalls: tuple[float, ...]) -> None:
    assert narrowed({"real": REAL, "gan": recalls}) == []


def test_the_best_control_with_samples_has_the_same_chance() -> None:
    both = {
        "real": REAL,
        "balanced-softmax": (0.8, 0.8, 0.5),
        "duplicates": DROPS_B,
        "gan": (0.95, 0.5, 0.99),
    }
    assert [(name, classes) for name, classes, _ in narrowed(both)] == [("gan", None), ("duplicates", (2,))][
        1:
    ]
    worse = {**both, "gan": (0.95, 0.3, 0.99)}
    assert [(name, classes) for name, classes, _ in narrowed(worse)] == [("gan", (2,)), ("duplicates", (2,))]


def test_an_arm_that_is_there_already_is_not_added_again() -> None:
    there = only_classes(ARMS["gan"], [2])
    recalls = {"real": REAL, "gan": DROPS_B, there.name: (0.9, 0.5, 0.6)}
    assert narrowed(recalls, there) == []


def test_without_a_control_or_a_generated_arm_nothing_is_added() -> None:
    assert narrowed({"gan": DROPS_B}) == []
    assert narrowed({"real": REAL}) == []


def test_only_classes_that_an_arm_fills_can_lose() -> None:
    validation = held_out({"real": (0.9, 0.8, 0.5), "gan": (0.2, 0.8, 0.5)})
    assert losing_classes(ARMS["gan"], "real", validation, COUNTS_K) == ()  # `a` is the largest class


def test_a_narrowed_arm_narrowed_again_has_one_name_behind_its_own() -> None:
    narrow = without_classes(ARMS["gan"], [1], COUNTS_K)
    assert narrow is not None
    assert narrow.classes == (2,)
    assert without_classes(narrow, [2], COUNTS_K) is None
    assert only_classes(narrow, [2]).name == narrow.name

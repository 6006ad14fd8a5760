"""The recommendation: chosen on validation, told by test, and 'don't augment' whenever that is what is known."""

from __future__ import annotations

import numpy as np
import pytest

from augment.errors import InputError
from augment.lift.arms import ARMS, Arm, only_classes
from augment.lift.comparison import HeldOut
from augment.lift.recommendation import Recommendation, recommend
from tests.lift.common import COUNTS, NAMES, predictions

CHOSEN = [ARMS[name] for name in ("real", "balanced-softmax", "gan", "gan-0.5")]
PLAIN, BALANCED = (0.95, 0.8, 0.4), (0.9, 0.8, 0.7)


def held_out(recalls: dict[str, tuple[float, ...]], n: int, seed: int) -> HeldOut:
    labels_N = np.repeat(np.arange(3), n)
    return HeldOut(
        {
            name: predictions(labels_N, recall_K, seed + i)
            for i, (name, recall_K) in enumerate(recalls.items())
        },
        labels_N,
    )


def advice(
    validation: dict[str, tuple[float, ...]],
    test: dict[str, tuple[float, ...]] | None = None,
    arms: list[Arm] = CHOSEN,
) -> Recommendation:
    parts = held_out(validation, 300, 0), held_out(test or validation, 600, 100)
    return recommend(arms, *parts, NAMES, np.array(COUNTS))


def with_gan(
    gan: tuple[float, ...], half: tuple[float, ...] = (0.5, 0.5, 0.5)
) -> dict[str, tuple[float, ...]]:
    return {"real": PLAIN, "balanced-softmax": BALANCED, "gan": gan, "gan-0.5": half}


def test_an_arm_that_beats_the_best_control_on_both_is_recommended_with_its_counts() -> None:
    found = advice(with_gan((0.9, 0.85, 0.85)))
    assert (found.augment, found.train, found.control) == (True, "gan", "balanced-softmax")
    assert found.on_test is not None
    assert found.on_test.low > 0
    assert found.tail_on_test is not None
    assert [(one.recipe, one.samples, one.fill) for one in found.classes] == [
        ("none", 0, 0.0),
        ("gan", 20, 1.0),
        ("gan", 32, 1.0),
    ]
    assert found.classes[0].reason == "the arm adds nothing to this class"


def test_an_arm_that_only_beats_a_weak_control_is_not_recommended() -> None:
    found = advice(with_gan((0.95, 0.8, 0.55)))  # better than real, worse than balanced softmax
    assert (found.augment, found.train) == (False, "balanced-softmax")
    assert "no arm with generated samples beats balanced-softmax on validation" in found.reason
    assert {one.recipe for one in found.classes} == {"none"}


@pytest.mark.parametrize(
    "useless",
    [
        pytest.param((0.33, 0.33, 0.33), id="random noise drowns every class"),
        pytest.param((0.95, 0.8, 0.42), id="copies add nothing to real"),
        pytest.param((0.4, 0.8, 0.2), id="one class under another's label"),
    ],
)
def test_what_a_useless_generator_comes_to_is_dont_augment(useless: tuple[float, ...]) -> None:
    found = advice(with_gan(useless, useless))
    assert not found.augment
    assert all((one.recipe, one.samples) == ("none", 0) for one in found.classes)
    assert all(one.reason == found.reason for one in found.classes)


def test_a_gain_on_validation_that_test_does_not_show_is_told_as_such() -> None:
    found = advice(with_gan((0.9, 0.85, 0.85)), with_gan(BALANCED))
    assert (found.augment, found.train, found.chosen) == (False, "balanced-softmax", "gan")
    assert "is not shown to beat the best control, balanced-softmax, on test images" in found.reason
    found = advice(with_gan((0.9, 0.85, 0.85)), with_gan((0.8, 0.6, 0.6)))
    assert "looked better on validation images and is worse" in found.reason


def test_test_images_never_choose_the_arm_or_the_control() -> None:
    better_on_test = {
        "real": (1.0, 1.0, 1.0),
        "balanced-softmax": BALANCED,
        "gan": BALANCED,
        "gan-0.5": (1.0, 1.0, 1.0),
    }
    found = advice(with_gan((0.9, 0.85, 0.85)), better_on_test)
    assert (found.chosen, found.control) == ("gan", "balanced-softmax")


LOSES_B = (0.95, 0.6, 1.0)


def test_a_class_that_loses_stays_in_an_arm_that_wins_where_nothing_narrower_was_measured() -> None:
    found = advice(with_gan(LOSES_B))
    assert found.augment
    assert [one.recipe for one in found.classes] == ["none", "gan", "gan"]
    assert "its recall falls by" in found.classes[1].reason
    assert "the arm without it was not measured, so nothing narrower is advised" in found.classes[1].reason
    assert found.classes[1].recall_change is not None
    assert found.classes[1].recall_change.high < 0


def test_a_narrower_arm_is_advised_where_it_was_measured_and_is_the_best() -> None:
    narrower = only_classes(ARMS["gan"], [2])
    recalls = with_gan(LOSES_B) | {narrower.name: (0.95, 0.8, 1.0)}
    found = advice(recalls, arms=[*CHOSEN, narrower])
    assert (found.augment, found.train) == (True, narrower.name)
    assert [(one.recipe, one.samples) for one in found.classes] == [("none", 0), ("none", 0), ("gan", 32)]


def test_a_narrower_arm_that_was_measured_and_is_worse_is_told_of() -> None:
    narrower = only_classes(ARMS["gan"], [2])
    recalls = with_gan(LOSES_B) | {narrower.name: (0.9, 0.8, 0.7)}
    found = advice(recalls, arms=[*CHOSEN, narrower])
    assert found.train == "gan"
    assert "the arm without such classes was measured too, and is no better" in found.classes[1].reason


@pytest.mark.parametrize(
    ("control", "recipe", "samples"),
    [
        ("real", "none", (0, 0, 0)),
        ("balanced-softmax", "none", (0, 0, 0)),
        ("duplicates", "duplicate", (0, 20, 32)),
        ("oversampling", "duplicate", (0, 20, 32)),
        ("classic", "classic", (0, 20, 32)),
        ("smote", "smote", (0, 20, 32)),
        ("classic-even", "classic", (0, 20, 32)),
    ],
)
def test_where_no_generator_helps_the_advice_is_what_the_best_control_is_made_of(
    control: str, recipe: str, samples: tuple[int, ...]
) -> None:
    recalls = {"real": (0.5, 0.5, 0.4), control: (0.9, 0.8, 0.8), "gan": (0.5, 0.5, 0.5)}
    found = advice(recalls, arms=[ARMS[name] for name in recalls])
    assert (found.augment, found.train, found.makes_samples) == (False, control, any(samples))
    assert tuple(one.samples for one in found.classes) == samples
    assert {one.recipe for one in found.classes if one.samples} == ({recipe} - {"none"})
    assert all(
        one.recipe == "none" and one.reason == found.reason for one in found.classes if not one.samples
    )


def test_without_generated_arms_the_best_control_is_what_to_train_by() -> None:
    found = advice({"real": PLAIN, "balanced-softmax": BALANCED}, arms=CHOSEN[:2])
    assert (found.augment, found.train, found.chosen, found.on_test) == (
        False,
        "balanced-softmax",
        None,
        None,
    )


def test_without_a_control_nothing_can_be_said() -> None:
    with pytest.raises(InputError, match="no control among the arms"):
        advice({"gan": PLAIN}, arms=[ARMS["gan"]])


def test_an_arm_without_predictions_is_an_error() -> None:
    with pytest.raises(InputError, match="arm smote has no predictions"):
        advice({"real": PLAIN}, arms=[ARMS["real"], ARMS["smote"]])


def test_a_recommendation_survives_json() -> None:
    found = advice(with_gan((0.9, 0.85, 0.85)))
    assert Recommendation.model_validate_json(found.to_json()) == found

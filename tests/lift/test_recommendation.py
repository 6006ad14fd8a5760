"""The recommendation: chosen on validation, told by test, and 'don't augment' whenever that is what is known."""

from __future__ import annotations

import numpy as np
import pytest

from augment.errors import InputError
from augment.lift.arms import ARMS, Arm
from augment.lift.recommendation import HeldOut, Recommendation, recommend
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


def test_a_class_that_loses_in_an_arm_that_wins_is_left_out_with_the_reason() -> None:
    found = advice(with_gan((0.95, 0.6, 1.0)))
    assert found.augment
    assert [one.recipe for one in found.classes] == ["none", "none", "gan"]
    assert "its recall falls by" in found.classes[1].reason
    assert found.classes[1].recall_change is not None
    assert found.classes[1].recall_change.high < 0


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

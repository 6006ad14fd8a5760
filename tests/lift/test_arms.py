"""Arms are data: what may go together, which are controls, and what a name or a part of an arm is."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from augment.errors import ConfigError
from augment.lift.arms import ARMS, Arm, arms_named, only_classes


def test_the_table_holds_every_arm_that_was_asked_for() -> None:
    asked = {
        "real",
        "balanced-softmax",
        "oversampling",
        "duplicates",
        "classic",
        "smote",
        "gan",
        "gan-0.5",
        "gan-0.25",
    }
    mixing = {"gan-balanced-softmax", "gan-weight-0.5", "gan-curriculum", "gan-crt", "gan-own-norm"}
    assert asked | mixing <= set(ARMS)
    assert all(arm.name == name for name, arm in ARMS.items())


def test_no_two_arms_of_the_table_are_the_same() -> None:
    assert len({arm.digest for arm in ARMS.values()}) == len(ARMS)


def test_an_arm_is_a_control_where_no_generator_has_a_part_in_it() -> None:
    assert all(arm.is_control == (not name.startswith("gan")) for name, arm in ARMS.items())


@pytest.mark.parametrize(
    "mixing",
    [{"blend": "mixup"}, {"blend": "cutmix"}, {"blend": "remix"}, {"refit_from": 0.8}, {"soft_real": 0.5},
     {"sampling": "classes"}, {"loss": "balanced_softmax"}],
)  # fmt: skip
def test_what_generated_arms_do_with_real_rows_a_control_does_too(mixing: dict[str, object]) -> None:
    for generated in (False, True):
        arms = [arm for arm in ARMS.values() if arm.is_control != generated]
        assert any(all(getattr(arm, field) == value for field, value in mixing.items()) for arm in arms)


@pytest.mark.parametrize(
    ("fields", "why"),
    [
        ({"share": 0.5}, "without a source"),
        ({"weight": 0.5}, "without a source"),
        ({"real_from": 0.5}, "without a source"),
        ({"own_norm": True}, "without a source"),
        ({"soft_synthetic": 1.0}, "without a source"),
        ({"replaced": 0.5}, "without a source"),
        ({"source": "gan", "share": 0.5, "replaced": 0.5}, "give one"),
        ({"source": "gan", "own_norm": True, "blend": "mixup"}, "neither kind"),
        ({"source": "gan", "soft_synthetic": 1.0, "blend": "mixup"}, "teachers"),
        ({"source": "gan", "fill": 0.0}, "greater than 0"),
    ],
)
def test_fields_that_would_do_nothing_or_contradict_are_refused(fields: dict[str, object], why: str) -> None:
    with pytest.raises(ValidationError, match=why):
        Arm.model_validate({"name": "x", **fields})


def test_arms_are_found_by_name_in_the_tables_order() -> None:
    assert [arm.name for arm in arms_named(("gan", "real"))] == ["real", "gan"]
    assert arms_named(()) == tuple(ARMS.values())
    with pytest.raises(ConfigError, match="there is no arm 'oversamplin'; did you mean 'oversampling'"):
        arms_named(("oversamplin",))


def test_an_arm_for_some_classes_is_another_arm_that_fills_those_alone() -> None:
    part = only_classes(ARMS["gan"], [2, 1, 2])
    assert part.classes == (1, 2)
    assert part.digest != ARMS["gan"].digest
    assert part.name.startswith("gan@")
    with pytest.raises(ConfigError, match="real cannot be had"):
        only_classes(ARMS["real"], [1])


def test_a_name_is_no_part_of_the_digest() -> None:
    assert Arm(name="x", source="gan").digest == ARMS["gan"].digest

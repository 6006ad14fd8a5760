"""The config of the lift: arms that exist, and what decides a training apart from what is asked."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from augment.config import load_config
from augment.errors import ConfigError
from augment.lift.arms import ARMS
from augment.lift.config import LiftConfig, LiftingConfig


def test_the_default_arms_exist_and_hold_controls_and_generated_ones() -> None:
    arms = [ARMS[name] for name in LiftingConfig().arms]
    assert {arm.is_control for arm in arms} == {True, False}
    assert not any(arm.needs_teachers for arm in arms)


def test_an_unknown_arm_is_named_with_the_nearest_one() -> None:
    with pytest.raises(ValidationError, match="there is no arm 'gan-gate'; did you mean 'gan-gated'"):
        LiftingConfig(arms=("real", "gan-gate"))


def test_what_is_asked_does_not_change_what_a_training_is() -> None:
    asked = LiftingConfig(steps=7, arms=("real",), test_uri="x", validation_share=0.5)
    assert asked.training == LiftConfig(steps=7)


@pytest.mark.parametrize("field", ["test_uri", "validation_uri"])
def test_addresses_with_credentials_are_refused_without_repeating_them(tmp_path, field: str) -> None:
    path = tmp_path / "c.yaml"
    path.write_text(f"source: {{uri: a}}\noutput: {{uri: b}}\nlift: {{{field}: 's3://me:secret@bucket/x'}}\n")
    with pytest.raises(ConfigError, match=rf"lift\.{field}: s3://.*holds credentials") as raised:
        load_config(path)
    assert "secret" not in str(raised.value)


def test_a_strategy_beside_recipe_auto_is_refused(tmp_path) -> None:
    path = tmp_path / "c.yaml"
    path.write_text("source: {uri: a}\noutput: {uri: b}\nrecipe: auto\nbalance: {strategy: minority}\n")
    with pytest.raises(ConfigError, match=r"balance\.strategy: minority has no effect beside recipe=auto"):
        load_config(path)

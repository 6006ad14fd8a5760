"""What a trial is found again by."""

from __future__ import annotations

import importlib.metadata
from pathlib import Path

import pytest

from augment.lift.arms import ARMS
from pipelines import lift_store
from pipelines.lift_store import trial_digest
from tests.lift.common import CONFIG, data


def digest(network: str = "small") -> str:
    return trial_digest(ARMS["real"], 0, CONFIG.model_copy(update={"network": network}), data(), "")


def test_a_users_network_is_its_source_and_not_its_name_alone(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    module = tmp_path / "a_users_network_of_lift.py"
    module.write_text("def build(image, classes): ...\n", encoding="utf-8")
    before = digest("a_users_network_of_lift:build")
    assert digest("a_users_network_of_lift:build") == before
    module.write_text("def build(image, classes): return None\n", encoding="utf-8")
    assert digest("a_users_network_of_lift:build") != before


@pytest.mark.parametrize("network", ["no_such_module_at_all:f", "no_such_package.module:f", ":f", "sys:f"])
def test_a_network_that_is_not_there_is_the_trials_to_refuse(network: str) -> None:
    assert digest(network)


def test_another_torch_or_other_code_of_ours_is_another_trial(monkeypatch: pytest.MonkeyPatch) -> None:
    before = digest()
    with monkeypatch.context() as changed:
        changed.setattr(lift_store, "TRIAL_VERSION", lift_store.TRIAL_VERSION + 1)
        assert digest() != before
    with monkeypatch.context() as changed:
        changed.setattr(importlib.metadata, "version", lambda name: "0.0")
        assert digest() != before
    assert digest() == before

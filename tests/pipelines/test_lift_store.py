"""What a trial is found again by, and how often test images were asked."""

from __future__ import annotations

import importlib.metadata
import uuid
from pathlib import Path

import pytest

from augment.lift.arms import ARMS
from augment.objects import open_store
from pipelines import lift_store
from pipelines.lift_store import LiftStore, trial_digest
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


def test_a_question_is_counted_once_and_other_test_images_begin_anew() -> None:
    store = LiftStore(open_store(f"memory://{uuid.uuid4().hex}"))
    assert store.count_use("t" * 64, "one").uses == 1
    assert store.count_use("t" * 64, "one").uses == 1
    again = store.count_use("t" * 64, "two")
    assert (again.uses, set(again.questions)) == (2, {"one", "two"})
    other = store.count_use("u" * 64, "two")
    assert (other.test_sha256, other.questions) == ("u" * 64, ("two",))

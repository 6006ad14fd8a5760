"""The pools of `augment lift`: what is planned of each source, and who is judged by gates. No Ray, no images."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from augment.config import Config
from augment.lift.arms import ARMS
from augment.lift.supply import Supply, supplied
from augment.store.models import GatesRecord, ModelRecord, SourceRecord
from augment.types import ClassCounts, ClassInfo, RunPlan
from pipelines.lift_pools import _why, judged_as, pool_plan, pool_run

NAMES = ("a", "b", "c")
MODEL = ModelRecord(
    key="k", sha256="a" * 64, steps=1, training_sha256="x", critic_key="c", critic_sha256="c" * 64
)
GATES = GatesRecord(key="g", sha256="b" * 64)


def config(**sections: Any) -> Config:
    return Config(
        source={"uri": "in"}, output={"uri": "out"}, balance={"below_min_real": "generate"}, **sections
    )


def counts(*numbers: int) -> ClassCounts:
    classes = tuple(ClassInfo(label=k, name=name) for k, name in enumerate(NAMES))
    return ClassCounts(classes=classes, counts=numbers)


def run_of(source: Any, pinned: GatesRecord, **sections: Any) -> RunPlan:
    asked = config(**sections)
    record = SourceRecord.model_construct(decoded_sha256="d" * 64)
    return pool_run(asked, pool_plan(asked, counts(100, 10, 50), source), record, MODEL, pinned, "f")


def test_a_class_of_one_image_narrows_the_arm_smote_and_fails_nothing() -> None:
    plan = pool_plan(config(), counts(100, 1, 50), "smote")
    assert [target.synthetic for target in plan.classes] == [0, 0, 50]
    asked = config()
    run = pool_run(asked, plan, SourceRecord.model_construct(decoded_sha256="d" * 64), MODEL, None, "f")
    supply = Supply(np.array([0, 0, 50]), _why(run, []))
    found = supplied((ARMS["smote"],), np.array([100, 1, 50]), NAMES, {"smote": supply})
    (reason,) = found.narrowed.values()
    assert reason == "'b' has 0 of 99 samples (smote cannot begin with 1 real image(s))"
    assert found.arms[0].classes == (2,)


def test_other_sources_are_filled_from_one_image() -> None:
    assert pool_plan(config(), counts(100, 1, 50), "duplicate").rows == 149


def test_smote_in_features_has_the_gates_features_and_is_judged_by_none() -> None:
    run = run_of("smote", GATES, smote={"space": "features"})
    assert run.gates is not None  # what its features are of is part of what it is
    assert run.gates.sha256 == GATES.sha256
    assert judged_as(run).gates is None


@pytest.mark.parametrize("gates", [{"max_attempts": 3}, {"discriminator_quantile": 0.1}])
def test_how_gates_judge_is_no_part_of_a_control(gates: dict[str, Any]) -> None:
    features = {"smote": {"space": "features"}}
    assert run_of("smote", GATES, **features, gates=gates) == run_of("smote", GATES, **features)
    assert run_of("gan-gated", GATES, gates=gates) != run_of("gan-gated", GATES)


def test_gated_samples_are_judged() -> None:
    run = run_of("gan-gated", GATES, gates={"on_shortfall": "smote"})
    assert judged_as(run) is run
    assert run.gates is not None
    assert run.gates.on_shortfall == "partial"

"""The pools of `augment lift`: what is planned of each source, who is judged by gates, and how shards are filled."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import ray

from augment.config import Config, RayConfig
from augment.lift.arms import ARMS
from augment.lift.supply import Supply, supplied
from augment.store.models import GatesRecord, ModelRecord, SourceRecord
from augment.types import ClassCounts, ClassInfo, RunPlan
from pipelines.cluster import ray_cluster
from pipelines.ingest import DecodedImages
from pipelines.lift_pools import ShardFiller, _why, judged_as, make_pool, pool_plan, pool_run
from pipelines.progress import Progress
from pipelines.sampler_inputs import SamplerInputs
from tests.lift.common import images
from tests.sampling.common import candidates_of, plan_of
from tests.sampling.common import run_of as run_of_plan
from tests.servers import SeaweedServer

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


# ---- shards -------------------------------------------------------------------------------------------


def inputs_of(run: RunPlan, images: DecodedImages | None = None) -> SamplerInputs:
    return SamplerInputs(
        run=run,
        store_uri="memory://x",
        generator_key=None,
        gates_key=None,
        critic_key=None,
        images=images,
        keep_rejected=0,
    )


def test_what_fills_shards_is_opened_once_and_not_with_the_actor(monkeypatch: pytest.MonkeyPatch) -> None:
    run = run_of_plan(plan_of(("duplicate", 5), ("duplicate", 3), shard_rows=3))
    opened = list[SamplerInputs]()

    def counting(inputs: SamplerInputs, *_: object) -> Any:
        opened.append(inputs)
        return candidates_of(run), None, None

    monkeypatch.setattr("pipelines.lift_pools.opened", counting)
    filler = ShardFiller(inputs_of(run), "cpu")
    assert not opened
    shards = [filler.fill(index) for index in range(run.plan.num_shards)]
    assert len(opened) == 1
    assert [shard.class_index_B.tolist() for shard in shards] == [[0, 0, 0], [0, 0, 1], [1, 1]]


def test_a_pool_made_by_several_actors_is_class_after_class_and_lies_in_the_object_store(
    ray_and_s3: SeaweedServer,
) -> None:
    real = images((9, 3, 4), seed=0, size=16)
    asked = config(image={"size": 16, "channels": 1}).model_copy(
        update={"output": config().output.model_copy(update={"shard_rows": 2})}
    )
    counted = counts(9, 3, 4)
    record = SourceRecord.model_construct(decoded_sha256="d" * 64)
    run = pool_run(asked, pool_plan(asked, counted, "duplicate"), record, None, None, "f")
    assert run.plan.num_shards == 6
    decoded = DecodedImages(
        ray.put(real.pixels_NHWC), ray.put(real.class_index_N), counted, (), "d" * 64, ray.put([""] * 16)
    )
    inputs = inputs_of(run, decoded)
    with ray_cluster(RayConfig()) as cluster:
        made = make_pool("duplicate", asked, inputs, cluster, Progress("none"))
        pool = ray.get(made.images)
    assert made.record.samples_K == (0, 6, 5)
    assert pool.class_index_N.tolist() == [1] * 6 + [2] * 5
    for class_index, samples in ((1, 6), (2, 5)):
        own = {pixels.tobytes() for pixels in real.pixels_NHWC[real.class_index_N == class_index]}
        rows = pool.pixels_NHWC[pool.class_index_N == class_index]
        assert {pixels.tobytes() for pixels in rows} == own
        assert len(rows) == samples

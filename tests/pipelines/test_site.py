"""pipelines.site: counts and places as the pipelines themselves choose them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.config import Config
from augment.data.config import SourceConfig
from augment.gan.config import TrainConfig
from augment.gan.hardware import Hardware, cpus_a_worker
from augment.planning.budget import Held
from augment.sampling.gated import GATES_OF_RECIPE
from augment.store.config import OutputConfig
from augment.types import AugmentPlan, ClassCounts, ClassInfo, ClassTarget, ImageShape, RecipeName
from pipelines import site
from pipelines.cluster import Cluster
from pipelines.site import held_by, site_of, work_of
from pipelines.train import _cpus_per_worker

COUNTS = ClassCounts(
    classes=tuple(ClassInfo(label=i, name=n) for i, n in enumerate("abc")), counts=(500, 40, 9)
)


def config_of(**sections: dict[str, object]) -> Config:
    given_ = {"source": SourceConfig(uri="in"), "output": OutputConfig(uri="out")}
    return Config.model_validate(
        {"train": {"steps": 1_000, "log_every": 50, "snapshot_every": 300}} | given_ | sections
    )


def plan_of(*recipes: RecipeName) -> AugmentPlan:
    chosen = recipes or ("gan", "gan", "gan")
    return AugmentPlan(
        seed=0,
        image=ImageShape(size=32, channels=3),
        classes=tuple(
            ClassTarget(label=info.label, name=info.name, real=real, target=500, recipe=recipe)
            for info, real, recipe in zip(COUNTS.classes, COUNTS.counts, chosen, strict=True)
        ),
        shard_rows=100,
        batch_size=64,
    )


def test_recipes_without_gates_are_those_of_sampling() -> None:
    without = {name for name, gates in GATES_OF_RECIPE.items() if not gates} | {"none"}

    assert set(site._UNJUDGED) == without


@given(
    st.tuples(st.integers(1, 4), st.integers(4, 9)) | st.integers(1, 9),
    st.none() | st.sampled_from((0.5, 1.0, 3.0)),
    st.integers(1, 64),
    st.integers(1, 4),
    st.sampled_from(("cpu", "gpu")),
)
def test_a_workers_cpus_are_those_that_training_reserves(
    workers: int | tuple[int, int], cpus_per_worker: float | None, cpus: int, nodes: int, device: str
) -> None:
    train = TrainConfig(workers=workers, cpus_per_worker=cpus_per_worker)
    cluster = Cluster(cpus=cpus * nodes, cpus_per_node=cpus, gpus=0, scratch=None)

    ours = cpus_a_worker(
        train, cpus=cluster.cpus, cpus_per_node=cluster.cpus_per_node, on_gpu=device == "gpu"
    )

    assert ours == _cpus_per_worker(train, cluster, device)  # type: ignore[arg-type]


def test_work_counts_steps_looks_snapshots_gates_and_rows() -> None:
    work = work_of(config_of(gates={"folds": 4, "steps": 100}), plan_of(), COUNTS)

    assert (work.images, work.image_bytes) == (549, 3 * 32 * 32)
    assert (work.steps, work.looks, work.snapshots) == (1_000, 20, 5)  # the first one and the last one
    assert (work.gates_steps, work.gates_looked_at) == (400, 4 * 549)
    assert work.gates_scored == 40 + 9  # the head class gets no samples
    assert (work.rows, work.shards) == (460 + 491, 10)
    assert work.candidates_a_row.low == 1
    assert work.closing_images == 549 + 460 + 491


def test_without_gates_each_sample_has_one_candidate() -> None:
    work = work_of(config_of(gates={"enabled": False}), plan_of(), COUNTS)

    assert work.gates_steps == 0
    assert (work.candidates_a_row.low, work.candidates_a_row.high) == (1, 1)


def test_where_no_class_needs_a_generator_nothing_is_trained() -> None:
    config = config_of(recipe={"a": "gan", "b": "smote", "c": "duplicate"})
    plan = plan_of("gan", "smote", "duplicate")

    assert work_of(config, plan, COUNTS).steps == 0
    assert not site_of(config, plan, Hardware(cpus=4), cpus_per_node=4).trains
    assert site_of(config, plan, Hardware(cpus=4), cpus_per_node=4).has_gates
    assert not site_of(
        config, plan_of("gan", "duplicate", "none"), Hardware(cpus=4), cpus_per_node=4
    ).has_gates


@pytest.mark.parametrize(
    ("train", "generate", "gpus", "held"),
    [
        ({}, {}, 0, 0),
        ({}, {}, 4, 4),  # as many generators as GPUs
        ({"workers": 2}, {"actors": 1}, 4, 2),
        ({"device": "cpu"}, {"device": "cpu"}, 4, 0),
        ({"workers": 4}, {"device": "cpu"}, 2, 0),  # not enough for every worker: auto trains on CPUs
    ],
)
def test_a_job_holds_all_cpus_and_the_gpus_of_its_greediest_stage(
    train: dict[str, object], generate: dict[str, object], gpus: int, held: int
) -> None:
    config = config_of(train=train, generate=generate)

    assert held_by(config, Hardware(cpus=16, gpus=gpus)) == Held(cpus=16, gpus=held)

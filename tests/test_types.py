"""augment.types: canonical JSON, and plans whose shards cover every sample once."""

import random
import tracemalloc
from collections import Counter

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import ValidationError

from augment.types import (
    AugmentPlan,
    ClassCounts,
    ClassInfo,
    ClassTarget,
    ImageShape,
    canonical_json,
    sha256_hex,
)


def plan_of(synthetic: list[int], shard_rows: int, seed: int = 0) -> AugmentPlan:
    classes = tuple(
        ClassTarget(label=label, name=f"c{label}", real=3, target=3 + count)
        for label, count in enumerate(synthetic)
    )
    image = ImageShape(size=16, channels=1)
    return AugmentPlan(seed=seed, image=image, classes=classes, shard_rows=shard_rows, batch_size=4)


@given(st.lists(st.integers(0, 60), max_size=8), st.integers(1, 50))
def test_the_shards_cover_every_class_and_index_exactly_once(synthetic: list[int], shard_rows: int) -> None:
    plan = plan_of(synthetic, shard_rows)
    made = Counter(
        (piece.class_index, index)
        for shard in plan.shards()
        for piece in shard.pieces
        for index in range(piece.first, piece.first + piece.count)
    )
    assert made == Counter((label, index) for label, count in enumerate(synthetic) for index in range(count))


@given(st.lists(st.integers(0, 60), max_size=8), st.integers(1, 50))
def test_shards_are_full_but_the_last_and_start_where_the_one_before_ends(
    synthetic: list[int], shard_rows: int
) -> None:
    shards = list(plan_of(synthetic, shard_rows).shards())
    position = 0
    for index, shard in enumerate(shards):
        assert (shard.index, shard.first_row) == (index, position)
        assert shard.rows == shard_rows or (shard is shards[-1] and 0 < shard.rows < shard_rows)
        assert all(piece.count > 0 for piece in shard.pieces)
        position += shard.rows
    assert position == sum(synthetic)


@given(st.lists(st.integers(0, 60), max_size=8), st.integers(1, 50))
def test_the_rows_of_a_shard_are_known_without_what_they_are(synthetic: list[int], shard_rows: int) -> None:
    plan = plan_of(synthetic, shard_rows)
    assert [plan.rows_of(index) for index in range(plan.num_shards)] == [
        shard.rows for shard in plan.shards()
    ]


@pytest.mark.parametrize("index", [-1, 3])
def test_a_shard_outside_the_plan_is_an_index_error(index: int) -> None:
    for ask in (plan_of([5, 0, 5], 4).shard, plan_of([5, 0, 5], 4).rows_of):
        with pytest.raises(IndexError, match=r"outside 0\.\.2"):
            ask(index)


def test_a_plan_for_a_billion_samples_takes_next_to_no_memory() -> None:
    tracemalloc.start()
    plan = plan_of([0, *[1_111_111] * 900, 100], shard_rows=10_000)
    pick = random.Random(0)
    for _ in range(1000):
        spec = plan.shard(pick.randrange(plan.num_shards))
        assert spec.rows <= 10_000
    peak_bytes = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert plan.rows == 1_000_000_000
    assert peak_bytes < 5_000_000


def test_plan_id_is_the_hash_of_the_canonical_json_and_of_nothing_else() -> None:
    plan = plan_of([1, 2], 4)
    fresh = plan_of([1, 2], 4)
    assert list(plan.shards())  # what was computed meanwhile is no part of the plan
    assert plan.rows == 3
    assert plan == fresh
    assert plan.plan_id == fresh.plan_id == sha256_hex(fresh.to_json())[:16]
    assert plan.plan_id != plan_of([1, 2], 4, seed=1).plan_id
    assert AugmentPlan.model_validate_json(plan.to_json()) == fresh


def test_canonical_json_is_one_byte_string_a_value() -> None:
    assert canonical_json({"b": [1.5, None], "a": "é"}) == '{"a":"é","b":[1.5,null]}'.encode()
    with pytest.raises(ValueError, match="JSON"):
        canonical_json(float("nan"))


def test_the_imbalance_ratio_counts_only_classes_with_images() -> None:
    classes = tuple(ClassInfo(label=label, name=str(label)) for label in range(3))
    assert ClassCounts(classes=classes, counts=(300, 0, 3)).imbalance_ratio == 100
    assert ClassCounts(classes=classes, counts=(0, 0, 0)).imbalance_ratio == 1


def test_a_record_is_frozen_and_takes_no_unknown_field() -> None:
    info = ClassInfo(label=0, name="a")
    with pytest.raises(ValidationError, match="frozen"):
        info.name = "b"  # type: ignore[misc]
    with pytest.raises(ValidationError, match="colour"):
        ClassInfo.model_validate({"label": 0, "name": "a", "colour": 1})


@pytest.mark.parametrize(
    "numbers",
    [{"target": 1}, {"target": 4, "existing": 2}, {"target": 9, "first": -1}, {"target": -1, "real": -1}],
)
def test_a_class_target_below_what_there_is_is_no_record(numbers: dict[str, int]) -> None:
    with pytest.raises(ValidationError):
        ClassTarget.model_validate({"label": 0, "name": "a", "real": 3, **numbers})


@pytest.mark.parametrize("field", ["shard_rows", "batch_size"])
def test_a_plan_without_rows_a_shard_or_a_batch_is_no_record(field: str) -> None:
    sizes = {"shard_rows": 4, "batch_size": 4} | {field: 0}
    with pytest.raises(ValidationError, match=field):
        AugmentPlan.model_validate({"seed": 0, "image": {"size": 16, "channels": 3}, "classes": (), **sizes})

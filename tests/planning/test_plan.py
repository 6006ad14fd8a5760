"""augment.planning.plan: the same inputs give the same plan, however large."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import InputError
from augment.planning.config import BalanceConfig
from augment.planning.plan import make_plan
from augment.planning.policy import targets
from augment.types import AugmentPlan, ClassCounts, ClassInfo, ExistingRows, ImageShape


def planned(counts: list[int], **fields: Any) -> AugmentPlan:
    classes = tuple(ClassInfo(label=label, name=f"c{label}") for label in range(len(counts)))
    settings = {
        "image": ImageShape(size=16, channels=1),
        "seed": 7,
        "shard_rows": 100,
        "batch_size": 32,
        **fields,
    }
    balance = settings.pop("balance", BalanceConfig(min_real=1))
    return make_plan(ClassCounts(classes=classes, counts=tuple(counts)), balance, **settings)


@given(st.lists(st.integers(1, 500), min_size=1, max_size=6), st.integers(0, 2**63 - 1))
def test_a_plan_is_the_policys_targets_and_nothing_but_its_inputs(counts: list[int], seed: int) -> None:
    plan = planned(counts, seed=seed)
    again = planned(counts, seed=seed)
    assert plan.to_json() == again.to_json()
    classes = tuple(ClassInfo(label=label, name=f"c{label}") for label in range(len(counts)))
    census = ClassCounts(classes=classes, counts=tuple(counts))
    assert plan.classes == targets(census, BalanceConfig(min_real=1))
    assert plan.rows == sum(max(counts) - count for count in counts)


@pytest.mark.parametrize(
    "change",
    [
        {"seed": 8},
        {"shard_rows": 99},
        {"batch_size": 31},
        {"image": ImageShape(size=16, channels=3)},
        {"balance": BalanceConfig(min_real=1, ratio=0.5)},
    ],
)
def test_whatever_decides_bytes_changes_the_plan_id(change: dict[str, Any]) -> None:
    assert planned([9, 90], **change).plan_id != planned([9, 90]).plan_id


def test_a_top_up_plans_only_what_is_missing_and_goes_on_counting() -> None:
    held = ExistingRows(label=0, name="c0", rows=60, next_index=75)
    plan = planned([9, 90], existing=[held])
    assert plan.rows == 90 - 9 - 60
    assert [(piece.first, piece.count) for spec in plan.shards() for piece in spec.pieces] == [(75, 21)]
    assert plan.plan_id != planned([9, 90]).plan_id


def test_a_billion_samples_are_planned_as_easily_as_ten() -> None:
    plan = planned([10**9, 50], shard_rows=10_000)
    assert plan.rows == 10**9 - 50
    assert plan.num_shards == 100_000
    assert len(plan.to_json()) < 1000
    assert plan.shard(99_999).rows == 9_950


def test_balanced_classes_give_a_plan_without_samples() -> None:
    plan = planned([40, 40])
    assert (plan.rows, plan.num_shards, list(plan.shards())) == (0, 0, [])


def test_what_the_policy_refuses_is_not_planned() -> None:
    with pytest.raises(InputError, match="'c1'"):
        planned([40, 2], balance=BalanceConfig())

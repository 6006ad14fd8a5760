"""How many synthetic rows take part, and which: exact counts, and a nested choice."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import ConfigError
from augment.mixing.choice import chosen_rows, ranks_of, synthetic_counts
from augment.types import ClassTarget
from tests.store.helpers import tiny_run

REAL = {"cat": 100, "dog": 10, "fox": 0}
COMMITTED = {"cat": 0, "dog": 90, "fox": 7}


@pytest.mark.parametrize(
    ("ratio", "expected"),
    [
        (None, {"cat": 0, "dog": 90, "fox": 7}),
        (0, {"cat": 0, "dog": 0, "fox": 0}),
        (0.25, {"cat": 0, "dog": 2, "fox": 0}),
        (100, {"cat": 0, "dog": 90, "fox": 0}),
        ({"dog": 1}, {"cat": 0, "dog": 10, "fox": 0}),
        ({}, {"cat": 0, "dog": 0, "fox": 0}),
    ],
)
def test_a_ratio_is_synthetic_rows_for_every_real_one(ratio: object, expected: dict[str, int]) -> None:
    assert synthetic_counts(ratio, REAL, COMMITTED) == expected  # type: ignore[arg-type]


@given(st.integers(0, 1000), st.integers(0, 10_000))
def test_a_ratio_is_taken_in_decimals(hundredths: int, real: int) -> None:
    counts = synthetic_counts(hundredths / 100, {"a": real}, {"a": 10**9})
    assert counts == {"a": hundredths * real // 100}


@pytest.mark.parametrize("ratio", [-1, float("nan"), float("inf"), {"dog": -0.5}])
def test_a_ratio_that_is_none_is_refused(ratio: object) -> None:
    with pytest.raises(ConfigError, match="is not a number of at least 0"):
        synthetic_counts(ratio, REAL, COMMITTED)  # type: ignore[arg-type]


def test_a_ratio_of_an_unknown_class_is_refused_by_name() -> None:
    with pytest.raises(ConfigError, match=r"class 'dogs', .*did you mean 'dog'"):
        synthetic_counts({"dogs": 1.0}, REAL, COMMITTED)


@given(
    st.lists(st.lists(st.integers(0, 3), max_size=9), max_size=5),
    st.lists(st.integers(0, 20), min_size=4, max_size=4),
    st.integers(0, 2**32),
)
def test_of_each_class_the_smallest_ranks_are_chosen(
    shards: list[list[int]], counts: list[int], seed: int
) -> None:
    rng = np.random.default_rng(seed)
    classes = [np.array(shard, dtype=np.int64) for shard in shards]
    ranks = [rng.integers(0, 5, len(shard)) / 5 for shard in shards]  # with ties
    chosen = chosen_rows(classes, ranks, counts)
    rows = [(shard, row) for shard, here in enumerate(shards) for row in range(len(here))]
    expected = set()
    for number, count in enumerate(counts):
        of_class = [(shard, row) for shard, row in rows if shards[shard][row] == number]
        expected |= set(sorted(of_class, key=lambda at: (ranks[at[0]][at[1]], at))[:count])
    assert {(shard, int(row)) for shard, here in enumerate(chosen) for row in here} == expected
    assert all((np.diff(here) > 0).all() for here in chosen)


@given(st.integers(0, 30), st.integers(0, 30), st.integers(0, 2**63 - 1))
def test_a_higher_count_holds_the_rows_of_a_lower_one(one: int, other: int, seed: int) -> None:
    run = tiny_run(classes=(ClassTarget(label=3, name="a", real=0, target=25),))
    specs = list(run.plan.shards())
    classes = [np.zeros(spec.rows, dtype=np.int64) for spec in specs]
    ranks = [ranks_of(run, spec, seed) for spec in specs]
    few, many = (
        {(shard, int(row)) for shard, here in enumerate(chosen_rows(classes, ranks, [count])) for row in here}
        for count in sorted((one, other))
    )
    assert few <= many
    assert len(many) == min(25, max(one, other))


def test_a_rank_belongs_to_the_sample_wherever_it_lies() -> None:
    """The same sample has one rank in its shard and in a shard that lost its other classes."""
    run = tiny_run()
    spec = run.plan.shard(1)  # three of label 1, one of label 2
    alone = spec.model_copy(update={"pieces": spec.pieces[1:]})
    assert ranks_of(run, spec, 5)[3:].tolist() == ranks_of(run, alone, 5).tolist()
    assert ranks_of(run, spec, 6).tolist() != ranks_of(run, spec, 5).tolist()

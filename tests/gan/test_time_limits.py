"""Time limits of a training: `max_time`, which the spec has, and a budget, which the command has."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.gan.config import TrainConfig
from augment.gan.snapshots import MemorySnapshots
from augment.gan.supervision import Watch, plan_within
from augment.gan.training import train
from tests.gan.common import tiny_images, tiny_spec

FREE = TrainConfig(steps=10_000)


def test_a_budget_fits_the_steps_to_the_time_as_max_time_does() -> None:
    with_budget = plan_within(Watch(), FREE, step=20, elapsed_s=10.0, steps_per_s=2.0, budget_s=100.0)
    with_max_time = plan_within(
        Watch(), TrainConfig(steps=10_000, max_time="100s"), step=20, elapsed_s=10.0, steps_per_s=2.0
    )

    assert with_budget.planned_steps == with_max_time.planned_steps == 20 + int(0.97 * 2 * 90)
    assert (with_budget.limited_by, with_max_time.limited_by) == ("budget", "max_time")


@given(st.floats(1, 1e4), st.integers(1, 10_000), st.floats(0, 2e4))
def test_the_shorter_limit_counts(budget_s: float, max_time_s: int, elapsed_s: float) -> None:
    limited = TrainConfig(steps=10_000, max_time=f"{max_time_s}s")
    watch = plan_within(Watch(), limited, step=20, elapsed_s=elapsed_s, steps_per_s=2.0, budget_s=budget_s)

    shorter = "budget" if budget_s <= max_time_s else "max_time"
    assert watch.ended == (shorter if elapsed_s >= min(budget_s, max_time_s) else None)
    assert watch.limited_by in (None, shorter)


def test_steps_that_were_planned_stay_planned_under_another_budget() -> None:
    planned = plan_within(Watch(), FREE, step=20, elapsed_s=10.0, steps_per_s=2.0, budget_s=100.0)
    resumed = plan_within(planned, FREE, step=40, elapsed_s=20.0, steps_per_s=9.0, budget_s=1e6)

    assert resumed.planned_steps == planned.planned_steps
    assert resumed.ended is None


def test_a_training_ends_when_its_seconds_are_over_and_says_why(monkeypatch: pytest.MonkeyPatch) -> None:
    ticks = itertools.count()
    monkeypatch.setattr("augment.gan.training.time.perf_counter", lambda: 0.1 * next(ticks))
    spec = tiny_spec(steps=10**6, log_every=5, warm_up_steps=0)
    snapshots = MemorySnapshots()
    state = train(spec, tiny_images(spec), snapshots=snapshots, seconds_left=10.0)

    assert state.watch.ended == "budget"
    assert 0 < state.step < 1_000
    assert snapshots.latest() is not None


def test_a_training_that_has_no_second_left_ends_at_its_first_look() -> None:
    spec = tiny_spec(steps=100, log_every=2)
    state = train(spec, tiny_images(spec), seconds_left=0.0)

    assert (state.step, state.watch.ended) == (2, "budget")


def test_a_budget_that_is_enough_changes_nothing_of_the_training() -> None:
    spec = tiny_spec(steps=6)
    free, limited = train(spec, tiny_images(spec)), train(spec, tiny_images(spec), seconds_left=1e6)

    assert limited.watch.ended == free.watch.ended == "steps"
    ours, theirs = (list(state.generator.parameters()) for state in (free, limited))
    assert all((one == other).all() for one, other in zip(ours, theirs, strict=True))

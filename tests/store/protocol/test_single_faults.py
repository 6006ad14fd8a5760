"""One fault at every operation of a run, a revocation and a collection, then twice again: one and the same dataset."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from contextlib import suppress
from functools import partial
from typing import Any

import pytest

from augment.errors import RetryLaterError
from augment.objects import ObjectStore
from tests.store.protocol.actors import (
    Reader,
    collector,
    driver,
    model_revoker,
    revoker,
    run_of,
    simulated,
    straggler,
    topper_up,
)
from tests.store.protocol.laws import Policies, broken_laws, job_of
from tests.store.protocol.scheduler import FAULTS, undisturbed
from tests.store.protocol.stepping import Died, Fate, SteppedStore
from tests.store.protocol.world import World

RUN, OTHER = run_of(1), run_of(2)
SAME_SEED, TOP_UP = run_of(2, shard_rows=3), run_of(3, more=2)
POLICIES = {job_of(run): "append" for run in (RUN, OTHER, SAME_SEED)} | {job_of(TOP_UP): "top-up"}

Work = Callable[[ObjectStore], Any]


@pytest.fixture(autouse=True)
def simulation() -> Iterator[None]:
    with simulated():
        yield


def nothing(world: World) -> None:
    pass


def another_run(world: World) -> None:
    driver(undisturbed(world), OTHER, "append")


def half_of_the_run(world: World) -> None:
    straggler(undisturbed(world), RUN, 0, "all")


def collected(world: World) -> None:
    """The run was begun, given up, and collected."""
    half_of_the_run(world)
    collector(undisturbed(world), grace_s=0.0)


def both_runs(world: World) -> None:
    for run in (OTHER, RUN):
        driver(undisturbed(world), run, "append")
    straggler(undisturbed(world), RUN, 0, "straggler")


def much_garbage(world: World) -> None:
    """A straggler's shard, an abandoned run, and the shards of a class that was revoked."""
    both_runs(world)
    straggler(undisturbed(world), run_of(3), 1, "all")
    revoker(undisturbed(world), RUN, "dog")


def publishing(policy: Any) -> Work:
    return partial(driver, run=RUN, policy=policy)


WORKS: dict[str, tuple[Callable[[World], None], Work, Policies]] = {
    "the first run": (nothing, publishing("refuse"), {job_of(RUN): "refuse"}),
    "a run that is half there": (half_of_the_run, publishing("append"), POLICIES),
    "a run beside another": (another_run, publishing("append"), POLICIES),
    "a run instead of another": (another_run, publishing("replace"), {**POLICIES, job_of(RUN): "replace"}),
    "a run of the same seed": (another_run, partial(driver, run=SAME_SEED, policy="append"), POLICIES),
    "topping up": (another_run, partial(topper_up, job=TOP_UP), POLICIES),
    "the next attempt": (collected, publishing("append"), POLICIES),
    "revoking a run": (both_runs, partial(revoker, run=RUN, class_name=None), POLICIES),
    "revoking a class": (both_runs, partial(revoker, run=RUN, class_name="dog"), POLICIES),
    "revoking a model": (both_runs, partial(model_revoker, run=RUN), POLICIES),
    "collecting": (much_garbage, partial(collector, grace_s=0.0), POLICIES),
}


def clock() -> float:
    return 0.0  # one time for everything: nothing may need it


def content(world: World) -> dict[str, bytes]:
    """What lies there; a killed collector's probe of the clock is no harm, and is not part of it."""
    return {key: data for key, (data, _) in world.objects.items() if not key.startswith("_gc/")}


def worked(prepare: Callable[[World], None], work: Work, decide: Callable[[str], Fate]) -> World:
    world = World(clock)
    prepare(world)
    work(SteppedStore(world, "sim://first", decide))
    return world


@pytest.mark.parametrize("name", WORKS)
def test_after_any_single_fault_going_on_gives_the_same_dataset(name: str) -> None:
    prepare, work, policies = WORKS[name]
    kinds: list[str] = []
    reference = worked(prepare, work, lambda kind: kinds.append(kind) or Fate.DONE)
    collector(undisturbed(reference), grace_s=0.0)
    assert len(kinds) >= 7
    for operation in range(len(kinds)):
        for fate in FAULTS:
            # A late request arrives before the work is taken up again, between, or when all is over.
            for arrival in range(3) if fate in (Fate.FAIL_LATE, Fate.DIE_LATE) else (0,):
                world = disturbed(prepare, work, operation, fate, arrival)
                case = f"{name}: {fate} at operation {operation} ({kinds[operation]}), arrival {arrival}"
                assert content(world) == content(reference), case
                assert list(broken_laws(world, policies)) == [], case


def disturbed(
    prepare: Callable[[World], None], work: Work, operation: int, fate: Fate, arrival: int
) -> World:
    """The store after a fault, two resumptions and a collection."""
    world, fates, late = World(clock), iter([Fate.DONE] * operation + [fate]), []
    prepare(world)
    with suppress(Died, RetryLaterError):
        work(SteppedStore(world, "sim://first", lambda kind: next(fates, Fate.DONE), late.append))
    for turn in range(3):
        if turn == arrival:
            for effect in late:
                effect()
        if turn < 2:
            work(undisturbed(world))
    collector(undisturbed(world), grace_s=0.0)
    return world


def test_a_collected_run_is_made_anew_by_the_same_command() -> None:
    world = World(clock)
    collected(world)
    snapshot = driver(undisturbed(world), RUN, "append")
    assert (snapshot.version, snapshot.rows) == (1, RUN.plan.rows)
    assert snapshot.runs[0].run_id != RUN.run_id
    assert driver(undisturbed(world), RUN, "append") == snapshot


def test_an_old_version_whose_rows_were_revoked_and_collected_says_so() -> None:
    world, reader = World(clock), Reader()
    both_runs(world)
    revoker(undisturbed(world), RUN, None)
    store = undisturbed(world)
    for version in (1, 2, 3):
        reader.read(store, version)
    assert sorted(reader.seen) == [1, 2, 3]  # revoked, and still there
    collector(store, grace_s=0.0)
    assert [reader.read(store, version) for version in (1, 2, 3)] == [1, None, 3]
    assert reader.complaints == []  # it was told which version revoked them

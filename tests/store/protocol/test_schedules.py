"""The protocol holds in every schedule, and a harness that says so finds every mutant."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from tests.store.protocol.actors import simulated
from tests.store.protocol.mutants import MUTANTS, mutated
from tests.store.protocol.schedules import (
    Casting,
    broken_by,
    everybody,
    first_broken,
    growing,
    narrowing_beside_collection,
)

SCHEDULES = 2000  # of each casting; every mutant is found out within them
NARROWING = (
    "manifests are read before data is listed",
    "a revocation writes shards before their manifest",
    "revoking a class loses the rows beside it",
    "revoking a class removes nothing",
    "revoking a class loses one shard more",
)
GROWING = (
    "a top-up is published whatever came between",
    "an appended run repeats samples",
    "an appended run begins at index 0",
    "an aborted run is tried again and again",
    "a label may be of two classes",
    "a top-up counts what was planned",
)


@pytest.fixture(autouse=True)
def simulation() -> Iterator[None]:
    with simulated():
        yield


@pytest.mark.parametrize("casting", [everybody, growing, narrowing_beside_collection])
def test_no_schedule_breaks_a_law(casting: Casting) -> None:
    # Three drivers that each read every plan take long; what is found at all is found early.
    assert first_broken(range(SCHEDULES // 4 if casting is growing else SCHEDULES), casting) is None


@pytest.mark.parametrize("name", MUTANTS)
def test_a_broken_protocol_is_found_out_in_the_same_schedules(name: str) -> None:
    castings = {**dict.fromkeys(NARROWING, narrowing_beside_collection), **dict.fromkeys(GROWING, growing)}
    casting = castings.get(name, everybody)
    with mutated(name):
        assert first_broken(range(SCHEDULES), casting) is not None


def test_a_schedule_is_the_same_whenever_it_is_played() -> None:
    with mutated("a snapshot can be overwritten"):
        found = first_broken(range(SCHEDULES))
        assert found is not None
        number, broken = found
        assert broken_by(number) == broken


@pytest.mark.slow
def test_forty_thousand_schedules_break_no_law() -> None:
    assert first_broken(range(40_000)) is None

"""The stage that holds up generation is named, with what to change."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.bottleneck import BUSY, HEARD_WITHIN_S, Finding, Sampled, Stored, Tally, find_bottleneck
from pipelines.cluster import Device

seconds = st.floats(0, 1e4)


def heard_of(*events: tuple[float, Sampled | Stored]) -> Tally:
    """What was heard, each at its time."""
    times: Iterator[float] = iter([at_s for at_s, _ in events])
    tally = Tally(now_s=lambda: next(times))
    for _, event in events:
        tally.add(event)
    return tally


def found_in(
    waited: float,
    sampling: float,
    encoding: float,
    putting: float,
    *,
    device: Device = "gpu",
    shards: int = 10,
    stored_at_s: float = 0.0,
) -> Finding | None:
    """What is found where each of some shards of four generators took so long; all were sampled at 0."""
    sampled = [(0.0, Sampled(waited, sampling))] * shards
    stored = [(stored_at_s, Stored(encoding, putting))] * shards
    return find_bottleneck(heard_of(*sampled, *stored), device=device, actors=4, cpus=8, stage_cpus=0.5)


@pytest.mark.parametrize(
    ("times", "stage", "what_to_change"),
    [
        ((0.01, 1.0, 0.2, 0.1), "generator", "more GPUs"),
        ((1.0, 1.0, 8.0, 0.1), "encoding", "about 19 CPU(s) beside 4 GPU(s)"),  # ½ · (4 + 8.1 · 4) = 18.2
        ((1.0, 1.0, 0.2, 3.0), "store", "about 9 CPU(s) to put side by side"),  # ½ · (4 + 3.2 · 4) = 8.4
        ((1.0, 1.0, 2.5, 0.1), "overhead", "8 CPU(s) suffice"),  # ½ · (4 + 2.6 · 4) = 7.2
    ],
)
def test_the_stage_that_the_others_wait_for_is_named(
    times: tuple[float, float, float, float], stage: str, what_to_change: str
) -> None:
    found = found_in(*times)
    assert found is not None
    assert found.stage == stage
    assert what_to_change in found.message


@pytest.mark.parametrize(("late_s", "stage"), [(2.0, "generator"), (50.0, "encoding")])
def test_generators_that_are_done_long_before_the_rest_were_held_up_too(late_s: float, stage: str) -> None:
    """40 s of sampling on 4 generators are 10 s; they never waited, and storing one shard takes 20 s."""
    found = found_in(0.0, 4.0, 20.0, 0.0, stored_at_s=late_s)

    assert found is not None
    assert found.stage == stage
    trailing_s = max(0.0, late_s - 20.0 - HEARD_WITHIN_S)
    assert found.busy == pytest.approx(40 / (40 + 4 * trailing_s))


def test_on_a_cpu_the_shares_of_the_cores_are_told() -> None:
    found = found_in(5.0, 6.0, 3.0, 1.0, device="cpu")
    assert found is not None
    assert found.message == "the cores' time went to the generator 60%, encoding 30%, the store 10%"


def test_too_few_shards_tell_nothing() -> None:
    assert found_in(0, 1, 1, 1, shards=7) is None


@given(st.lists(st.tuples(seconds, seconds, seconds, seconds), min_size=2, max_size=20), seconds)
def test_a_busy_generator_is_the_bottleneck_whatever_the_rest_takes(
    rows: list[tuple[float, float, float, float]], late_s: float
) -> None:
    tally = heard_of(
        *((0.0, Sampled(waited, sampling)) for waited, sampling, _, _ in rows),
        *((late_s, Stored(encoding, putting)) for _, _, encoding, putting in rows),
    )
    found = find_bottleneck(tally, device="gpu", actors=1, cpus=2, stage_cpus=0.5)
    assert found is not None
    assert 0 <= found.busy <= 1
    assert (found.stage == "generator") == (found.busy >= BUSY)


@given(st.integers(1, 64), st.floats(0.01, 100), st.floats(0.01, 100), st.floats(0.25, 1))
def test_the_cpus_that_are_advised_store_as_fast_as_the_generators_sample(
    actors: int, sampling: float, storing: float, stage_cpus: float
) -> None:
    sampled = [(0.0, Sampled(sampling, sampling))] * 2 * actors  # half of the time was waited
    stored = [(0.0, Stored(storing, 0.0))] * 2 * actors

    found = find_bottleneck(
        heard_of(*sampled, *stored), device="gpu", actors=actors, cpus=0, stage_cpus=stage_cpus
    )

    assert found is not None
    assert found.cpus is not None
    at_once = (found.cpus - stage_cpus * actors) / stage_cpus
    wanted = actors * storing / sampling  # Little's law: arrivals a second times seconds of each
    assert at_once >= wanted - 1e-6
    assert at_once - 1 / stage_cpus < wanted + 1e-6, "one CPU less would not do"

"""The stage that holds up generation is named, with what to change."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pipelines.bottleneck import BUSY, Finding, Sampled, Stored, find_bottleneck
from pipelines.cluster import Device

seconds = st.floats(0, 1e4)


def found_in(
    waited: float,
    sampling: float,
    encoding: float,
    putting: float,
    *,
    device: Device = "gpu",
    shards: int = 10,
) -> Finding | None:
    """What is found where each of some shards of four generators took so long."""
    sampled, stored = [Sampled(waited, sampling)] * shards, [Stored(encoding, putting)] * shards
    return find_bottleneck(sampled, stored, device=device, actors=4)


@pytest.mark.parametrize(
    ("times", "stage", "what_to_change"),
    [
        ((0.01, 1.0, 0.2, 0.1), "generator", "more GPUs"),
        ((1.0, 1.0, 8.0, 0.1), "encoding", "about 32.4 CPU(s) beside 4 GPU(s)"),
        ((1.0, 1.0, 0.2, 3.0), "store", "output.shard_rows"),
    ],
)
def test_the_stage_that_the_others_wait_for_is_named(
    times: tuple[float, float, float, float], stage: str, what_to_change: str
) -> None:
    found = found_in(*times)
    assert found is not None
    assert found.stage == stage
    assert what_to_change in found.message


def test_on_a_cpu_the_shares_of_the_cores_are_told() -> None:
    found = found_in(5.0, 6.0, 3.0, 1.0, device="cpu")
    assert found is not None
    assert found.message == "the cores' time went to the generator 60%, encoding 30%, the store 10%"


def test_too_few_shards_tell_nothing() -> None:
    assert found_in(0, 1, 1, 1, shards=7) is None


@given(st.lists(st.tuples(seconds, seconds, seconds, seconds), min_size=2, max_size=20))
def test_a_busy_generator_is_the_bottleneck_whatever_the_rest_takes(
    rows: list[tuple[float, float, float, float]],
) -> None:
    found = find_bottleneck(
        [Sampled(waited, sampling) for waited, sampling, _, _ in rows],
        [Stored(encoding, putting) for _, _, encoding, putting in rows],
        device="gpu",
        actors=1,
    )
    assert found is not None
    assert 0 <= found.busy <= 1
    assert (found.stage == "generator") == (found.busy >= BUSY)

"""The extrapolation's arithmetic: on lines that are known, it finds the known crossing."""

from __future__ import annotations

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.planning.cost import DEFAULT_IMAGES_PER_S
from augment.store.records import MAX_JSON_BYTES
from tests.benchmarks.extrapolation import GPUS, IMAGES, SHARD_ROWS, Line, extrapolated, limits, on_gpus

values = st.floats(0, 1e6)


@given(values, st.floats(1e-6, 1e3), st.floats(1, 1e6))
def test_a_line_through_points_of_a_line_is_that_line(at_none: float, each: float, limit: float) -> None:
    line = Line.through([(x, at_none + each * x) for x in (1.0, 10.0, 100.0)])

    assert line.each == pytest.approx(each, rel=1e-3, abs=1e-6)
    assert line.at(1_000) == pytest.approx(at_none + each * 1_000, rel=1e-3, abs=1e-3)
    if limit > line.at_none:
        assert line.at(line.reaches(limit)) == pytest.approx(limit)


def test_what_does_not_grow_never_reaches_its_limit() -> None:
    line = Line.through([(1, 5.0), (2, 4.0)])

    assert (line.each, line.reaches(100)) == (0, float("inf"))


def size(shards: int) -> dict[str, Any]:
    """A driver of 100 MB and 1 kB a shard; manifests of 200 bytes a shard; 1 ms to plan and 20 µs to open a shard."""
    steps = {"plan": 0.0, "what is missing": 1e-3 * shards, "open and list": 20e-6 * shards}
    return {
        "shards": shards,
        "seconds": {**steps, "generate": 4.0 + 0.01 * shards},
        "driver_mb": 100 + 1e-3 * shards,
        "manifest_bytes": 200 * shards,
    }


def test_the_limits_are_those_of_the_lines_and_the_nearest_comes_first() -> None:
    found = {each.what: each for each in limits([size(500), size(5_000), size(50_000)])}

    assert list(found) == ["planning", "opening", "manifest", "driver's memory"]
    assert found["planning"].shards == pytest.approx(30_000)
    assert found["opening"].shards == pytest.approx(250_000)
    assert found["manifest"].shards == pytest.approx(MAX_JSON_BYTES / 200)
    assert found["driver's memory"].shards == pytest.approx(1.9e6)
    assert found["driver's memory"].at_a_billion == pytest.approx(100e6 + 1e3 * IMAGES / SHARD_ROWS)
    assert found["opening"].images == pytest.approx(250_000 * SHARD_ROWS)


def test_gpus_shorten_a_run_and_load_the_driver_alike() -> None:
    one, many = (on_gpus(gpus, 0.01, Line(1e8, 3e3)) for gpus in (1, 100))

    assert one["hours"] == pytest.approx(IMAGES / DEFAULT_IMAGES_PER_S / 3600)
    assert one["driver_share"] == pytest.approx(0.01 * DEFAULT_IMAGES_PER_S / SHARD_ROWS)
    assert one["hours"] / many["hours"] == pytest.approx(100)
    for name in ("encoding_cores", "written_bytes_a_second", "driver_share", "puts_share"):
        assert many[name] == pytest.approx(100 * one[name])
    assert [each["driver_bytes"] for each in (one, many)] == [1e8 + 3e3 * 20_000, 1e8 + 3e3 * 50_000]


def test_all_of_it_follows_from_measured_sizes() -> None:
    found = extrapolated([size(500), size(5_000)], [size(100), size(500)])

    assert found["driver_s_a_shard"] == pytest.approx(0.01)
    assert found["driver_bytes_a_shard"] == pytest.approx(1e3)
    assert [row["gpus"] for row in found["gpus"]] == list(GPUS)
    assert found["limits"][0]["what"] == "planning"

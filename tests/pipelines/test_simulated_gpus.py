"""GPUs that only sleep are kept busy by the real pipeline; where they are not, what is advised makes them so."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from dataclasses import asdict

import pytest

from tests.pipelines.simulated_gpus import Outcome, Simulation

pytestmark = [pytest.mark.slow, pytest.mark.timeout(600)]


def simulated(**fields: float) -> Outcome:
    """What comes of it, in a process of its own."""
    env = {key: value for key, value in os.environ.items() if key != "RAY_ADDRESS"}
    done = subprocess.run(
        [sys.executable, "-m", "tests.pipelines.simulated_gpus", json.dumps(asdict(Simulation(**fields)))],  # type: ignore[arg-type]
        capture_output=True, text=True, env=env, timeout=500, check=False,
    )  # fmt: skip
    assert done.returncode == 0, done.stderr
    outcome = Outcome(**json.loads(done.stdout.splitlines()[-1]))
    assert outcome.rows == fields["shards"] * fields.get("rows", Simulation.rows)
    return outcome


def test_eight_gpus_are_busy_for_95_percent_of_their_time_and_the_generator_is_told_as_the_bottleneck() -> (
    None
):
    found = simulated(gpus=8, cpus=12, shards=8 * 24, sampling_s=1.0)

    assert found.busy >= 0.95
    assert found.stage == "generator"
    assert found.told_busy >= 0.95


def test_slow_encoders_are_the_bottleneck_and_with_the_cpus_that_are_advised_they_are_none() -> None:
    held_up = simulated(gpus=2, cpus=2, shards=40, sampling_s=0.4, encoding_s=1.2)
    advised = held_up.cpus
    assert held_up.stage == "encoding"
    assert advised is not None
    assert 4 <= advised <= 5  # ½ · (2 + 2 · 1.2 / 0.4) = 4, and what tasks take besides

    freed = simulated(gpus=2, cpus=advised, shards=40, sampling_s=0.4, encoding_s=1.2)

    assert freed.stage == "generator"
    assert freed.busy >= 0.95


def test_gpus_wait_for_slow_encoders_once_the_object_store_has_its_share() -> None:
    """128 shards of 3 MB, of which the store holds 100 MB."""
    found = simulated(
        gpus=2, cpus=2, shards=128, sampling_s=0.05, encoding_s=0.25, rows=64, size=128, object_store_bytes=100_000_000,
    )  # fmt: skip

    assert found.stage == "encoding"
    assert found.busy < 0.5


def test_a_slow_store_is_the_bottleneck() -> None:
    found = simulated(gpus=2, cpus=2, shards=40, sampling_s=0.2, putting_s=1.0)

    assert found.stage == "store"
    assert "output.shard_rows" in found.message

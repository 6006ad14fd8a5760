"""Suite `train` runs: each way of training does the steps it is timed for. No test asserts a time."""

from __future__ import annotations

import os
from collections.abc import Callable
from functools import partial
from pathlib import Path

import pytest

from tests.benchmarks.measure import Outcome, in_fresh_process
from tests.benchmarks.train import SMALL, ours, steps_alone, steps_in_ray, tutorial, two_apart, write_images

IMAGES = SMALL.timed * 64


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    place = tmp_path_factory.mktemp("images")
    write_images(place, small=True)
    return place


@pytest.mark.parametrize("baseline", [tutorial, steps_alone], ids=["tutorial", "steps alone"])
def test_a_baseline_does_its_steps(baseline: Callable[..., Outcome], folder: Path) -> None:
    outcome = in_fresh_process(partial(baseline, folder, SMALL, 1))
    assert outcome.amount == IMAGES
    assert outcome.seconds > 0


@pytest.mark.slow
def test_two_processes_that_exchange_nothing_do_a_batch_together(folder: Path) -> None:
    outcome = in_fresh_process(partial(two_apart, folder, SMALL))
    assert outcome.amount == IMAGES
    assert outcome.seconds > 0


@pytest.mark.skipif("RAY_ADDRESS" in os.environ, reason="a cluster of its own is started")
@pytest.mark.slow
def test_a_worker_of_ray_train_does_the_bare_steps(folder: Path) -> None:
    outcome = in_fresh_process(partial(steps_in_ray, folder, SMALL, 1))
    assert outcome.amount == IMAGES
    assert outcome.seconds > 0


@pytest.mark.skipif("RAY_ADDRESS" in os.environ, reason="a cluster of its own is started")
@pytest.mark.slow
def test_the_whole_command_is_timed_between_its_reports(folder: Path) -> None:
    outcome = in_fresh_process(partial(ours, folder, SMALL, 1, 1))
    assert outcome.amount == IMAGES
    assert outcome.seconds > 0
    assert outcome.apart["start and warm-up"] > 0

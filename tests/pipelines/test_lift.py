"""Trials as Ray tasks: what comes back is what one process makes, as soon as it is done."""

from __future__ import annotations

import numpy as np
import pytest
import ray

from augment.errors import InputError
from augment.lift.arms import ARMS
from augment.lift.trial import run_trial
from pipelines.lift import run_trials
from pipelines.progress import Progress
from tests.lift.common import CONFIG, data
from tests.servers import SeaweedServer


def test_trials_are_the_same_side_by_side_as_alone(ray_and_s3: SeaweedServer) -> None:
    pairs = [(ARMS["gan"], 1), (ARMS["real"], 0)]
    trials = list(run_trials(pairs, data(), CONFIG, Progress("none")))
    assert {(trial.record.arm, trial.record.seed) for trial in trials} == set(pairs)
    for trial in trials:
        alone = run_trial(trial.record.arm, data(), CONFIG, trial.record.seed)
        np.testing.assert_array_equal(trial.test_NK, alone.test_NK)


def test_a_trial_takes_its_samples_from_the_object_store_and_no_other_arms(ray_and_s3: SeaweedServer) -> None:
    pools, bare = dict(data().pools), data(pools={})
    refs = {source: ray.put(images) for source, images in pools.items()}
    (trial,) = run_trials([(ARMS["gan"], 1)], bare, CONFIG, Progress("none"), refs)
    np.testing.assert_array_equal(trial.test_NK, run_trial(ARMS["gan"], data(), CONFIG, 1).test_NK)


def test_a_reader_that_stops_leaves_no_trial_behind(
    ray_and_s3: SeaweedServer, monkeypatch: pytest.MonkeyPatch
) -> None:
    cancelled: list[ray.ObjectRef] = []
    monkeypatch.setattr("pipelines.lift.ray.cancel", cancelled.append)
    trials = run_trials([(ARMS["real"], seed) for seed in range(3)], data(), CONFIG, Progress("none"))
    next(trials)
    trials.close()
    assert len(cancelled) == 2
    ray.wait(cancelled, num_returns=2)


def test_a_users_error_in_a_trial_reaches_the_driver_as_it_is(ray_and_s3: SeaweedServer) -> None:
    with pytest.raises(InputError, match="needs samples of source 'smote', and none are given"):
        list(run_trials([(ARMS["smote"], 0)], data(), CONFIG, Progress("none")))

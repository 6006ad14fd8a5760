"""Trials as Ray tasks: what comes back is what one process makes, in the order that was asked for."""

from __future__ import annotations

import numpy as np
import pytest

from augment.errors import InputError
from augment.lift.arms import ARMS
from augment.lift.trial import Trial, run_trial
from pipelines.lift import run_trials
from pipelines.progress import Progress
from tests.lift.common import CONFIG, data
from tests.servers import SeaweedServer


def test_trials_are_the_same_side_by_side_as_alone(ray_and_s3: SeaweedServer) -> None:
    pairs = [(ARMS["gan"], 1), (ARMS["real"], 0)]
    kept: list[Trial] = []
    trials = run_trials(pairs, data(), CONFIG, Progress("none"), kept.append)
    assert [(trial.record.arm, trial.record.seed) for trial in trials] == pairs
    assert {trial.record.arm.name for trial in kept} == {"gan", "real"}
    for trial, (arm, seed) in zip(trials, pairs, strict=True):
        np.testing.assert_array_equal(trial.test_NK, run_trial(arm, data(), CONFIG, seed).test_NK)


def test_a_users_error_in_a_trial_reaches_the_driver_as_it_is(ray_and_s3: SeaweedServer) -> None:
    with pytest.raises(InputError, match="needs samples of source 'smote', and none are given"):
        run_trials([(ARMS["smote"], 0)], data(), CONFIG, Progress("none"))

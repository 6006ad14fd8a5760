"""A trial is decided by (arm, seed): every named arm trains, and what it reports is what it did."""

from __future__ import annotations

import math

import numpy as np
import pytest
import torch

from augment.errors import DivergenceError, InputError
from augment.lift.arms import ARMS, Arm
from augment.lift.config import LiftConfig
from augment.lift.draws import Draws
from augment.lift.images import LiftData
from augment.lift.mixture import mixture_of
from augment.lift.scores import score
from augment.lift.trial import run_trial
from tests.lift.common import CONFIG, COUNTS, data, images

FULL = images((0, 20, 32), 3, soft=True)
POOLS = dict.fromkeys(("gan", "gan-gated", "duplicate", "classic", "smote"), FULL)


@pytest.fixture(scope="module")
def everything() -> LiftData:
    return data(POOLS, soft=True)


@pytest.mark.parametrize("name", ARMS)
def test_every_named_arm_trains_and_gives_probabilities(name: str, everything: LiftData) -> None:
    trial = run_trial(ARMS[name], everything, CONFIG, seed=0)
    assert trial.test_NK.shape == (36, 3)
    np.testing.assert_allclose(trial.validation_NK.sum(1), 1, rtol=1e-5)
    assert trial.record.real_rows == 68
    assert bool(sum(trial.record.samples_K)) == (ARMS[name].source is not None)


def test_the_same_arm_and_seed_give_the_same_numbers_and_another_seed_others(everything: LiftData) -> None:
    first, again, other = (run_trial(ARMS["gan-cutmix"], everything, CONFIG, seed=seed) for seed in (0, 0, 1))
    np.testing.assert_array_equal(first.test_NK, again.test_NK)
    assert first.record.losses == again.record.losses
    assert not np.array_equal(first.test_NK, other.test_NK)


def test_a_trial_gives_torchs_generator_and_threads_back(everything: LiftData) -> None:
    before, threads = torch.get_rng_state(), torch.get_num_threads()
    run_trial(ARMS["real"], everything, CONFIG, seed=0)
    assert torch.equal(torch.get_rng_state(), before)
    assert torch.get_num_threads() == threads


def test_a_classifier_learns_classes_that_can_be_told(everything: LiftData) -> None:
    config = LiftConfig(steps=60, batch_size=32, horizontal_flip=False, shift=0.0)
    trial = run_trial(ARMS["balanced-softmax"], everything, config, seed=0)
    assert score(trial.test_NK, everything.test.class_index_N, (2,)).balanced_accuracy > 0.9
    assert trial.record.losses[-1] < trial.record.losses[0]


def test_reports_come_every_fifty_steps_and_at_the_end(everything: LiftData) -> None:
    told: list[int] = []
    config = CONFIG.model_copy(update={"steps": 60})
    trial = run_trial(ARMS["real-crt"], everything, config, 0, log=lambda done, loss: told.append(done))
    assert told == [50, 60]
    assert len(trial.record.losses) == 2


def test_arrays_that_may_only_be_read_are_enough(everything: LiftData) -> None:
    for part in (everything.training, everything.validation, everything.test, FULL):
        part.pixels_NHWC.flags.writeable = False
        part.class_index_N.flags.writeable = False
    trial = run_trial(ARMS["gan-soft-both"], everything, CONFIG, seed=0)
    assert trial.record.losses
    assert all(math.isfinite(loss) for loss in trial.record.losses)


def test_a_rate_that_diverges_is_an_error_that_names_the_field(everything: LiftData) -> None:
    config = CONFIG.model_copy(update={"learning_rate": 1e30})
    with pytest.raises(DivergenceError, match=r"arm real, seed 0, is not finite.*lift\.learning_rate=1e"):
        run_trial(ARMS["real"], everything, config, 0)


@pytest.mark.parametrize("name", ["balanced-softmax-soft", "gan-soft"])
def test_soft_labels_that_are_not_there_are_an_error_before_anything_is_trained(name: str) -> None:
    with pytest.raises(InputError, match=f"arm {name} learns the teachers' labels"):
        run_trial(ARMS[name], data(), CONFIG, 0)


def test_a_batch_has_its_real_rows_first_and_draws_as_the_arm_says(everything: LiftData) -> None:
    arm = Arm(name="x", source="gan", share=0.4)
    mixture = mixture_of(arm, everything, 1)
    config = LiftConfig(batch_size=4000)
    batch = Draws(config, 8, seed=0).batch(0, mixture.phases[0], mixture.real)
    assert (batch.row_B[: batch.real] < mixture.real).all()
    assert (batch.row_B[batch.real :] >= mixture.real).all()
    assert batch.real == pytest.approx(2400, abs=5 * np.sqrt(4000 * 0.24))  # five standard deviations
    expected_K = 2400 * np.array(COUNTS) / 68
    found_K = np.bincount(mixture.class_index_R[batch.row_B[: batch.real]])
    np.testing.assert_allclose(found_K, expected_K, atol=5 * np.sqrt(2400 / 4))


def test_arms_of_one_seed_move_and_mirror_alike(everything: LiftData) -> None:
    draws = Draws(LiftConfig(batch_size=16), 8, seed=0)
    mixtures = [mixture_of(ARMS[name], everything, 1) for name in ("real", "oversampling")]
    first, second = (draws.batch(3, mixture.phases[0], mixture.real) for mixture in mixtures)
    np.testing.assert_array_equal(first.x_BW, second.x_BW)
    np.testing.assert_array_equal(first.y_BH, second.y_BH)

"""Training on several ranks: real processes and real collectives (gloo), no Ray.

One group of processes a world size runs every scenario, since starting them is what takes the time.
"""

from __future__ import annotations

import multiprocessing
import socket
import traceback
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import pytest
import torch
import torch.distributed as dist
from torch.nn.parallel import DistributedDataParallel

import augment.gan.training as training
from augment.errors import DivergenceError
from augment.gan.batches import Batches, StepBatch
from augment.gan.checkpoint import read_summary
from augment.gan.replica import Replica
from augment.gan.snapshots import MemorySnapshots
from augment.gan.state import TrainState, new_state
from augment.gan.supervision import ClassScore, Evaluation
from augment.gan.training import train
from tests.gan.common import tiny_images, tiny_spec

BAD_STEP, BAD_RANK = 3, 1


@dataclass
class Told:
    """What one rank has to tell."""

    weights: dict[str, dict[str, np.ndarray]] = field(default_factory=dict)  # by scenario
    labels: list[np.ndarray] = field(default_factory=list)  # of each step, this rank's slice
    latents: list[np.ndarray] = field(default_factory=list)
    gradients: dict[str, np.ndarray] = field(default_factory=dict)  # of the first step
    best_step: int | None = None
    error: str = ""
    fp16_error: str = ""
    last_step: int | None = None
    last_is_finite: bool = False
    recovered: tuple[int, int] = (0, 0)  # step and attempt
    failure: str = ""


class Spoiled(Batches):
    """Batches of which one, on one rank, holds a NaN; the first `times` times that it is drawn."""

    rank: int = 0
    times: int = 0

    def step(self, step: int) -> StepBatch:
        batch = super().step(step)
        if step == BAD_STEP and self.rank == BAD_RANK and Spoiled.times > 0:
            Spoiled.times -= 1
            batch.real_BCHW[0, 0, 5, 5] = torch.nan
        return batch


def weights(state: TrainState) -> dict[str, np.ndarray]:
    return {
        f"{player}.{name}": weight.detach().numpy().copy()
        for player in ("generator", "discriminator", "ema")
        for name, weight in getattr(state, player).named_parameters()
    }


def spec_for(**train_settings: Any):
    """With everything on that ranks must agree about; the resolution and batch are the smallest."""
    settings = {"steps": 6, "snapshot_every": 2, "lecam_weight": 0.1, "ada_target": 0.3, "loss": "hinge"}
    return tiny_spec(**(settings | train_settings))


def run_rank(rank: int, world_size: int, port: int, answers: Any) -> None:
    told = Told()
    try:
        torch.set_num_threads(1)
        store = f"tcp://127.0.0.1:{port}"
        dist.init_process_group("gloo", init_method=store, rank=rank, world_size=world_size)
        replica = Replica(rank=rank, world_size=world_size, parallelize=DistributedDataParallel)
        train_together(replica, told)
        if world_size == 2:
            stop_together(replica, told)
        dist.destroy_process_group()
    except BaseException:  # noqa: BLE001  # whatever it is, the parent must hear of it
        told.failure = traceback.format_exc()
    answers.put((rank, told))


def train_together(replica: Replica, told: Told) -> None:
    spec = spec_for()
    images = tiny_images(spec)
    batches = Batches(spec, images, rank=replica.rank, world_size=replica.world_size, device=replica.device)
    for step in range(3):
        batch = batches.step(step)
        told.labels.append(batch.class_B.numpy())
        told.latents.append(batch.generator.z_BD.numpy())
    told.weights["plain"] = weights(train(spec, images, replica=replica))
    first = train(spec_for(steps=1, lecam_weight=0.0), images, replica=replica)
    told.gradients = {
        f"{player}.{name}": weight.grad.numpy().copy()
        for player in ("generator", "discriminator")
        for name, weight in getattr(first, player).named_parameters()
    }

    def evaluate(state: TrainState) -> Evaluation:  # rank 0 alone is asked: the second is the best
        return Evaluation(
            step=state.step, classes=(ClassScore(name="bag", frechet=abs(state.step - 4.0) + 1),)
        )

    spec = spec_for(evaluate_every=2)
    evaluated = train(spec, images, replica=replica, evaluate=evaluate if replica.rank == 0 else None)
    told.best_step = evaluated.step
    told.weights["best"] = weights(evaluated)


def stop_together(replica: Replica, told: Told) -> None:
    """A NaN in one batch on one rank: without a remedy it stops, with one it is gone the second time."""
    training.Batches = Spoiled  # type: ignore[misc]
    Spoiled.rank = replica.rank
    spec = spec_for(remedies=0)
    snapshots, Spoiled.times = MemorySnapshots(), 1
    try:
        train(spec, tiny_images(spec), replica=replica, snapshots=snapshots)
    except DivergenceError as error:
        told.error = str(error)
    files = snapshots.latest()
    assert files is not None
    told.last_step = read_summary(files).step
    state = new_state(spec, replica.device)
    training.restore(state, files)
    told.last_is_finite = all(bool(np.isfinite(weight).all()) for weight in weights(state).values())

    Spoiled.times = 1
    try:
        train(spec_for(remedies=0, precision="fp16"), tiny_images(spec), replica=replica)
    except DivergenceError as error:
        told.fp16_error = str(error)

    Spoiled.times = 1
    state = train(spec_for(remedies=1), tiny_images(spec), replica=replica)
    told.recovered = (state.step, state.watch.attempt)


def run_group(world_size: int) -> list[Told]:
    """What each rank tells, by rank."""
    with socket.socket() as found:
        found.bind(("127.0.0.1", 0))
        port = found.getsockname()[1]
    context = multiprocessing.get_context("spawn")
    answers = context.Queue()
    processes = [
        context.Process(target=run_rank, args=(rank, world_size, port, answers), daemon=True)
        for rank in range(world_size)
    ]
    for process in processes:
        process.start()
    told = dict(answers.get(timeout=200) for _ in processes)
    for process in processes:
        process.join(30)
    failures = [f"rank {rank}: {told[rank].failure}" for rank in sorted(told) if told[rank].failure]
    assert not failures, "\n".join(failures)
    return [told[rank] for rank in range(world_size)]


@pytest.fixture(scope="module")
def two_ranks() -> list[Told]:
    return run_group(2)


@pytest.fixture(scope="module")
def three_ranks() -> list[Told]:
    """Of a batch of 8: slices of 2, 3 and 3."""
    return run_group(3)


@pytest.fixture(scope="module")
def alone() -> Told:
    told = Told()
    train_together(Replica(), told)
    return told


@pytest.fixture(params=["two_ranks", "three_ranks"])
def ranks(request: pytest.FixtureRequest) -> list[Told]:
    return request.getfixturevalue(request.param)


def test_slices_of_the_ranks_together_are_the_labels_and_latents_of_one(ranks, alone):
    for step in range(3):
        assert np.array_equal(np.concatenate([one.labels[step] for one in ranks]), alone.labels[step])
        assert np.array_equal(np.concatenate([one.latents[step] for one in ranks]), alone.latents[step])


def test_the_gradient_of_uneven_slices_is_that_of_the_whole_batch(ranks, alone):
    """Adam hides a gradient's size, so that weights alone would not show a slice that weighs too much."""
    for one in ranks:
        for name, gradient in alone.gradients.items():
            scale = np.abs(gradient).max()
            np.testing.assert_allclose(
                one.gradients[name], gradient, rtol=1e-3, atol=1e-4 * scale, err_msg=name
            )


@pytest.mark.parametrize("scenario", ["plain", "best"])
def test_several_ranks_train_what_one_rank_trains(ranks, alone, scenario):
    for rank, one in enumerate(ranks):
        for name, weight in alone.weights[scenario].items():
            np.testing.assert_allclose(
                one.weights[scenario][name], weight, rtol=2e-3, atol=2e-5, err_msg=f"rank {rank}: {name}"
            )


@pytest.mark.parametrize("scenario", ["plain", "best"])
def test_all_ranks_hold_the_same_weights_to_the_last_bit(ranks, scenario):
    for one in ranks[1:]:
        for name, weight in ranks[0].weights[scenario].items():
            assert np.array_equal(one.weights[scenario][name], weight), name


def test_every_rank_goes_back_to_the_state_that_rank_0_measured_best(ranks, alone):
    assert [one.best_step for one in ranks] == [alone.best_step] * len(ranks) == [4] * len(ranks)


def test_a_nan_on_one_rank_stops_all_with_the_step_and_the_rank(two_ranks):
    for one in two_ranks:
        assert f"step {BAD_STEP}: the " in one.error
        assert f"on rank {BAD_RANK} is not finite" in one.error


def test_in_fp16_where_gradients_may_overflow_a_nan_stops_all_ranks_too(two_ranks):
    for one in two_ranks:
        assert f"step {BAD_STEP}: the " in one.fp16_error
        assert f"on rank {BAD_RANK} is not finite" in one.fp16_error


def test_the_last_snapshot_is_intact_after_a_nan(two_ranks):
    assert two_ranks[0].last_step == 2
    assert two_ranks[0].last_is_finite


def test_a_nan_that_does_not_come_back_costs_a_remedy_and_no_more(two_ranks):
    assert [one.recovered for one in two_ranks] == [(6, 1), (6, 1)]

"""One rank's training without a run around it: the same steps, looks and snapshots, done to be timed.

Owns nothing that a run owns: no schedule, no supervision, no end. What it computes is thrown away. Knows no clock:
each call says how much it did, and returns when the device has done it.
"""

from collections.abc import Callable, Iterator
from contextlib import closing, contextmanager

import torch

from augment.gan.batches import Batches, RealImages, StepBatch
from augment.gan.checkpoint import capture
from augment.gan.ema import update_ema
from augment.gan.game import Game
from augment.gan.prefetch import Prefetch
from augment.gan.replica import Replica
from augment.gan.schedules import Rates
from augment.gan.spec import TrainingSpec
from augment.gan.state import TrainState, new_state
from augment.gan.training import tensor_float_32
from augment.gan.vitals import Vitals

__all__ = ["Treadmill", "treadmill"]

# Rates decide no speed, and a run's own would need its warm-up: the networks must not run away meanwhile.
_LEARNING_RATE_SCALE = 0.01


class Treadmill:
    """A new state of `spec` in training; `treadmill` makes it."""

    def __init__(
        self, spec: TrainingSpec, images: RealImages, batches: Callable[[int], StepBatch], share: float,
        device: torch.device,
    ) -> None:  # fmt: skip
        self.state: TrainState = new_state(spec, device)
        self._batch, self._device = batches, device
        self._game = Game(self.state, Replica(device=device), share=share)
        self._vitals = Vitals(spec, images, device)
        # Those of the middle of a run, where whatever is ramped up is on.
        self._rates = Rates.at(
            spec.train, spec.train.budget_steps // 2, learning_rate_scale=_LEARNING_RATE_SCALE
        )

    def steps(self) -> float:
        """Steps from one that pays the gradient penalty to the next: how many."""
        state, every = self.state, self.state.spec.train.penalty_every
        for _ in range(every):
            batch = self._batch(state.step)
            self._game.update_discriminator(batch, self._rates)
            self._game.update_generator(batch, self._rates)
            update_ema(state.ema, state.generator, decay=self._rates.ema_decay)
            state.step += 1
        self._wait()
        return every

    def look(self) -> float:
        """One look for mode collapse, as each report has it: 1."""
        self._vitals.look(self.state.generator)
        return 1

    def snapshot(self) -> float:
        """What training waits for at a snapshot, the copy: 1."""
        capture(self.state)
        return 1

    def _wait(self) -> None:
        self._game.guard.raise_if_diverged()
        if self._device.type == "cuda":
            torch.cuda.synchronize(self._device)


@contextmanager
def treadmill(
    spec: TrainingSpec, images: RealImages, *, world_size: int, device: torch.device
) -> Iterator[Treadmill]:
    """The first of `world_size` ranks, alone, with its share of each batch.

    Raises InputError where the images are not those that `spec` counts, ConfigError where a rank would have none.
    """
    batches = Batches(spec, images, rank=0, world_size=world_size, device=device)
    with tensor_float_32(allowed=spec.train.tf32):
        if device.type == "cuda":
            with closing(Prefetch(batches.step)) as ahead:
                yield Treadmill(spec, images, ahead, batches.share, device)
        else:
            yield Treadmill(spec, images, batches.step, batches.share, device)

"""Our own training step and nothing around it: resident batches, no Ray, no report, no snapshot, no draw.

What a training loop on these cores can't exceed with these networks and this precision.
"""

from __future__ import annotations

from collections.abc import Callable

import torch

from augment.gan.batches import Batches
from augment.gan.ema import update_ema
from augment.gan.game import Game
from augment.gan.replica import Replica
from augment.gan.schedules import Rates
from augment.gan.spec import TrainingSpec
from augment.gan.state import new_state
from augment.gan.training import RealImages

__all__ = ["train"]

RESIDENT = 16  # batches, shown over and over


def train(
    spec: TrainingSpec,
    images: RealImages,
    *,
    on_step: Callable[[int], None],
    rank: int = 0,
    world_size: int = 1,
) -> None:
    """All steps of `spec`; `on_step` gets the step. Of `world_size` processes each takes its rank's share of a batch,
    and they tell each other nothing.
    """
    device = torch.device("cpu")
    state, replica = new_state(spec, device), Replica()
    game = Game(state, replica)
    draw = Batches(spec, images, rank=rank, world_size=world_size, device=device)
    resident = [draw.step(step) for step in range(RESIDENT)]
    while state.step < spec.train.steps:
        rates, batch = Rates.at(spec.train, state.step), resident[state.step % RESIDENT]
        game.update_discriminator(batch, rates)
        game.update_generator(batch, rates)
        update_ema(state.ema, state.generator, decay=rates.ema_decay)
        state.step += 1
        on_step(state.step)

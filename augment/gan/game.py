"""A step's two turns: who is augmented, who is frozen, what is paid, in the order of R3GAN's trainer.

Owns the wiring of one rank's players, draws, rates and losses. Knows no loop and no file.
"""

import torch
from torch import Tensor, nn

from augment.gan.batches import StepBatch, UpdateDraws
from augment.gan.diffaugment import diffaugment
from augment.gan.divergence import DivergenceGuard
from augment.gan.losses import LOSSES
from augment.gan.penalties import PENALTIES
from augment.gan.replica import Replica
from augment.gan.schedules import Rates
from augment.gan.state import TrainState, resolve_precision
from augment.gan.step import Objective, Player, apply_update, discriminator_loss, generator_loss

__all__ = ["Game"]


class Game:
    """Both players on this rank, and the updates that set one against the other."""

    def __init__(self, state: TrainState, replica: Replica) -> None:
        train = state.spec.train
        self._state = state
        self._objective = Objective(
            loss=LOSSES[train.loss],
            penalty=PENALTIES[train.resolved_penalty],
            device_type=replica.device.type,
            bf16=resolve_precision(train.precision, replica.device) == "bf16",
        )
        self._generator = Player(state.generator, replica.parallelize(state.generator), state.generator_adam)
        self._discriminator = Player(
            state.discriminator, replica.parallelize(state.discriminator), state.discriminator_adam
        )
        self.guard = DivergenceGuard(replica.device)

    def update_discriminator(self, batch: StepBatch, rates: Rates) -> dict[str, Tensor]:
        """D's turn: tell real from generated. Every `penalty_every`-th step pays the penalty for them all."""
        train, draws = self._state.spec.train, batch.discriminator
        with torch.no_grad():
            fake_BCHW = self._generate(self._generator.module, batch, draws)
            real_BCHW = self._augment(batch.real_BCHW, draws.augment_real_BK, rates)
            fake_BCHW = self._augment(fake_BCHW, draws.augment_fake_BK, rates)
        penalty_due = self._state.step % train.penalty_every == 0
        loss = discriminator_loss(
            self._discriminator.wrapped,
            real_BCHW,
            fake_BCHW,
            batch.class_B,
            self._objective,
            gamma=rates.gamma * train.penalty_every if penalty_due else 0.0,
            mix_B=batch.mix_B,
        )
        self._apply(self._discriminator, loss.total, loss.terms, rates)
        return {**loss.terms, "real logit": loss.real_logit, "fake logit": loss.fake_logit}

    def update_generator(self, batch: StepBatch, rates: Rates) -> dict[str, Tensor]:
        """G's turn: new latents of the same classes, against the discriminator as it now is."""
        draws = batch.generator
        fake_BCHW = self._generate(self._generator.wrapped, batch, draws)
        loss = generator_loss(
            self._discriminator.module,
            self._augment(batch.real_BCHW, draws.augment_real_BK, rates),
            self._augment(fake_BCHW, draws.augment_fake_BK, rates),
            batch.class_B,
            self._objective,
        )
        self._apply(self._generator, loss, {"generator loss": loss}, rates)
        return {"generator loss": loss.detach()}

    def _generate(self, generator: nn.Module, batch: StepBatch, draws: UpdateDraws) -> Tensor:
        with self._objective.autocast():
            fake_BCHW: Tensor = generator(draws.z_BD, batch.class_B, draws.embedding_noise_BE)
        return fake_BCHW

    def _augment(self, images_BCHW: Tensor, uniforms_BK: Tensor, rates: Rates) -> Tensor:
        return diffaugment(
            images_BCHW,
            uniforms_BK,
            operations=self._state.spec.train.diffaugment,
            probability=rates.augment_probability,
        )

    def _apply(self, player: Player, total: Tensor, terms: dict[str, Tensor], rates: Rates) -> None:
        apply_update(
            player, total, terms, self.guard, step=self._state.step, learning_rate=rates.learning_rate
        )

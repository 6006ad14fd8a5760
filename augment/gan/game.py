"""A step's two turns: who is augmented, who is frozen, what is paid, in the order of R3GAN's trainer.

Owns the wiring of one rank's players, draws, rates and losses. Knows no loop and no file.
"""

from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import torch
from torch import Tensor, nn

from augment.gan.ada import adjusted_probability, overfitting_sign
from augment.gan.batches import StepBatch, UpdateDraws
from augment.gan.class_balance import effective_number_weights
from augment.gan.diffaugment import diffaugment
from augment.gan.divergence import DivergenceGuard
from augment.gan.lecam import LeCamAnchors, debiased_decay
from augment.gan.losses import LOSSES
from augment.gan.low_resolution import shrink
from augment.gan.networks.conditioning import class_parameters
from augment.gan.networks.interface import Condition, GeneratorOutput
from augment.gan.penalties import PENALTIES
from augment.gan.replica import Replica
from augment.gan.schedules import MOST_AUGMENT_PROBABILITY, Rates
from augment.gan.spectral import gsr
from augment.gan.state import HALF, TrainState, resolve_precision
from augment.gan.step import (
    DiscriminatorLoss,
    Objective,
    Player,
    Shown,
    accumulate,
    apply_update,
    discriminator_loss,
    generator_loss,
)
from augment.gan.twins import barlow_twins

__all__ = ["Game"]

LECAM_DECAY = 0.99  # of the anchors' averages, as in Tseng et al. 2021
TREND_DECAY = 0.98  # about fifty steps, a report's length


class Game:
    """Both players on this rank, and the updates that set one against the other.

    `share` is this rank's weight in the mean over ranks (see `Batches.share`). An update's gradient is added up over
    `micro_batches` parts of the batch: the mean over all of it, however many they are.
    """

    def __init__(
        self, state: TrainState, replica: Replica, *, share: float = 1.0, micro_batches: int = 1
    ) -> None:
        train, model = state.spec.train, state.spec.model
        self._state, self._replica, self._share, self._micro_batches = state, replica, share, micro_batches
        precision = resolve_precision(train.precision, replica.device)
        self._objective = Objective(
            loss=LOSSES[train.loss],
            penalty=PENALTIES[train.resolved_penalty],
            device_type=replica.device.type,
            half=HALF[precision],
            auxiliary_weight=train.auxiliary_weight,
            low_resolution_weight=train.low_resolution_weight,
            lecam_weight=train.lecam_weight,
        )
        scaled = precision == "fp16"
        self._generator = self._player("generator", scaled=scaled)
        self._discriminator = self._player("discriminator", scaled=scaled)
        # A penalty's gradient of a gradient cannot be compiled: D learns through `wrapped` where one is due.
        self._make = self._compiled(self._generator.wrapped)
        self._learn = self._compiled(self._discriminator.wrapped)
        self._judge = self._compiled(self._discriminator.module)
        counts_K = list(state.spec.counts)
        self._class_weight_K = torch.tensor(
            effective_number_weights(counts_K), dtype=torch.float32, device=replica.device
        )
        self._class_parameters = class_parameters(state.generator) if model.conditional else []
        self.guard = DivergenceGuard(replica)

    def update_discriminator(self, batch: StepBatch, rates: Rates) -> dict[str, Tensor]:
        """D's turn: tell real from generated. Every `penalty_every`-th step pays the penalty for them all."""
        logits: list[tuple[Tensor, Tensor]] = []

        def loss_of(part: StepBatch) -> tuple[Tensor, dict[str, Tensor]]:
            loss = self._discriminator_loss(part, rates)
            logits.append((loss.real_logits_B.detach(), loss.fake_logits_B.detach()))
            return loss.total, loss.terms

        terms = self._turn(self._discriminator, batch, rates, loss_of)
        real_logits_B, fake_logits_B = (torch.cat(parts) for parts in zip(*logits, strict=True))
        return {**terms, **self._observe(real_logits_B, fake_logits_B)}

    def update_generator(self, batch: StepBatch, rates: Rates) -> dict[str, Tensor]:
        """G's turn: new latents of the same classes, against the discriminator as it now is."""
        return self._turn(self._generator, batch, rates, lambda part: self._generator_loss(part, rates))

    def _turn(
        self,
        player: Player,
        batch: StepBatch,
        rates: Rates,
        loss_of: Callable[[StepBatch], tuple[Tensor, dict[str, Tensor]]],
    ) -> dict[str, Tensor]:
        """One update of `player` by the mean loss over the batch, part by part; the terms are means over it, too."""
        player.optimizer.zero_grad(set_to_none=True)
        parts, means = batch.split(self._micro_batches), dict[str, Tensor]()
        for number, part in enumerate(parts, start=1):
            weight = part.rows / batch.rows
            with nullcontext() if number == len(parts) else player.unshared():
                total, terms = loss_of(part)
                accumulate(player, _weighed(total, weight * self._share))
            for name, term in terms.items():
                mean = _weighed(term.detach(), weight)
                means[name] = means[name] + mean if name in means else mean
        apply_update(
            player, means, self.guard,
            step=self._state.step, learning_rate=rates.learning_rate, beta2=rates.beta2,
        )  # fmt: skip
        return means

    def _discriminator_loss(self, batch: StepBatch, rates: Rates) -> DiscriminatorLoss:
        train, draws = self._state.spec.train, batch.discriminator
        penalty_due = self._state.step % train.penalty_every == 0
        condition = Condition(batch.class_B, strength=rates.class_strength)
        with torch.no_grad():
            real = self._shown_real(batch, draws, rates)
            made = self._generate(self._generator.module, condition, draws)
            fake = self._shown_fake(made, draws, rates)
        return discriminator_loss(
            self._discriminator.wrapped if penalty_due else self._learn,
            real,
            fake,
            condition,
            self._objective,
            gamma=rates.gamma * train.penalty_every if penalty_due else 0.0,
            mix_B=batch.mix_B,
            anchors=self._anchors if train.lecam_weight and self._state.step else None,  # of steps before
            loss_scale=self._discriminator.loss_scale,
        )

    def _generator_loss(self, batch: StepBatch, rates: Rates) -> tuple[Tensor, dict[str, Tensor]]:
        """The total, and what it is made of."""
        draws = batch.generator
        condition = Condition(batch.class_B, strength=rates.class_strength)
        made = self._generate(self._make, condition, draws)
        with self._discriminator.frozen():
            loss = generator_loss(
                self._judge,
                self._shown_real(batch, draws, rates),
                self._shown_fake(made, draws, rates),
                condition,
                self._objective,
            )
        terms = {**loss.terms, **self._generator_regularisers(made, condition, draws)}
        return loss.total + sum(terms[name] for name in terms if name not in loss.terms), terms

    def _generator_regularisers(
        self, made: GeneratorOutput, condition: Condition, draws: UpdateDraws
    ) -> dict[str, Tensor]:
        train, terms = self._state.spec.train, {}
        if train.gsr_weight and self._class_parameters:
            terms["gsr"] = train.gsr_weight * gsr(self._class_parameters, self._class_weight_K)
        if draws.twin_noise_BE is not None:
            twin = condition._replace(noise_BE=draws.twin_noise_BE)
            with self._objective.autocast():
                twin_w_BW = self._state.generator.map(draws.z_BD, twin)
            terms["twins"] = train.twins_weight * barlow_twins(made.w_BW.float(), twin_w_BW.float())
        return terms

    def _generate(
        self, generator: Callable[..., GeneratorOutput], condition: Condition, draws: UpdateDraws
    ) -> GeneratorOutput:
        with self._objective.autocast():
            return generator(draws.z_BD, condition._replace(noise_BE=draws.embedding_noise_BE))

    def _shown_real(self, batch: StepBatch, draws: UpdateDraws, rates: Rates) -> Shown:
        low = None
        if (side := self._state.low_side) is not None:
            low = self._augment(shrink(batch.real_BCHW, side), draws.augment_real_BK, rates)
        return Shown(self._augment(batch.real_BCHW, draws.augment_real_BK, rates), low)

    def _shown_fake(self, made: GeneratorOutput, draws: UpdateDraws, rates: Rates) -> Shown:
        low = None
        if made.low_BChh is not None:
            low = self._augment(made.low_BChh, draws.augment_fake_BK, rates)
        return Shown(self._augment(made.image_BCHW, draws.augment_fake_BK, rates), low)

    def _augment(self, images_BCHW: Tensor, uniforms_BK: Tensor, rates: Rates) -> Tensor:
        return diffaugment(
            images_BCHW,
            uniforms_BK,
            operations=self._state.spec.train.diffaugment,
            probability=rates.augment_probability if self._ada_probability is None else self._ada_probability,
        )

    @property
    def _ada_probability(self) -> Tensor | None:
        """ADA's, with what a remedy added; None where the probability is scheduled."""
        if self._state.spec.train.ada_target is None:
            return None
        return (self._state.augment_probability + self._state.watch.augment_extra).clamp(
            max=MOST_AUGMENT_PROBABILITY
        )

    @torch.no_grad()
    def _observe(self, real_logits_B: Tensor, fake_logits_B: Tensor) -> dict[str, Tensor]:
        """D's logits in figures, and what adapts to them: ADA's probability and LeCam's anchors."""
        train, state = self._state.spec.train, self._state
        sign = overfitting_sign(
            real_logits_B, fake_logits_B, relativistic=self._objective.loss.generator_sees_real
        )
        seen_3 = torch.stack([sign, real_logits_B.mean(), fake_logits_B.mean()])
        if self._replica.world_size > 1:
            seen_3 = self._replica.sum(seen_3 * (self._share / self._replica.world_size))
        if train.ada_target is not None:
            adjusted = adjusted_probability(
                state.augment_probability, seen_3[0],
                target=train.ada_target, images=train.batch_size, kimg_to_full=train.ada_kimg,
            )  # fmt: skip
            state.augment_probability.copy_(adjusted)
        if train.lecam_weight:
            decay = debiased_decay(LECAM_DECAY, state.step)
            anchors = self._anchors.updated(seen_3[1], seen_3[2], decay=decay)
            state.lecam_real.copy_(anchors.real)
            state.lecam_fake.copy_(anchors.fake)
        state.trend_3.lerp_(seen_3, 1 - TREND_DECAY)
        seen = {"overfitting sign": seen_3[0], "real logit": seen_3[1], "fake logit": seen_3[2]}
        probability = self._ada_probability
        return seen if probability is None else {**seen, "augment probability": probability}

    def _compiled(self, network: nn.Module) -> Callable[..., Any]:
        if not self._state.spec.train.compile:
            return network
        compiled: Callable[..., Any] = torch.compile(network, dynamic=False)
        return compiled

    def _player(self, name: str, *, scaled: bool) -> Player:
        network: nn.Module = getattr(self._state, name)
        return Player(
            module=network,
            wrapped=self._replica.parallelize(network),
            optimizer=getattr(self._state, f"{name}_adam"),
            loss_scale=getattr(self._state, f"{name}_loss_scale") if scaled else None,
        )

    @property
    def _anchors(self) -> LeCamAnchors:
        return LeCamAnchors(self._state.lecam_real, self._state.lecam_fake)


def _weighed(value: Tensor, weight: float) -> Tensor:
    """The product; the tensor itself where there is nothing to weigh."""
    return value if weight == 1 else value * weight

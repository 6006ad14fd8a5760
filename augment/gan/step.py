"""The two updates of a GAN step, as R3GAN's trainer has them (Huang et al. 2024).

Owns how a discriminator's and a generator's loss are put together and applied. Knows no class counts, no
streams and no schedule: it is given the images, the latents and the step's rates.

B = this rank's samples. `Player.module` is the network itself and `Player.wrapped` what the update runs it
through (DDP's wrapper, where there is one): gradients are averaged over ranks for the player whose turn it
is, and the other one is used bare and frozen, which costs no communication.
"""

from collections.abc import Mapping
from contextlib import AbstractContextManager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn

from augment.gan.divergence import DivergenceGuard
from augment.gan.losses import AdversarialLoss
from augment.gan.penalties import Penalty, Point, input_gradient, interpolate

__all__ = [
    "DiscriminatorLoss",
    "Objective",
    "Player",
    "apply_update",
    "discriminator_loss",
    "generator_loss",
]

_PENALTY_TERMS: Mapping[Point, str] = {"real": "r1", "fake": "r2", "interpolated": "gradient_penalty"}


@dataclass(frozen=True, slots=True)
class Player:
    """One side of the game: the network, the same behind DDP (or itself), and its optimiser."""

    module: nn.Module
    wrapped: nn.Module
    optimizer: torch.optim.Optimizer


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised, and in which arithmetic the networks run."""

    loss: AdversarialLoss
    penalty: Penalty
    device_type: str
    bf16: bool

    def autocast(self) -> AbstractContextManager[None]:
        """bf16 for the networks' convolutions; weights, logits, losses and gradients' sums stay float32."""
        return torch.autocast(self.device_type, dtype=torch.bfloat16, enabled=self.bf16)


@dataclass(frozen=True, slots=True)
class DiscriminatorLoss:
    """Scalars of one discriminator update; `penalties` holds r1, r2 or gradient_penalty if due."""

    total: Tensor
    adversarial: Tensor
    real_logit: Tensor
    fake_logit: Tensor
    penalties: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def terms(self) -> dict[str, Tensor]:
        """What the total is made of, by the names that reports and errors use."""
        return {"discriminator loss": self.adversarial, **self.penalties}


def discriminator_loss(
    discriminator: nn.Module,
    real_BCHW: Tensor,
    fake_BCHW: Tensor,
    class_B: Tensor,
    objective: Objective,
    *,
    gamma: float,
    mix_B: Tensor,
) -> DiscriminatorLoss:
    """The adversarial loss and, where γ > 0, γ times the penalty; `class_B` labels both batches.

    Real and generated images go through D in one forward pass, so that DDP sees one pass an update.
    """
    points = objective.penalty.points if gamma > 0 else ()
    shown: dict[Point, Tensor] = {"real": real_BCHW, "fake": fake_BCHW}
    if "interpolated" in points:
        shown["interpolated"] = interpolate(real_BCHW, fake_BCHW, mix_B)
    images = torch.cat(list(shown.values())).requires_grad_(bool(points))
    with objective.autocast():
        logits = discriminator(images, class_B.repeat(len(shown)))
    logit_B = dict(zip(shown, logits.chunk(len(shown)), strict=True))

    adversarial = objective.loss.discriminator(logit_B["real"], logit_B["fake"])
    total, penalties = adversarial, {}
    if points:
        gradients = input_gradient(logits, images).chunk(len(shown))
        gradient_BCHW = dict(zip(shown, gradients, strict=True))
        penalties = {_PENALTY_TERMS[point]: objective.penalty.hold(gradient_BCHW[point]) for point in points}
        total = total + gamma * objective.penalty.weight * sum(penalties.values())
    return DiscriminatorLoss(
        total=total,
        adversarial=adversarial,
        real_logit=logit_B["real"].mean(),
        fake_logit=logit_B["fake"].mean(),
        penalties=penalties,
    )


def generator_loss(
    discriminator: nn.Module, real_BCHW: Tensor, fake_BCHW: Tensor, class_B: Tensor, objective: Objective
) -> Tensor:
    """The generator's loss, a scalar, through a discriminator whose weights take no gradient.

    The real images are looked at only by a loss that compares with them.
    """
    discriminator.requires_grad_(False)
    with objective.autocast():
        fake_logits_B = discriminator(fake_BCHW, class_B)
        sees_real = objective.loss.generator_sees_real
        real_logits_B = discriminator(real_BCHW, class_B) if sees_real else torch.zeros_like(fake_logits_B)
    discriminator.requires_grad_(True)
    return objective.loss.generator(real_logits_B, fake_logits_B)


def apply_update(
    player: Player,
    total: Tensor,
    terms: Mapping[str, Tensor],
    guard: DivergenceGuard,
    *,
    step: int,
    learning_rate: float,
) -> None:
    """Backward pass, the guard's look at `terms` and gradient, and Adam's update at `learning_rate`.

    Raises DivergenceError before the update (on a GPU: makes this and later updates void until the host
    asks the guard).
    """
    player.optimizer.zero_grad(set_to_none=True)
    total.backward()  # type: ignore[no-untyped-call]
    found_inf = guard.watch(step, terms, player.module.parameters())
    for group in player.optimizer.param_groups:
        group["lr"] = learning_rate
    setattr(player.optimizer, "found_inf", found_inf)  # noqa: B010 (as torch.amp.GradScaler hands it over)
    player.optimizer.step()

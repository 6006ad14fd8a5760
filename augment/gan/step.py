"""The two updates of a GAN step, as R3GAN's trainer has them (Huang et al. 2024), with what rare classes need.

Owns how a discriminator's and a generator's loss are put together and applied. Knows no class counts, no
streams and no schedule: it is given the images, the latents and the step's rates.

B = this rank's samples, h = the low resolution. `Player.module` is the network itself and `Player.wrapped`
what the update runs it through (DDP's wrapper, where there is one): gradients are averaged over ranks for
the player whose turn it is, and the other one is used bare and frozen, which costs no communication.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from dataclasses import dataclass, field
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn.functional import cross_entropy
from torch.nn.parallel import DistributedDataParallel

from augment.gan.divergence import DivergenceGuard, poisoned
from augment.gan.lecam import LeCamAnchors, lecam
from augment.gan.loss_scale import LEAST_SCALE, next_loss_scale
from augment.gan.losses import AdversarialLoss
from augment.gan.networks.interface import Condition, Judgement
from augment.gan.penalties import Penalty, Point, input_gradient, interpolate

__all__ = [
    "Discriminate",
    "DiscriminatorLoss",
    "GeneratorLoss",
    "Objective",
    "Player",
    "Shown",
    "accumulate",
    "apply_update",
    "discriminator_loss",
    "generator_loss",
]

_PENALTY_TERMS: Mapping[Point, str] = {"real": "r1", "fake": "r2", "interpolated": "gradient_penalty"}


Discriminate = Callable[[Tensor, Condition, Tensor | None], Judgement]
"""A discriminator as the losses use it: the network, behind DDP, or compiled."""


@dataclass(frozen=True, slots=True)
class Player:
    """One side of the game: the network, the same behind DDP (or itself), and its optimiser.

    `loss_scale` is fp16's (see augment.gan.loss_scale), None in any other arithmetic.
    """

    module: nn.Module
    wrapped: nn.Module
    optimizer: torch.optim.Optimizer
    loss_scale: Tensor | None = None

    @contextmanager
    def frozen(self) -> Iterator[None]:
        """Its weights take no gradient inside: it is the other's turn."""
        self.module.requires_grad_(False)
        try:
            yield
        finally:
            self.module.requires_grad_(True)

    def unshared(self) -> AbstractContextManager[None]:
        """Gradients of inside stay with this rank, until a backward pass outside shares the sum."""
        wrapped = self.wrapped
        return wrapped.no_sync() if isinstance(wrapped, DistributedDataParallel) else nullcontext()


class Shown(NamedTuple):
    """Images as the discriminator sees them, augmented; the low-resolution pictures where UTLO is on."""

    image_BCHW: Tensor
    low_BChh: Tensor | None = None


@dataclass(frozen=True, slots=True)
class Objective:
    """What is minimised, and in which arithmetic the networks run."""

    loss: AdversarialLoss
    penalty: Penalty
    device_type: str
    half: torch.dtype | None = None  # None: float32
    auxiliary_weight: float = 0.0
    low_resolution_weight: float = 0.0
    lecam_weight: float = 0.0

    def autocast(self) -> AbstractContextManager[None]:
        """Half precision for the networks' convolutions; weights, logits, losses and sums stay float32."""
        return torch.autocast(
            self.device_type, dtype=self.half or torch.bfloat16, enabled=self.half is not None
        )


@dataclass(frozen=True, slots=True)
class DiscriminatorLoss:
    """Scalars of one discriminator update, and its logits.

    `extras` holds those of the low-resolution loss, the auxiliary loss and LeCam that are on; `penalties`
    r1, r2 or gradient_penalty where due.
    """

    total: Tensor
    adversarial: Tensor
    real_logits_B: Tensor
    fake_logits_B: Tensor
    extras: Mapping[str, Tensor] = field(default_factory=dict)
    penalties: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def terms(self) -> dict[str, Tensor]:
        """What the total is made of, by the names that reports and errors use."""
        return {"discriminator loss": self.adversarial, **self.extras, **self.penalties}


@dataclass(frozen=True, slots=True)
class GeneratorLoss:
    """Scalars of one generator update before its own regularisers."""

    total: Tensor
    adversarial: Tensor
    extras: Mapping[str, Tensor] = field(default_factory=dict)

    @property
    def terms(self) -> dict[str, Tensor]:
        """By the names that reports and errors use."""
        return {"generator loss": self.adversarial, **self.extras}


def discriminator_loss(
    discriminator: Discriminate,
    real: Shown,
    fake: Shown,
    condition: Condition,
    objective: Objective,
    *,
    gamma: float,
    mix_B: Tensor,
    anchors: LeCamAnchors | None = None,
    loss_scale: Tensor | None = None,
) -> DiscriminatorLoss:
    """The adversarial loss, what is switched on beside it and, where γ > 0, γ times the penalty.

    Real and generated images share `condition` and go through D in one forward pass, so that DDP sees one
    pass an update.
    """
    points = objective.penalty.points if gamma > 0 else ()
    shown: dict[Point, Shown] = {"real": real, "fake": fake}
    if "interpolated" in points:
        shown["interpolated"] = _interpolate(real, fake, mix_B)
    seen = _together(list(shown.values()), requires_grad=bool(points))
    with objective.autocast():
        judged = discriminator(seen.image_BCHW, _repeat(condition, len(shown)), seen.low_BChh)
    logit_B = dict(zip(shown, judged.logits_B.chunk(len(shown)), strict=True))

    adversarial = objective.loss.discriminator(logit_B["real"], logit_B["fake"])
    extras = _discriminator_extras(judged, condition, len(shown), objective)
    if anchors is not None:
        extras["lecam"] = objective.lecam_weight * lecam(logit_B["real"], logit_B["fake"], anchors)
    total = adversarial + sum(extras.values())
    penalties: dict[str, Tensor] = {}
    if points:
        gradient_BF = _slopes(judged, seen, scale=None if loss_scale is None else loss_scale[0].clone())
        at = dict(zip(shown, gradient_BF.chunk(len(shown)), strict=True))
        penalties = {_PENALTY_TERMS[point]: objective.penalty.hold(at[point]) for point in points}
        total = total + gamma * objective.penalty.weight * sum(penalties.values())
    return DiscriminatorLoss(
        total=total,
        adversarial=adversarial,
        real_logits_B=logit_B["real"],
        fake_logits_B=logit_B["fake"],
        extras=extras,
        penalties=penalties,
    )


def generator_loss(
    discriminator: Discriminate, real: Shown, fake: Shown, condition: Condition, objective: Objective
) -> GeneratorLoss:
    """The generator's loss through a discriminator that is frozen (`Player.frozen`).

    The real images are looked at only by a loss that compares with them.
    """
    sees_real = objective.loss.generator_sees_real
    with objective.autocast():
        judged = discriminator(fake.image_BCHW, condition, fake.low_BChh)
        of_real = discriminator(real.image_BCHW, condition, real.low_BChh) if sees_real else None
    real_logits_B = of_real.logits_B if of_real else torch.zeros_like(judged.logits_B)
    adversarial = objective.loss.generator(real_logits_B, judged.logits_B)
    extras: dict[str, Tensor] = {}
    if judged.low_logits_B is not None:
        low_real_B = of_real.low_logits_B if of_real else None
        against = torch.zeros_like(judged.low_logits_B) if low_real_B is None else low_real_B
        low = objective.loss.generator(against, judged.low_logits_B)
        extras["generator's low-resolution loss"] = objective.low_resolution_weight * low
    if judged.class_logits_BK is not None:
        auxiliary = cross_entropy(judged.class_logits_BK, condition.class_B)
        extras["generator's auxiliary loss"] = objective.auxiliary_weight * condition.strength * auxiliary
    return GeneratorLoss(total=adversarial + sum(extras.values()), adversarial=adversarial, extras=extras)


def accumulate(player: Player, total: Tensor) -> None:
    """Backward pass: add the gradient of `total` to what the player's parameters hold."""
    poisoned(total if player.loss_scale is None else total * player.loss_scale[0].clone()).backward()  # type: ignore[no-untyped-call]


def apply_update(
    player: Player,
    terms: Mapping[str, Tensor],
    guard: DivergenceGuard,
    *,
    step: int,
    learning_rate: float,
    beta2: float,
) -> None:
    """The guard's look at `terms` and the gradient that was accumulated, and Adam's update.

    Raises TroubleError before the update (on a GPU: makes this and later updates void until the host asks
    the guard).
    """
    scale = None if player.loss_scale is None else player.loss_scale[0].clone()
    may_overflow = None if scale is None else scale > LEAST_SCALE
    found_inf = guard.watch(step, terms, player.module.parameters(), may_overflow=may_overflow)
    for group in player.optimizer.param_groups:
        group["lr"] = learning_rate
        group["betas"] = (group["betas"][0], beta2)
    setattr(player.optimizer, "found_inf", found_inf)  # noqa: B010 (as torch.amp.GradScaler hands them over)
    setattr(player.optimizer, "grad_scale", scale)  # noqa: B010
    player.optimizer.step()
    if player.loss_scale is not None:
        player.loss_scale.copy_(next_loss_scale(player.loss_scale, found_inf))


def _together(shown: list[Shown], *, requires_grad: bool) -> Shown:
    lows = [one.low_BChh for one in shown if one.low_BChh is not None]
    return Shown(
        image_BCHW=torch.cat([one.image_BCHW for one in shown]).requires_grad_(requires_grad),
        low_BChh=torch.cat(lows).requires_grad_(requires_grad) if lows else None,
    )


def _repeat(condition: Condition, times: int) -> Condition:
    return condition._replace(class_B=condition.class_B.repeat(times))


def _interpolate(real: Shown, fake: Shown, mix_B: Tensor) -> Shown:
    low = real.low_BChh is not None and fake.low_BChh is not None
    return Shown(
        image_BCHW=interpolate(real.image_BCHW, fake.image_BCHW, mix_B),
        low_BChh=interpolate(real.low_BChh, fake.low_BChh, mix_B) if low else None,  # type: ignore[arg-type]
    )


def _slopes(judged: Judgement, seen: Shown, *, scale: Tensor | None) -> Tensor:
    """The slope of each logit at its image, and of each low-resolution one at its picture, [B, numbers]."""
    slopes = input_gradient(judged.logits_B, seen.image_BCHW, scale=scale).flatten(1)
    if judged.low_logits_B is None or seen.low_BChh is None:
        return slopes
    low = input_gradient(judged.low_logits_B, seen.low_BChh, scale=scale).flatten(1)
    return torch.cat([slopes, low], dim=1)


def _discriminator_extras(
    judged: Judgement, condition: Condition, batches: int, objective: Objective
) -> dict[str, Tensor]:
    extras: dict[str, Tensor] = {}
    if judged.low_logits_B is not None:
        real_B, fake_B = judged.low_logits_B.chunk(batches)[:2]
        low = objective.loss.discriminator(real_B, fake_B)
        extras["low-resolution loss"] = objective.low_resolution_weight * low
    if judged.class_logits_BK is not None:
        # Odena et al. 2017, eq. 3: D learns the classes of real and of generated images.
        class_logits_BK = torch.cat(judged.class_logits_BK.chunk(batches)[:2])
        auxiliary = cross_entropy(class_logits_BK, condition.class_B.repeat(2))
        extras["auxiliary loss"] = objective.auxiliary_weight * condition.strength * auxiliary
    return extras

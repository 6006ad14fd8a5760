"""Adversarial losses: each a pair of functions of the logits, named as in its paper.

Owns what the discriminator and the generator minimise. Knows no network and no penalty. To add a loss,
write its two functions and one entry of `LOSSES` (and the name in `config.LossName`).

In each formula r = D(x_r, y) and f = D(x_f, y) are logits [B] of real and generated images that share
their labels, E is the mean over the batch, and a result is a scalar to be minimised. The minimax game's D is
a probability; here it is the sigmoid of the logit, taken inside the logarithm, where it cannot round to 0.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

from torch import Tensor
from torch.nn.functional import logsigmoid, relu, softplus

from augment.gan.config import LossName

__all__ = ["LOSSES", "AdversarialLoss"]

LogitLoss = Callable[[Tensor, Tensor], Tensor]


@dataclass(frozen=True, slots=True)
class AdversarialLoss:
    """What each player minimises: (real_logits_B, fake_logits_B) → scalar."""

    discriminator: LogitLoss
    generator: LogitLoss
    generator_sees_real: bool = False  # the generator's loss reads r too (relativistic losses)


def minimax_discriminator(real_B: Tensor, fake_B: Tensor) -> Tensor:
    """−E[log D(x_r)] − E[log(1 − D(x_f))], D = sigmoid(logit) (Goodfellow et al. 2014, eq. 1)."""
    return -(logsigmoid(real_B) + logsigmoid(-fake_B)).mean()  # 1 − sigmoid(f) = sigmoid(−f)


def minimax_generator(real_B: Tensor, fake_B: Tensor) -> Tensor:
    """E[log(1 − D(x_f))]: the same game's other side (Goodfellow et al. 2014, eq. 1). It saturates."""
    return logsigmoid(-fake_B).mean()


def non_saturating_generator(real_B: Tensor, fake_B: Tensor) -> Tensor:
    """−E[log D(x_f)], a stronger gradient while D wins (Goodfellow et al. 2014, section 3)."""
    return -logsigmoid(fake_B).mean()


def hinge_discriminator(real_B: Tensor, fake_B: Tensor) -> Tensor:
    """E[max(0, 1 − r)] + E[max(0, 1 + f)] (Lim & Ye 2017; Miyato et al. 2018, eq. 16)."""
    return (relu(1 - real_B) + relu(1 + fake_B)).mean()


def negative_fake_logit(real_B: Tensor, fake_B: Tensor) -> Tensor:
    """−E[f]: the generator's side of hinge (Miyato et al. 2018, eq. 17) and of WGAN (Arjovsky 2017)."""
    return -fake_B.mean()


def least_squares_discriminator(real_B: Tensor, fake_B: Tensor) -> Tensor:
    """½E[(r − 1)²] + ½E[f²] (Mao et al. 2017, eq. 9)."""
    return 0.5 * ((real_B - 1).square() + fake_B.square()).mean()


def least_squares_generator(real_B: Tensor, fake_B: Tensor) -> Tensor:
    """½E[(f − 1)²] (Mao et al. 2017, eq. 9)."""
    return 0.5 * (fake_B - 1).square().mean()


def wasserstein_critic(real_B: Tensor, fake_B: Tensor) -> Tensor:
    """E[f] − E[r]; the penalty that makes it a distance is in `penalties` (Gulrajani et al. 2017, eq. 3)."""
    return (fake_B - real_B).mean()


def relativistic_discriminator(real_B: Tensor, fake_B: Tensor) -> Tensor:
    """E[softplus(−(r − f))]: real must beat its paired fake (Jolicoeur-Martineau 2019; R3GAN 2024, eq. 2)."""
    return softplus(fake_B - real_B).mean()


def relativistic_generator(real_B: Tensor, fake_B: Tensor) -> Tensor:
    """E[softplus(−(f − r))]: the same pairing with the players exchanged."""
    return softplus(real_B - fake_B).mean()


LOSSES: Mapping[LossName, AdversarialLoss] = {
    "minimax": AdversarialLoss(minimax_discriminator, minimax_generator),
    "non-saturating": AdversarialLoss(minimax_discriminator, non_saturating_generator),
    "hinge": AdversarialLoss(hinge_discriminator, negative_fake_logit),
    "least-squares": AdversarialLoss(least_squares_discriminator, least_squares_generator),
    "wgan-gp": AdversarialLoss(wasserstein_critic, negative_fake_logit),
    "relativistic": AdversarialLoss(
        relativistic_discriminator, relativistic_generator, generator_sees_real=True
    ),
}

"""ADA: as much augmentation as the discriminator's overfitting calls for.

"Training generative adversarial networks with limited data" (Karras et al. 2020, section 3).

Owns the sign of overfitting and the probability's step. Knows no augmentation, and looks at nothing: it
takes tensors on the device and gives tensors on the device, so the host never waits.

B = samples in the batch.
"""

import torch
from torch import Tensor

from augment.gan.schedules import MOST_AUGMENT_PROBABILITY

__all__ = ["adjusted_probability", "overfitting_sign"]


def overfitting_sign(real_logits_B: Tensor, fake_logits_B: Tensor, *, relativistic: bool) -> Tensor:
    """r_t = E[sign(D(x_r))], a float32 scalar in [−1, 1] (Karras et al. 2020, eq. 1): 1 is overfitting.

    A relativistic loss compares an image with its pair and leaves the logits' zero undefined: there it is
    E[sign(D(x_r) − D(x_f))], which asks the same question, how often D is right, of the pair. Both are 0
    where D guesses. Logits are those of the augmented images that D was trained on.
    """
    surplus_B = real_logits_B - fake_logits_B if relativistic else real_logits_B
    return surplus_B.detach().float().sign().mean()


def adjusted_probability(
    probability: Tensor, r_t: Tensor, *, target: float, images: int, kimg_to_full: float
) -> Tensor:
    """p ← p + sign(r_t − target) · images / (1000 · kimg_to_full), in [0, `MOST_AUGMENT_PROBABILITY`] (section 3).

    `images` were shown since the last step, and `r_t` is best their average (the paper: 4 batches, target
    0.6, 500 kimg from 0 to 1); here it is one batch's, whose sign is right more often than not, which is all
    that a step needs.
    """
    step = torch.sign(r_t - target) * (images / (1000 * kimg_to_full))
    return (probability + step).clamp(0, MOST_AUGMENT_PROBABILITY)

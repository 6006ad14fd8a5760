"""The generator's exponential moving average: the weights that are used once training is over.

Owns the decay and the update. The average is measured in images shown, not in steps, so that its meaning
does not change with the batch size.
"""

import torch
from torch import Tensor, nn

__all__ = ["RAMP", "ema_decay", "update_ema"]

RAMP = 0.05
"""Early in a run the half-life is this share of the images shown so far (Karras et al. 2020, ADA)."""


def ema_decay(*, half_life_kimg: float, batch_size: int, images_seen: int, ramped: bool = True) -> float:
    """β = 0.5^(batch / min(half-life, RAMP · images seen)), as in StyleGAN2-ADA and R3GAN.

    0 at the first step and where the half-life is 0: the average is then the generator itself. Not `ramped`,
    the half-life is whole from the start: a fine-tuning begins with an average that is worth keeping.
    """
    half_life_images = 1000 * half_life_kimg
    if ramped:
        half_life_images = min(half_life_images, RAMP * images_seen)
    return float(0.5 ** (batch_size / half_life_images)) if half_life_images > 0 else 0.0


@torch.no_grad()
def update_ema(average: nn.Module, generator: nn.Module, *, decay: float) -> None:
    """average ← β · average + (1 − β) · generator (Karras et al. 2018, section 4.2)."""
    averages: list[Tensor] = list(average.parameters())
    weights: list[Tensor] = list(generator.parameters())
    torch._foreach_lerp_(averages, weights, 1 - decay)  # one kernel for all, as the optimisers have them

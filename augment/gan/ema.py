"""The generator's exponential moving average: the weights that are used once training is over.

Owns the update; its decay is scheduled (augment.gan.schedules).
"""

import torch
from torch import Tensor, nn

__all__ = ["update_ema"]


@torch.no_grad()
def update_ema(average: nn.Module, generator: nn.Module, *, decay: float) -> None:
    """average ← β · average + (1 − β) · generator (Karras et al. 2018, section 4.2)."""
    averages: list[Tensor] = list(average.parameters())
    weights: list[Tensor] = list(generator.parameters())
    torch._foreach_lerp_(averages, weights, 1 - decay)  # one kernel for all, as the optimisers have them

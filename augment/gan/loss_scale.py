"""The loss scale of fp16 training, kept on the device so that no step waits for it.

Owns the rule of mixed precision training (Micikevicius et al. 2018, section 3.2, in the dynamic form of
torch.amp.GradScaler): the loss is multiplied before the backward pass, so that small gradients don't vanish
in fp16; where a gradient overflows, the update is skipped and the scale halved; after `GROWTH_INTERVAL` good
updates it is doubled.
"""

import torch
from torch import Tensor

__all__ = ["GROWTH_INTERVAL", "INITIAL_SCALE", "LEAST_SCALE", "new_loss_scale", "next_loss_scale"]

INITIAL_SCALE = 2.0**12
LEAST_SCALE = 2.0**-10
"""Gradients that overflow at this scale are infinite at any: the run diverges."""
GROWTH_INTERVAL = 2000
_MOST = 2.0**16  # of fp16's range


def new_loss_scale(device: torch.device) -> Tensor:
    """float32 [2]: the scale, and the good updates since it last changed."""
    return torch.tensor([INITIAL_SCALE, 0.0], device=device)


def next_loss_scale(scale_2: Tensor, found_inf: Tensor) -> Tensor:
    """The scale after an update; `found_inf` is 1 where its gradient overflowed, else 0."""
    scale, good = scale_2[0], scale_2[1] + 1
    grown = good >= GROWTH_INTERVAL
    kept = torch.stack(
        [torch.where(grown, (2 * scale).clamp(max=_MOST), scale), torch.where(grown, 0.0, good)]
    )
    halved = torch.stack([scale / 2, torch.zeros_like(scale)])
    return torch.where(found_inf > 0, halved, kept)

"""Which of the workers this is. The one thing a training loop is told of the machinery around it."""

from collections.abc import Callable
from dataclasses import dataclass, field

import torch
from torch import nn

__all__ = ["Replica"]


def _itself(module: nn.Module) -> nn.Module:
    return module


@dataclass(frozen=True, slots=True)
class Replica:
    """Rank `rank` of `world_size`, where it computes, and how its networks share gradients.

    `parallelize` wraps a network that is already on `device` (DistributedDataParallel, say) and must run
    the same on every rank; the network itself stays what is saved, averaged and sampled from.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    parallelize: Callable[[nn.Module], nn.Module] = _itself

"""Which of the workers this is, and how it comes to one mind with the others.

The one thing a training loop is told of the machinery around it. Owns the three ways in which ranks meet
outside the gradients; each is a plain call where there is one rank, and torch.distributed's collective where
there are several. Every rank must make the same calls in the same order.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from typing import TypeVar

import torch
import torch.distributed as dist
from torch import Tensor, nn

__all__ = ["Replica"]

_T = TypeVar("_T")


def _itself(module: nn.Module) -> nn.Module:
    return module


@dataclass(frozen=True, slots=True)
class Replica:
    """Rank `rank` of `world_size`, where it computes, and how its networks share gradients.

    `parallelize` wraps a network that is already on `device` (DistributedDataParallel, say) and must run
    the same on every rank; the network itself stays what is saved, averaged and sampled from. With more
    than one rank torch.distributed's default group must have been set up.
    """

    rank: int = 0
    world_size: int = 1
    device: torch.device = field(default_factory=lambda: torch.device("cpu"))
    parallelize: Callable[[nn.Module], nn.Module] = _itself

    def agree(self, decide: Callable[[], _T]) -> _T:
        """What `decide` returns on rank 0, on every rank; the others don't call it."""
        if self.world_size == 1:
            return decide()
        decided: list[_T | None] = [decide() if self.rank == 0 else None]
        dist.broadcast_object_list(decided, src=0, device=self.device)
        return decided[0]  # type: ignore[return-value]  # rank 0 filled it

    def gather(self, value: _T) -> list[_T]:
        """Every rank's `value`, by rank."""
        if self.world_size == 1:
            return [value]
        values: list[_T] = [value] * self.world_size
        dist.all_gather_object(values, value)
        return values

    def sum(self, value: Tensor) -> Tensor:
        """The sum of every rank's `value`, in place, on its device."""
        if self.world_size > 1:
            dist.all_reduce(value)
        return value

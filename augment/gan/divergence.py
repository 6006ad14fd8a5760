"""The guard between a loss and its update: no non-finite number ever reaches a weight.

Owns the check, and which step, term and rank it found. On a CPU it looks at once. On a GPU, looking would
make the host wait for the device at every step; there the guard keeps its verdict on the device and hands it
to the fused optimiser, which skips this update and every later one, and the host looks when it waits anyway,
at a report. Either way the weights stay those of the last good step, and since ranks share their gradients
(`poisoned` sees to it that a bad loss always shows in them), every rank stops at the same step.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from augment.gan.replica import Replica
from augment.gan.supervision import Trouble, TroubleError

__all__ = ["DivergenceGuard", "poisoned"]

_GRADIENT = "gradient"  # the last of the watched: after a rank's own losses, which say more


def poisoned(total: Tensor) -> Tensor:
    """`total`, with a gradient that is not finite where `total` is not: an infinite loss may have a finite one."""
    return total * torch.where(total.detach().isfinite(), 1.0, torch.nan)


class DivergenceGuard:
    """Remembers the first step and the first number of it that was not finite."""

    def __init__(self, replica: Replica, *, look_at_once: bool | None = None) -> None:
        self._replica = replica
        self._updates: list[tuple[str, ...]] = []  # the names watched together, one entry a kind of update
        self._look_at_once = replica.device.type == "cpu" if look_at_once is None else look_at_once
        self.reset()

    def reset(self) -> None:
        """Forget what was found: the weights are good again."""
        self._step = torch.full((), -1, dtype=torch.int64, device=self._replica.device)
        self._update = torch.zeros_like(self._step)  # index in `_updates`
        self._name = torch.zeros_like(self._step)  # index in that update's names

    def watch(
        self,
        step: int,
        terms: Mapping[str, Tensor],
        parameters: Iterable[nn.Parameter],
        *,
        may_overflow: Tensor | None = None,
    ) -> Tensor:
        """Check the loss terms and, after the backward pass, the whole gradient, which all ranks share.

        Where `may_overflow` (fp16, whose loss scale is being found) is true, a gradient alone is no divergence.
        Returns a float32 scalar, 1 where this update must be skipped: the optimiser's `found_inf`.
        """
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        watched = {**terms, _GRADIENT: nn.utils.get_total_norm(gradients)}
        if (names := tuple(watched)) not in self._updates:
            self._updates.append(names)
        finite_T = torch.stack([value.detach().isfinite() for value in watched.values()])
        overflow = ~finite_T[-1]
        bad = ~finite_T.all()
        if may_overflow is not None:
            own = (
                self._replica.sum((~finite_T[:-1].all()).float()) > 0
            )  # of any rank: the gradient tells none
            bad = own | (overflow & ~may_overflow)
        first_bad = (self._step < 0) & bad
        self._step = torch.where(first_bad, step, self._step)
        self._update = torch.where(first_bad, self._updates.index(names), self._update)
        self._name = torch.where(first_bad, finite_T.int().argmin(), self._name)
        if self._look_at_once:
            self.raise_if_diverged()
        return ((self._step >= 0) | overflow).float()

    def raise_if_diverged(self) -> None:
        """Raise TroubleError where any watched number was not finite (waits for the device)."""
        step = int(self._step)
        if step < 0:
            return
        name = self._updates[int(self._update)][int(self._name)]
        names = self._replica.gather(name)
        culprits = [(rank, name) for rank, name in enumerate(names) if name != _GRADIENT]
        where = ""
        if culprits and self._replica.world_size > 1:
            rank, name = culprits[0]
            where = f"on rank {rank} "
        raise TroubleError(
            Trouble(kind="divergence", step=step, what=f"step {step}: the {name} {where}is not finite")
        )

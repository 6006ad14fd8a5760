"""The guard between a loss and its update: no non-finite number ever reaches a weight.

Owns the check, and the error that names the step and the term. On a CPU it looks at once. On a GPU,
looking would make the host wait for the device at every step; there the guard keeps its verdict on the
device and hands it to the fused optimiser, which skips this update and every later one, and the host looks
when it waits anyway, at a report or a snapshot. Either way the weights stay those of the last good step.
"""

from collections.abc import Iterable, Mapping

import torch
from torch import Tensor, nn

from augment.errors import DivergenceError

__all__ = ["DivergenceGuard"]


class DivergenceGuard:
    """Remembers the first step and the first number of it that was not finite."""

    def __init__(self, device: torch.device, *, look_at_once: bool | None = None) -> None:
        self._look_at_once = device.type == "cpu" if look_at_once is None else look_at_once
        self._step = torch.full((), -1, dtype=torch.int64, device=device)
        self._update = torch.zeros_like(self._step)  # index in `_updates`
        self._name = torch.zeros_like(self._step)  # index in that update's names
        self._updates: list[tuple[str, ...]] = []  # the names watched together, one entry a kind of update

    def watch(self, step: int, terms: Mapping[str, Tensor], parameters: Iterable[nn.Parameter]) -> Tensor:
        """Check the loss terms and, after the backward pass, the whole gradient.

        The gradient is checked because, under DDP, another rank's loss shows here only in it.
        Returns a float32 scalar, 1 once anything was not finite: the optimiser's `found_inf`.
        """
        gradients = [parameter.grad for parameter in parameters if parameter.grad is not None]
        watched = {**terms, "gradient": nn.utils.get_total_norm(gradients)}
        if (names := tuple(watched)) not in self._updates:
            self._updates.append(names)
        finite_T = torch.stack([value.detach().isfinite() for value in watched.values()])
        first_bad = (self._step < 0) & ~finite_T.all()
        self._step = torch.where(first_bad, step, self._step)
        self._update = torch.where(first_bad, self._updates.index(names), self._update)
        self._name = torch.where(first_bad, finite_T.int().argmin(), self._name)
        if self._look_at_once:
            self.raise_if_diverged()
        return (self._step >= 0).float()

    def raise_if_diverged(self) -> None:
        """Raise DivergenceError where any watched number was not finite (waits for the device)."""
        step = int(self._step)
        if step >= 0:
            name = self._updates[int(self._update)][int(self._name)]
            raise DivergenceError(
                f"step {step}: the {name} is not finite; training stopped before the update. "
                "Lower train.learning_rate or raise train.gamma, then run again"
            )

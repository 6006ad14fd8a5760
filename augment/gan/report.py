"""What a training says of itself, report by report. A record that whoever only reads it need not import torch for."""

from collections.abc import Mapping
from dataclasses import dataclass, field

from augment.gan.supervision import Evaluation

__all__ = ["Report"]


@dataclass(frozen=True, slots=True)
class Report:
    """What happened since the last report, as this rank saw it.

    `values` holds means over the steps since then: discriminator loss, generator loss, real logit, fake
    logit, overfitting sign, every regulariser that is on, and r1, r2 or gradient_penalty over those steps that
    had one; and the last step's learning rate, gamma, augment probability and EMA decay. `diversity` is each
    class's, as a share of its real images'.
    """

    step: int
    images_seen: int
    images_per_second: float  # over all workers
    values: Mapping[str, float]
    diversity: Mapping[str, float] = field(default_factory=dict)
    evaluation: Evaluation | None = None  # where this step had one; of rank 0, as `diversity` is
    limit_left_s: float | None = None  # what the nearest time limit leaves, where there is one; of rank 0

    @property
    def kimg(self) -> float:
        """Thousands of real images shown to the discriminator so far."""
        return self.images_seen / 1000

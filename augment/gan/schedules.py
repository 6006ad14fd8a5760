"""What changes over a run, as pure functions of its progress: a share in [0, 1] of the steps done."""

import math
from dataclasses import dataclass
from functools import partial

from augment.gan.config import TrainConfig
from augment.gan.ema import ema_decay

__all__ = ["Rates", "augment_probability", "cosine"]


def cosine(start: float, *, final_fraction: float, progress: float) -> float:
    """From `start` at progress 0 along half a cosine to `start · final_fraction` at progress 1.

    The learning rate and the penalty's γ follow it, as in R3GAN (Huang et al. 2024).
    """
    end = start * final_fraction
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


def augment_probability(final: float, *, ramp: float, progress: float) -> float:
    """From 0 in a straight line to `final` at progress `ramp`, then constant."""
    return final if ramp == 0 else final * min(1.0, progress / ramp)


@dataclass(frozen=True, slots=True)
class Rates:
    """The scheduled quantities of one step."""

    learning_rate: float
    gamma: float
    augment_probability: float
    ema_decay: float

    @classmethod
    def at(cls, train: TrainConfig, step: int) -> "Rates":
        """Those of step `step`, 0 ≤ step < train.steps."""
        progress = step / train.steps
        falling = partial(cosine, final_fraction=train.final_fraction, progress=progress)
        return cls(
            learning_rate=falling(train.learning_rate),
            gamma=falling(train.gamma),
            augment_probability=augment_probability(
                train.diffaugment_probability, ramp=train.diffaugment_ramp, progress=progress
            ),
            ema_decay=ema_decay(
                half_life_kimg=train.ema_half_life_kimg,
                batch_size=train.batch_size,
                images_seen=step * train.batch_size,
            ),
        )

    @property
    def by_name(self) -> dict[str, float]:
        """By the names that reports use."""
        return {
            "learning rate": self.learning_rate,
            "gamma": self.gamma,
            "augment probability": self.augment_probability,
            "EMA decay": self.ema_decay,
        }

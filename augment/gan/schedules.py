"""What changes over a run, as pure functions of its progress: a share in [0, 1] of the steps done."""

import math
from dataclasses import dataclass
from functools import partial

from augment.gan.config import TrainConfig
from augment.gan.transition import transition_strength

__all__ = ["EMA_RAMP", "Rates", "augment_probability", "cosine", "ema_decay"]


def cosine(start: float, *, final_fraction: float, progress: float) -> float:
    """From `start` at progress 0 along half a cosine to `start · final_fraction` at progress 1.

    The learning rate and the penalty's γ follow it, as in R3GAN (Huang et al. 2024).
    """
    end = start * final_fraction
    return end + (start - end) * 0.5 * (1 + math.cos(math.pi * progress))


def augment_probability(final: float, *, ramp: float, progress: float) -> float:
    """From 0 in a straight line to `final` at progress `ramp`, then constant."""
    return final if ramp == 0 else final * min(1.0, progress / ramp)


MOST_AUGMENT_PROBABILITY = 0.9
"""Augmentations that always happen leak into what is generated (Karras et al. 2020, figure 4)."""


def warm_up(step: int, *, steps: int) -> float:
    """From 1/steps in a straight line to 1: Adam's first steps, whose moments know little, are small."""
    return min(1.0, (step + 1) / steps) if steps else 1.0


EMA_RAMP = 0.05
"""Early in a run the half-life is this share of the images shown so far (Karras et al. 2020, ADA)."""


def ema_decay(*, half_life_kimg: float, batch_size: int, images_seen: int, ramped: bool = True) -> float:
    """β = 0.5^(batch / min(half-life, EMA_RAMP · images seen)), as in StyleGAN2-ADA and R3GAN.

    The average is measured in images shown, not in steps, so that its meaning does not change with the batch size.
    0 at the first step and where the half-life is 0: the average is then the generator itself. Not `ramped`,
    the half-life is whole from the start: a fine-tuning begins with an average that is worth keeping.
    """
    half_life_images = 1000 * half_life_kimg
    if ramped:
        half_life_images = min(half_life_images, EMA_RAMP * images_seen)
    return float(0.5 ** (batch_size / half_life_images)) if half_life_images > 0 else 0.0


@dataclass(frozen=True, slots=True)
class Rates:
    """The scheduled quantities of one step."""

    learning_rate: float
    beta2: float
    gamma: float
    augment_probability: float
    class_strength: float
    ema_decay: float

    @classmethod
    def at(
        cls,
        train: TrainConfig,
        step: int,
        *,
        total_steps: int | None = None,
        learning_rate_scale: float = 1.0,
        augment_extra: float = 0.0,
        ramp_average: bool = True,
    ) -> "Rates":
        """Those of step `step`, 0 ≤ step < `total_steps` (the config's budget, unless time cut it).

        `learning_rate_scale` and `augment_extra` are a remedy's (see augment.gan.supervision); fine-tuning does
        not ramp the average up again.
        """
        progress = step / (total_steps or train.budget_steps)
        falling = partial(cosine, final_fraction=train.final_fraction, progress=progress)
        most = train.diffaugment_probability
        return cls(
            learning_rate=falling(train.learning_rate)
            * learning_rate_scale
            * warm_up(step, steps=train.warm_up_steps),
            beta2=cosine(
                train.beta2,
                final_fraction=(train.beta2_final or train.beta2) / train.beta2,
                progress=progress,
            ),
            gamma=falling(train.gamma),
            augment_probability=augment_probability(
                max(most, min(MOST_AUGMENT_PROBABILITY, most + augment_extra)),
                ramp=train.diffaugment_ramp,
                progress=progress,
            ),
            class_strength=1.0
            if train.transition is None
            else transition_strength(progress, begin=train.transition[0], end=train.transition[1]),
            ema_decay=ema_decay(
                half_life_kimg=train.ema_half_life_kimg,
                batch_size=train.batch_size,
                images_seen=step * train.batch_size,
                ramped=ramp_average,
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

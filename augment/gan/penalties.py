"""Gradient penalties on the discriminator: at which images the slope is held, and to what.

Owns the penalties and the gradient they are made of. Knows no network and no adversarial loss. To add a
penalty, write its function and one entry of `PENALTIES` (and the name in `config.PenaltyName`).

The gradient is taken at the discriminator's input, after augmentation: the penalty shapes D alone.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

__all__ = ["PENALTIES", "Penalty", "Point", "input_gradient", "interpolate", "one_centred", "zero_centred"]

Point = Literal["real", "fake", "interpolated"]


@dataclass(frozen=True, slots=True)
class Penalty:
    """`weight` × the sum over `points` of `hold(∇_x D(x, y))`, to be scaled by γ."""

    points: tuple[Point, ...]
    hold: Callable[[Tensor], Tensor]
    weight: float


def zero_centred(gradient_BCHW: Tensor) -> Tensor:
    """E‖∇D‖²: R1 at real images, R2 at generated ones (Mescheder et al. 2018, eq. 9 and 10)."""
    return gradient_BCHW.flatten(1).square().sum(1).mean()


def one_centred(gradient_BCHW: Tensor) -> Tensor:
    """E(‖∇D‖ − 1)² (Gulrajani et al. 2017, eq. 3)."""
    norm_B = (gradient_BCHW.flatten(1).square().sum(1) + 1e-12).sqrt()  # the root's slope at 0 is infinite
    return (norm_B - 1).square().mean()


PENALTIES: Mapping[str, Penalty] = {
    "none": Penalty((), zero_centred, weight=0.0),
    "r1": Penalty(("real",), zero_centred, weight=0.5),
    "r1+r2": Penalty(("real", "fake"), zero_centred, weight=0.5),
    "gradient-penalty": Penalty(("interpolated",), one_centred, weight=1.0),
}


def input_gradient(logits_B: Tensor, images_BCHW: Tensor, *, scale: Tensor | None = None) -> Tensor:
    """∇_x D(x, y) for each image, [B, C, H, W], itself differentiable.

    D treats every image alone, so the gradient of the logits' sum holds each image's own gradient. `scale`
    is fp16's: the pass back through the convolutions is made at it, and its result divided by it.
    """
    total = logits_B.sum() if scale is None else scale * logits_B.sum()
    (gradient_BCHW,) = torch.autograd.grad(total, images_BCHW, create_graph=True)
    return gradient_BCHW if scale is None else gradient_BCHW / scale


def interpolate(real_BCHW: Tensor, fake_BCHW: Tensor, mix_B: Tensor) -> Tensor:
    """x̂ = ε·x_r + (1 − ε)·x_f, ε uniform for each pair (Gulrajani et al. 2017, algorithm 1)."""
    return torch.lerp(fake_BCHW, real_BCHW, mix_B[:, None, None, None])

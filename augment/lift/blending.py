"""Images between two rows of a batch: mixup, CutMix and Remix.

Owns the blend and the share of each row's label. A batch has its real rows first and is blended with itself
reversed, so that samples meet real images.

B = rows of a batch, C, H, W = channels, rows, columns, K = classes.
"""

from typing import Literal, NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["Blended", "blended"]

_KAPPA = 3.0  # Remix's κ and τ, as its authors set them
_TAU = 0.5


class Blended(NamedTuple):
    """The images, each row's partner, and the share of the row's own label; the partner's is the rest."""

    x_BCHW: Tensor
    partner_B: Tensor
    own_B: Tensor


def blended(
    kind: Literal["mixup", "cutmix", "remix"],
    x_BCHW: Tensor,
    class_B: Tensor,
    counts_K: Tensor,
    uniform_3: npt.NDArray[np.float64],
) -> Blended:
    """Blend by one λ uniform in [0, 1), as Beta(1, 1) is, which CutMix has and mixup has on CIFAR.

    mixup: x = λ x_i + (1 − λ) x_j (Zhang et al. 2018, eq. 1). cutmix: a box of (1 − λ) of the area is the
    partner's (Yun et al. 2019, eq. 1 and 2). remix: mixup whose label is the rarer class's alone, where the
    other has κ = 3 times its images in `counts_K` or more, and a share of the image below τ = ½ (Chou et al.
    2020, eq. 9).
    """
    share = float(uniform_3[0])
    partner_B = torch.arange(len(x_BCHW), device=x_BCHW.device).flip(0)
    if kind == "cutmix":
        mixed_BCHW, share = _cut(x_BCHW, partner_B, share, float(uniform_3[1]), float(uniform_3[2]))
        return Blended(mixed_BCHW, partner_B, torch.full_like(class_B, share, dtype=torch.float32))
    mixed_BCHW = share * x_BCHW + (1 - share) * x_BCHW[partner_B]
    own_B = torch.full_like(class_B, share, dtype=torch.float32)
    if kind == "remix":
        own_B = _minority(own_B, counts_K[class_B], counts_K[class_B[partner_B]])
    return Blended(mixed_BCHW, partner_B, own_B)


def _cut(x_BCHW: Tensor, partner_B: Tensor, share: float, y: float, x: float) -> tuple[Tensor, float]:
    """The batch with one box of it the partners', and the share of the area that is left."""
    height, width = x_BCHW.shape[2:]
    side = (1 - share) ** 0.5
    top, bottom = _span(y, side, height)
    left, right = _span(x, side, width)
    mixed_BCHW = x_BCHW.clone()
    mixed_BCHW[:, :, top:bottom, left:right] = x_BCHW[partner_B, :, top:bottom, left:right]
    return mixed_BCHW, 1 - (bottom - top) * (right - left) / (height * width)


def _span(centre: float, side: float, pixels: int) -> tuple[int, int]:
    """Of a box around `centre`, cut off at the image's edge."""
    middle, half = int(centre * pixels), int(side * pixels) // 2
    return max(0, middle - half), min(pixels, middle + half)


def _minority(own_B: Tensor, count_B: Tensor, partner_count_B: Tensor) -> Tensor:
    """Remix's share of the row's own label (Chou et al. 2020, eq. 9)."""
    much_larger_B = count_B >= _KAPPA * partner_count_B
    much_smaller_B = partner_count_B >= _KAPPA * count_B
    own_B = torch.where(much_larger_B & (own_B < _TAU), 0.0, own_B)
    return torch.where(much_smaller_B & (1 - own_B < _TAU), 1.0, own_B)

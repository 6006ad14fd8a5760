"""Differentiable augmentation of what the discriminator sees, real and generated alike (Zhao et al. 2020).

Owns the operations, and which of an image's uniforms each one reads. Draws nothing itself: an image and
its uniforms decide the result, so that it never depends on a batch or a rank. To add an operation, write
its function and append one entry to `OPERATIONS` (an entry elsewhere would move the others' uniforms).

Images are [B, C, H, W] in about [-1, 1]; uniforms are in [0, 1), one row an image.
"""

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor

from augment.gan.config import DiffAugmentOp

__all__ = [
    "OPERATIONS",
    "UNIFORMS_PER_IMAGE",
    "brightness",
    "contrast",
    "cutout",
    "diffaugment",
    "saturation",
    "translation",
]


@dataclass(frozen=True, slots=True)
class Operation:
    """`apply(images_BCHW, uniforms_BP)` with P = `parameters` uniforms an image, besides the gate's one."""

    apply: Callable[[Tensor, Tensor], Tensor]
    parameters: int


def brightness(images_BCHW: Tensor, uniforms_BP: Tensor) -> Tensor:
    """Add a constant in [-0.5, 0.5)."""
    return images_BCHW + _per_image(uniforms_BP[:, 0] - 0.5)


def saturation(images_BCHW: Tensor, uniforms_BP: Tensor) -> Tensor:
    """Scale each pixel's distance from its gray by [0, 2); leaves one-channel images alone."""
    if images_BCHW.shape[1] == 1:
        return images_BCHW
    gray_B1HW = images_BCHW.mean(1, keepdim=True)
    return gray_B1HW + (images_BCHW - gray_B1HW) * _per_image(2 * uniforms_BP[:, 0])


def contrast(images_BCHW: Tensor, uniforms_BP: Tensor) -> Tensor:
    """Scale the distance from the image's mean by [0.5, 1.5)."""
    mean_B111 = images_BCHW.mean((1, 2, 3), keepdim=True)
    return mean_B111 + (images_BCHW - mean_B111) * _per_image(uniforms_BP[:, 0] + 0.5)


def translation(images_BCHW: Tensor, uniforms_BP: Tensor) -> Tensor:
    """Shift by whole pixels, up to an eighth of the side each way; the border repeats the edge pixels.

    The paper fills with 0, which in [-1, 1] is mid-gray: on the dark or white background of most object
    pictures that is a bar which D would spend its first layers on. The repeated edge goes on with
    whatever the background is.
    """
    height, width = images_BCHW.shape[2:]
    rows_BH = _shifted(height, uniforms_BP[:, 0])
    columns_BW = _shifted(width, uniforms_BP[:, 1])
    moved = images_BCHW.gather(2, rows_BH[:, None, :, None].expand_as(images_BCHW))
    return moved.gather(3, columns_BW[:, None, None, :].expand_as(images_BCHW))


def cutout(images_BCHW: Tensor, uniforms_BP: Tensor) -> Tensor:
    """Blank a square of half the side (centred anywhere in the image) with mid-gray, 0."""
    height, width = images_BCHW.shape[2:]
    rows_BH = _inside(height, uniforms_BP[:, 0])
    columns_BW = _inside(width, uniforms_BP[:, 1])
    hole_B1HW = (rows_BH[:, :, None] & columns_BW[:, None, :])[:, None]
    return images_BCHW.masked_fill(hole_B1HW, 0.0)


OPERATIONS: Mapping[DiffAugmentOp, Operation] = {  # applied in this order: colours, then geometry
    "brightness": Operation(brightness, parameters=1),
    "saturation": Operation(saturation, parameters=1),
    "contrast": Operation(contrast, parameters=1),
    "translation": Operation(translation, parameters=2),
    "cutout": Operation(cutout, parameters=2),
}

UNIFORMS_PER_IMAGE = sum(1 + operation.parameters for operation in OPERATIONS.values())
"""Uniforms each image needs, whichever operations are asked for: their columns never move."""


def diffaugment(
    images_BCHW: Tensor,
    uniforms_BK: Tensor,
    *,
    operations: Collection[DiffAugmentOp],
    probability: float | Tensor,
) -> Tensor:
    """Each asked-for operation on each image with `probability`; K = `UNIFORMS_PER_IMAGE`.

    A probability that adapts is a scalar tensor on the images' device (it is never read by the host).
    With probability well below 1 the augmentations do not leak into what the generator learns (Karras et
    al. 2020, section 2.2).
    """
    never = isinstance(probability, float) and probability == 0
    column = 0
    for name, operation in OPERATIONS.items():
        gate_B = uniforms_BK[:, column] < probability
        parameters_BP = uniforms_BK[:, column + 1 : column + 1 + operation.parameters]
        column += 1 + operation.parameters
        if name in operations and not never:
            changed_BCHW = operation.apply(images_BCHW, parameters_BP)
            images_BCHW = torch.where(_per_image(gate_B), changed_BCHW, images_BCHW)
    return images_BCHW


def _per_image(values_B: Tensor) -> Tensor:
    return values_B[:, None, None, None]


def _shifted(side: int, uniform_B: Tensor) -> Tensor:
    """[B, side]: the row each row is read from, after a shift in −side//8 … side//8."""
    furthest = side // 8
    shift_B = (uniform_B * (2 * furthest + 1)).long() - furthest
    rows_S = torch.arange(side, device=uniform_B.device)
    return (rows_S[None, :] - shift_B[:, None]).clamp(0, side - 1)


def _inside(side: int, uniform_B: Tensor) -> Tensor:
    """[B, side]: which rows lie in a stretch of side//2 rows centred on a uniformly drawn row."""
    length = side // 2
    begin_B = (uniform_B * side).long() - length // 2
    rows_S = torch.arange(side, device=uniform_B.device)
    return (rows_S >= begin_B[:, None]) & (rows_S < begin_B[:, None] + length)

"""Images as small pictures that can be compared pixel by pixel, though one was shifted or mirrored.

Owns the cut and the size. Knows neither classes nor limits.

The middle of an image without a rim of one pixel is what is kept of a reference; of a query every such
window, so that a copy shifted by one pixel has distance 0 in one of them. Windows are averaged over squares
down to at most 16 pixels a side: noise averages out, and a comparison costs little. The sums over all squares
that any window has are formed once, in whole numbers.

N = images, H, W, C = rows, columns, channels, V = views of one image, D = numbers of a small picture,
P = numbers of a still coarser one, X, Y = columns and rows of sums.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

__all__ = ["coarse_basis", "middle_views", "shifted_views"]

_MOST_PIXELS = 16  # a side
_SMALLEST_SHIFTED = 8  # pixels a side; below it a rim would be too large a part of the image
_COARSE_PIXELS = 5  # a side
_BLOCK = 64  # images at a time: their sums stay in the cache


def middle_views(pixels_NHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The middle of each image, float32 [N, D], in grey levels 0 to 255."""
    cut = _Cut.of(pixels_NHWC.shape[1])
    return _views(pixels_NHWC, [(1, 1, cut.rim, cut.rim)])[:, 0]


def shifted_views(
    pixels_NHWC: npt.NDArray[np.uint8], *, horizontal_flip: bool = False, vertical_flip: bool = False
) -> npt.NDArray[np.float32]:
    """Every window of each image, float32 [N, V, D]: 9 shifts, times 2 for each way it may be mirrored."""
    offsets = range(2 * _Cut.of(pixels_NHWC.shape[1]).rim + 1)
    mirrors = [(1, 1)]
    if horizontal_flip:
        mirrors.append((1, -1))
    if vertical_flip:
        mirrors += [(-1, columns) for _, columns in mirrors]
    return _views(
        pixels_NHWC, [(*mirror, row, column) for mirror in mirrors for row in offsets for column in offsets]
    )


def coarse_basis(size: int, channels: int) -> npt.NDArray[np.float64]:
    """Orthonormal columns [D, P] that take small pictures of images of this kind to means of their parts.

    So the distance of two pictures is at least that of their products with it. Of at most 5 × 5 parts a channel.
    """
    side = _Cut.of(size).squares
    part_D = np.arange(side) * min(side, _COARSE_PIXELS) // side
    one_DP = (part_D[:, None] == np.unique(part_D)) / np.sqrt(np.bincount(part_D))
    return np.asarray(np.kron(np.kron(one_DP, one_DP), np.eye(channels)), np.float64)


@dataclass(frozen=True, slots=True)
class _Cut:
    """How images of one size become small pictures."""

    rim: int  # pixels by which copies may be shifted
    factor: int  # pixels a side of a square that becomes one
    squares: int  # a side; rows and columns that fill none are left out

    @classmethod
    def of(cls, size: int) -> "_Cut":
        rim = 1 if size >= _SMALLEST_SHIFTED else 0
        side = size - 2 * rim
        factor = -(-side // _MOST_PIXELS)
        return cls(rim, factor, side // factor)


def _views(
    pixels_NHWC: npt.NDArray[np.uint8], windows: list[tuple[int, int, int, int]]
) -> npt.NDArray[np.float32]:
    """Small pictures [N, V, D] of these windows: the step along rows and along columns, 1 or -1 for a mirrored
    image, and the row and column at which the window begins."""
    images, size, _, channels = pixels_NHWC.shape
    cut = _Cut.of(size)
    views_NVD = np.empty((images, len(windows), cut.squares, cut.squares, channels), np.float32)
    reach = (cut.squares - 1) * cut.factor + 1
    for first in range(0, images, _BLOCK):
        sums_NYXC = _square_sums(pixels_NHWC[first : first + _BLOCK], cut.factor)
        for view, (rows, columns, y, x) in enumerate(windows):
            views_NVD[first : first + _BLOCK, view] = sums_NYXC[:, ::rows, ::columns][
                :, y : y + reach : cut.factor, x : x + reach : cut.factor
            ]
    views_NVD /= cut.factor**2
    return views_NVD.reshape(images, len(windows), cut.squares**2 * channels)


def _square_sums(pixels_NHWC: npt.NDArray[np.uint8], factor: int) -> npt.NDArray[np.generic]:
    """The sum over every square of `factor` pixels a side, by the place of its first row and column."""
    side = pixels_NHWC.shape[1] - factor + 1
    kind = np.uint16 if 255 * factor**2 < 2**16 else np.uint32
    rows_NYWC = _sum_of([pixels_NHWC[:, row : row + side] for row in range(factor)], kind)
    return _sum_of([rows_NYWC[:, :, column : column + side] for column in range(factor)], kind)


def _sum_of(
    parts: Sequence[npt.NDArray[np.generic]], kind: type[np.uint16] | type[np.uint32]
) -> npt.NDArray[np.generic]:
    total = parts[0].astype(kind)
    for part in parts[1:]:
        np.add(total, part, out=total)
    return total

"""Images as small pictures that can be compared pixel by pixel, though one was shifted or mirrored.

Owns the cut and the size. Knows neither classes nor limits.

The middle of an image without a rim of one pixel is what is kept of a reference; of a query every such
window, so that a copy shifted by one pixel has distance 0 in one of them. Windows are averaged over squares
down to at most 16 pixels a side: noise averages out, and a comparison costs little.

N = images, H, W, C = rows, columns, channels, V = views of one image, D = numbers of a small picture.
"""

import numpy as np
import numpy.typing as npt

__all__ = ["middle_views", "shifted_views"]

_MOST_PIXELS = 16  # a side
_SMALLEST_SHIFTED = 8  # pixels a side; below it a rim would be too large a part of the image
_BLOCK = 512  # images at a time: the views of all would take much memory


def middle_views(pixels_NHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """The middle of each image, float32 [N, D], in grey levels 0 to 255."""
    rim = _rim(pixels_NHWC.shape[1])
    return _small(_window(pixels_NHWC, rim, rim))


def shifted_views(
    pixels_NHWC: npt.NDArray[np.uint8], *, horizontal_flip: bool = False, vertical_flip: bool = False
) -> npt.NDArray[np.float32]:
    """Every window of each image, float32 [N, V, D]: 9 shifts, times 2 for each way it may be mirrored."""
    mirrored = [pixels_NHWC]
    if horizontal_flip:
        mirrored += [image[:, :, ::-1] for image in mirrored]
    if vertical_flip:
        mirrored += [image[:, ::-1] for image in mirrored]
    offsets = range(2 * _rim(pixels_NHWC.shape[1]) + 1)
    views = [_small(_window(image, y, x)) for image in mirrored for y in offsets for x in offsets]
    return np.stack(views, axis=1)


def _rim(size: int) -> int:
    """Pixels of an image of `size` a side by which copies may be shifted."""
    return 1 if size >= _SMALLEST_SHIFTED else 0


def _window(pixels_NHWC: npt.NDArray[np.uint8], y: int, x: int) -> npt.NDArray[np.uint8]:
    """The window that begins at row y and column x, all but the rim large."""
    side = pixels_NHWC.shape[1] - 2 * _rim(pixels_NHWC.shape[1])
    return pixels_NHWC[:, y : y + side, x : x + side]


def _small(window_NHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
    """Means over squares of `factor` pixels; rows and columns that fill no square are left out."""
    images, side, _, channels = window_NHWC.shape
    factor = -(-side // _MOST_PIXELS)
    squares = side // factor
    small_ND = np.empty((images, squares * squares * channels), np.float32)
    for first in range(0, images, _BLOCK):
        block = window_NHWC[first : first + _BLOCK, : squares * factor, : squares * factor]
        block = block.reshape(len(block), squares, factor, squares, factor, channels)
        means = block.mean((2, 4), dtype=np.float32)
        small_ND[first : first + _BLOCK] = means.reshape(len(block), -1)
    return small_ND

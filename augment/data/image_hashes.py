"""What tells an image from another: digests of its bytes and of its pixels, and a perceptual hash.

Owns the three hashes of one image and their packed form. Knows nothing of sources, labels or which
images are compared.

The perceptual hash is dHash (Krawetz, "Kind of Like That", The Hacker Factor Blog, 2013): gray, scaled to
9 × 8, and a bit for every cell that is brighter than the one to its left. Scaling, recompression and small
changes of brightness leave most bits as they are. An image with little contrast has a hash of rounding
errors, and all blank images have the same: such images are marked as `faint`, and not compared by it.
"""

import hashlib
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

__all__ = ["HASH_DTYPE", "difference_hash", "hashes_of", "is_faint"]

HASH_DTYPE = np.dtype([("file", "<u8", (2,)), ("pixels", "<u8", (2,)), ("perceptual", "<u8"), ("faint", "?")])
"""One image in 41 bytes: the first 128 bits of two SHA-256, 64 bits of dHash, and whether that says nothing.

128 bits: among ten million images, two different ones agree by chance once in 10^24 data sets.
"""

_COLUMNS, _ROWS = 9, 8  # cells compared: 8 differences in each of 8 rows
_VISIBLE_STEP = 3  # gray levels between neighbouring cells; less is noise
_FEWEST_STEPS = 16  # of 64: an image with fewer is mostly blank


def hashes_of(data: bytes, image: Image.Image, *, perceptual: bool = True) -> npt.NDArray[Any]:
    """The hashes of one image as an array of shape [] and dtype HASH_DTYPE.

    `data` is the encoded file; `image` the whole image as it will be used (upright, without alpha, mode L or
    RGB), not yet cropped. Gray pixels hash like the equal RGB ones, so that neither the format nor the
    mode of a copy hides it. Without `perceptual`, which takes longest, dHash and its mark stay zero.
    """
    packed = np.zeros((), HASH_DTYPE)
    packed["file"] = _digest(data)
    packed["pixels"] = _pixel_digest(image)
    if perceptual:
        cells_RC = _cells(image)
        packed["perceptual"] = _bits_of(cells_RC)
        packed["faint"] = _is_faint(cells_RC)
    return packed


def difference_hash(image: Image.Image) -> int:
    """dHash of an image, 0 … 2^64 - 1; the top left cell is the highest bit."""
    return _bits_of(_cells(image))


def is_faint(image: Image.Image) -> bool:
    """Whether fewer than 16 of the 64 neighbouring cells differ visibly, by 3 gray levels or more of 255."""
    return _is_faint(_cells(image))


def _cells(image: Image.Image) -> npt.NDArray[np.int16]:
    gray = image.convert("L").resize((_COLUMNS, _ROWS), Image.Resampling.LANCZOS)
    return np.asarray(gray, dtype=np.int16)


def _bits_of(cells_RC: npt.NDArray[np.int16]) -> int:
    brighter_RC = cells_RC[:, 1:] > cells_RC[:, :-1]
    return int.from_bytes(np.packbits(brighter_RC).tobytes(), "big")


def _is_faint(cells_RC: npt.NDArray[np.int16]) -> bool:
    return int((np.abs(np.diff(cells_RC, axis=1)) >= _VISIBLE_STEP).sum()) < _FEWEST_STEPS


def _pixel_digest(image: Image.Image) -> npt.NDArray[np.uint64]:
    width, height = image.size
    shape = width.to_bytes(4, "little") + height.to_bytes(4, "little")  # 2 × 8 pixels are not 4 × 4
    return _digest(shape, (image if image.mode == "RGB" else image.convert("RGB")).tobytes())


def _digest(*parts: bytes) -> npt.NDArray[np.uint64]:
    digest = hashlib.sha256()
    for part in parts:
        digest.update(part)
    return np.frombuffer(digest.digest()[:16], dtype="<u8")

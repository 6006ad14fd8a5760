"""A stored sample's bytes back to pixels, refusing anything but what the plan says lies there.

Owns nothing but this step. Only PNG and WebP are ever opened, and the size is checked before any pixel is
decoded.
"""

from __future__ import annotations

import io

import numpy as np
import numpy.typing as npt
from PIL import Image, UnidentifiedImageError

from augment.errors import IntegrityError
from augment.types import ImageShape

__all__ = ["decode_sample"]

_MODE_OF_CHANNELS = {1: "L", 3: "RGB"}


def decode_sample(data: bytes, shape: ImageShape, name: str) -> npt.NDArray[np.uint8]:
    """Pixels [H, W, C] of an encoded sample; C is 1 or 3 as the plan says.

    Raises IntegrityError, naming the sample, if it does not decode or has another size.
    """
    try:
        with Image.open(io.BytesIO(data), formats=["PNG", "WEBP"]) as image:
            if image.size != (shape.size, shape.size):
                width, height = image.size
                raise IntegrityError(
                    f"sample {name} is {width}×{height} pixels, not {shape.size}×{shape.size}"
                )
            # WebP has no grayscale; equal R, G and B come back to the same gray level exactly
            pixels = np.asarray(image.convert(_MODE_OF_CHANNELS[shape.channels]), dtype=np.uint8)
    except (UnidentifiedImageError, OSError, SyntaxError, ValueError, Image.DecompressionBombError) as error:
        raise IntegrityError(f"sample {name} is not a readable PNG or WebP image: {error}") from error
    return pixels.reshape(shape.size, shape.size, shape.channels)

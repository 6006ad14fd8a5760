"""One encoded image ↔ uniform uint8 pixels: decoding that survives hostile files, and lossless encoding.

Owns: which formats are read, the rule for every colour mode, cropping and resizing, PNG and WebP output.
Knows nothing of sources, labels or stores.

Axes: B = images, H = height, W = width, C = channels (1 or 3).

How a file becomes pixels, in this order (colour profiles are not applied):
    animation       the first frame
    1, L, RGB       as they are
    P, PA, LA       the palette is resolved; a transparent colour becomes alpha
    CMYK, YCbCr     converted to RGB by Pillow
    I;16 (any byte order) and I   0…65535 → 0…255 by v / 257, rounded; I outside that range is bad
    16-bit RGB      Pillow keeps the high byte (v // 256)
    F               0…1 → 0…255 by v · 255, rounded; outside that range (or NaN) is bad
    orientation     EXIF's, so that up is up; EXIF that cannot be read counts as none
    alpha           composited over the gray level `background`
    channels        gray is ITU-R 601-2 luma
    fit             the centre square, padded to a square, or stretched; antialiased (Lanczos), and
                    untouched if it has the right size already
"""

import io
import struct
import zlib
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass
from itertools import chain
from typing import Literal

import numpy as np
import numpy.typing as npt
from PIL import (
    BmpImagePlugin,
    ExifTags,
    GifImagePlugin,
    Image,
    ImageFile,
    JpegImagePlugin,
    PngImagePlugin,
    TiffImagePlugin,
    WebPImagePlugin,
    features,
)
from PIL import __version__ as pillow_version

from augment.data.config import ImageConfig, SourceConfig
from augment.data.plain_png import plain_png
from augment.errors import InputError

__all__ = [
    "IMAGE_SUFFIXES",
    "BadImageError",
    "ImageFormat",
    "ImageLimits",
    "decode_image",
    "decoder_version",
    "encode_image",
    "encode_images",
    "fit_image",
    "whole_image",
]

ImageFormat = Literal["png", "webp"]
IMAGE_SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".jfif", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
"""Lower-case file suffixes of the formats that can be decoded."""

# The plugin classes, not Image.open: opening reads the header alone, and our own pixel limit is checked
# before anything is decoded, without touching Pillow's process-wide one.
_PLUGINS: tuple[tuple[bytes, type[ImageFile.ImageFile]], ...] = (
    (b"\x89PNG\r\n\x1a\n", PngImagePlugin.PngImageFile),
    (b"\xff\xd8\xff", JpegImagePlugin.JpegImageFile),
    (b"RIFF", WebPImagePlugin.WebPImageFile),
    (b"BM", BmpImagePlugin.BmpImageFile),
    (b"II*\0", TiffImagePlugin.TiffImageFile),
    (b"MM\0*", TiffImagePlugin.TiffImageFile),
    (b"II+\0", TiffImagePlugin.TiffImageFile),
    (b"MM\0+", TiffImagePlugin.TiffImageFile),
    (b"GIF87a", GifImagePlugin.GifImageFile),
    (b"GIF89a", GifImagePlugin.GifImageFile),
)
# What Pillow's parsers raise on damaged data (its own contract is OSError; its fuzzers allow these).
_PILLOW_ERRORS = (
    OSError, SyntaxError, ValueError, TypeError, LookupError, EOFError, ArithmeticError, AttributeError,
    AssertionError, MemoryError, RuntimeError, struct.error, zlib.error,
)  # fmt: skip
_BOMB_ERRORS = (Image.DecompressionBombError, Image.DecompressionBombWarning)
_MAX_SIDE = 65_535  # JPEG's and GIF's own largest; Lanczos tables for longer sides take gigabytes
_MAX_JPEG_SCANS = 500  # each scan of a progressive JPEG walks the whole image, so thousands hang a worker
_JPEG_SCAN = b"\xff\xda"
_UPRIGHT = {
    2: Image.Transpose.FLIP_LEFT_RIGHT,
    3: Image.Transpose.ROTATE_180,
    4: Image.Transpose.FLIP_TOP_BOTTOM,
    5: Image.Transpose.TRANSPOSE,
    6: Image.Transpose.ROTATE_270,
    7: Image.Transpose.TRANSVERSE,
    8: Image.Transpose.ROTATE_90,
}
_RULES = 1  # counts the changes of the rules above
_ENCODE_SLICE = 64  # images a thread takes at once: small images cost less than a hand-over


class BadImageError(InputError):
    """An image that cannot be used; the message is the reason, to be read after the image's name."""


@dataclass(frozen=True)
class ImageLimits:
    """What an image may cost: encoded megabytes (10^6 bytes) and decoded megapixels (10^6 pixels)."""

    max_megabytes: float = 64.0
    max_megapixels: float = 50.0

    @classmethod
    def of(cls, source: SourceConfig) -> "ImageLimits":
        """The limits that a source's config sets."""
        return cls(max_megabytes=source.max_image_mb, max_megapixels=source.max_image_megapixels)

    @property
    def max_bytes(self) -> int:
        """The most bytes that an encoded image may have."""
        return int(self.max_megabytes * 1e6)

    def check_bytes(self, size: int) -> None:
        """BadImageError if an encoded image has no bytes or too many."""
        if size == 0:
            raise BadImageError("is empty (0 bytes)")
        if size > self.max_megabytes * 1e6:
            raise BadImageError(f"has {size / 1e6:.6g} MB, above source.max_image_mb={self.max_megabytes:g}")

    def check_pixels(self, width: int, height: int) -> None:
        """BadImageError if an image has no pixels or too many."""
        if min(width, height) < 1:
            raise BadImageError("has no pixels")
        megapixels = width * height / 1e6
        if megapixels > self.max_megapixels:
            raise BadImageError(
                f"has {megapixels:.6g} megapixels, above source.max_image_megapixels={self.max_megapixels:g}"
            )
        if max(width, height) > _MAX_SIDE:
            raise BadImageError(f"is {width}×{height} pixels, and no side may exceed {_MAX_SIDE}")


# ---- decoding -----------------------------------------------------------------------------------------


def decode_image(
    data: bytes, config: ImageConfig, limits: ImageLimits | None = None
) -> npt.NDArray[np.uint8]:
    """Pixels of one encoded image by the rules above: uint8 [size, size, channels].

    Sizes are checked before anything is decoded. Raises BadImageError, and nothing else, for whatever is
    wrong with `data`: empty, truncated, damaged, too large, or not an image.
    """
    limits = limits or ImageLimits()
    return fit_image(whole_image(data, config.background, limits), config, limits)


def decoder_version() -> str:
    """What a file's pixels depend on besides the file and the config: these rules, and the libraries that decode."""
    libraries = ", ".join(f"{name} {features.version(name)}" for name in ("jpg", "webp", "libtiff", "zlib"))
    return f"rules {_RULES}, pillow {pillow_version}, {libraries}"


def whole_image(data: bytes, background: int, limits: ImageLimits) -> Image.Image:
    """The image at its own size, upright, 8 bits a channel and without alpha: mode L or RGB.

    Raises as `decode_image`.
    """
    limits.check_bytes(len(data))
    if (plain := plain_png(data)) is not None:
        limits.check_pixels(*plain.size)
        return plain
    with _opened(data, limits) as encoded:
        limits.check_pixels(*encoded.size)
        with _named_damage(limits):
            encoded.load()
            flat = _without_alpha(_eight_bit(_turned_upright(encoded)), background)
            return flat if flat.mode in ("L", "RGB") else flat.convert("RGB")


def fit_image(
    image: Image.Image, config: ImageConfig, limits: ImageLimits | None = None
) -> npt.NDArray[np.uint8]:
    """Pixels of a whole image, as `decode_image` gives them: uint8 [size, size, channels]."""
    with _named_damage(limits or ImageLimits()):
        square = _fitted(_in_mode(image, "L" if config.channels == 1 else "RGB"), config)
    return np.array(square, dtype=np.uint8).reshape(config.size, config.size, config.channels)


@contextmanager
def _named_damage(limits: ImageLimits) -> Iterator[None]:
    """Whatever Pillow raises becomes a BadImageError."""
    try:
        yield
    except BadImageError:
        raise
    except _BOMB_ERRORS as error:
        raise _too_large(limits) from error
    except _PILLOW_ERRORS as error:
        raise BadImageError(_damage(error)) from error


def _opened(data: bytes, limits: ImageLimits) -> ImageFile.ImageFile:
    """The image with its header read and its pixels not."""
    plugin = next((plugin for magic, plugin in _PLUGINS if data.startswith(magic)), None)
    if plugin is None or (plugin is WebPImagePlugin.WebPImageFile and data[8:12] != b"WEBP"):
        raise BadImageError("is not a PNG, JPEG, WebP, BMP, TIFF or GIF image")
    if plugin is WebPImagePlugin.WebPImageFile and int.from_bytes(data[4:8], "little") + 8 > len(data):
        raise BadImageError("is truncated")
    if plugin is JpegImagePlugin.JpegImageFile and (scans := data.count(_JPEG_SCAN)) > _MAX_JPEG_SCANS:
        raise BadImageError(f"has {scans} JPEG scans, above {_MAX_JPEG_SCANS}: too slow to decode")
    try:
        return plugin(io.BytesIO(data))
    except _BOMB_ERRORS as error:
        raise _too_large(limits) from error
    except _PILLOW_ERRORS as error:
        raise BadImageError("is truncated or damaged in its header") from error


def _too_large(limits: ImageLimits) -> BadImageError:
    return BadImageError(
        f"has more pixels than source.max_image_megapixels={limits.max_megapixels:g}, or Pillow, allows"
    )


def _damage(error: BaseException) -> str:
    """The reason in a user's words; Pillow says 'truncated' in most of its messages for that."""
    text = str(error).lower()
    if "truncated" in text or "unexpected end" in text or isinstance(error, EOFError):
        return "is truncated"
    return f"is damaged ({text or type(error).__name__})"


def _turned_upright(image: Image.Image) -> Image.Image:
    """The image as EXIF's orientation wants it shown (TIFF is turned by Pillow on loading)."""
    try:
        orientation = image.getexif().get(ExifTags.Base.Orientation)
    except _PILLOW_ERRORS:
        return image  # damaged metadata takes nothing from the pixels
    method = _UPRIGHT.get(orientation) if isinstance(orientation, int) else None
    return image if method is None else image.transpose(method)


def _eight_bit(image: Image.Image) -> Image.Image:
    """The image as L, LA, RGB or RGBA with 8 bits a channel."""
    mode = image.mode
    if mode in ("L", "LA", "RGB", "RGBA") and "transparency" not in image.info:
        return image
    if mode in ("1", "L"):
        return image.convert("LA" if image.has_transparency_data else "L")
    if mode in ("P", "PA", "RGB", "La", "RGBa"):
        return image.convert("RGBA" if image.has_transparency_data else "RGB")
    if mode in ("CMYK", "YCbCr", "RGBX"):
        return image.convert("RGB")
    if mode == "I" or mode.startswith("I;16"):
        return _from_sixteen_bit(np.asarray(image).astype(np.int64), image.info.get("transparency"))
    if mode == "F":
        return _from_unit_range(np.asarray(image))
    raise BadImageError(f"has colour mode {mode}, which is not supported")


def _from_sixteen_bit(values_HW: npt.NDArray[np.int64], transparent: object) -> Image.Image:
    """Round(v / 257): 257 = 65535 / 255 is odd, so there are no ties and integers are exact."""
    if values_HW.min() < 0 or values_HW.max() > 65_535:
        raise BadImageError(f"has pixel values {values_HW.min()}…{values_HW.max()}, outside 0…65535")
    gray = Image.fromarray(((values_HW + 128) // 257).astype(np.uint8))
    if isinstance(transparent, int):
        gray.putalpha(Image.fromarray(np.where(values_HW == transparent, 0, 255).astype(np.uint8)))
    return gray


def _from_unit_range(values_HW: npt.NDArray[np.float32]) -> Image.Image:
    if not (values_HW.min() >= 0 and values_HW.max() <= 1):  # written so that NaN fails it
        raise BadImageError(f"has pixel values {values_HW.min():g}…{values_HW.max():g}, outside 0…1")
    return Image.fromarray(np.rint(values_HW * 255.0).astype(np.uint8))


def _without_alpha(image: Image.Image, background: int) -> Image.Image:
    if image.mode not in ("LA", "RGBA"):
        return image
    backdrop = Image.new("RGBA", image.size, (background, background, background, 255))
    return Image.alpha_composite(backdrop, image.convert("RGBA"))


def _fitted(image: Image.Image, config: ImageConfig) -> Image.Image:
    """The image at `size` × `size`; an image that has that size already is returned bit for bit."""
    side, (width, height) = config.size, image.size
    if width == height or config.fit == "stretch":
        return _resized(image, side, side)
    if config.fit == "crop":
        edge = min(width, height)
        left, top = (width - edge) // 2, (height - edge) // 2
        return _resized(image.crop((left, top, left + edge, top + edge)), side, side)
    longest = max(width, height)
    inner = _resized(image, max(1, round(width * side / longest)), max(1, round(height * side / longest)))
    level = config.background
    padded = Image.new(image.mode, (side, side), level if image.mode == "L" else (level, level, level))
    padded.paste(inner, ((side - inner.width) // 2, (side - inner.height) // 2))
    return padded


def _in_mode(image: Image.Image, mode: str) -> Image.Image:
    return image if image.mode == mode else image.convert(mode)


def _resized(image: Image.Image, width: int, height: int) -> Image.Image:
    if image.size == (width, height):
        return image
    return image.resize((width, height), Image.Resampling.LANCZOS)


# ---- encoding -----------------------------------------------------------------------------------------


def encode_image(pixels_HWC: npt.NDArray[np.uint8], image_format: ImageFormat) -> bytes:
    """Lossless PNG (zlib level 1) or lossless WebP (method 0); equal pixels give equal bytes.

    A grayscale PNG stays grayscale; WebP has no grayscale, so its file holds three equal channels.
    """
    height, width, channels = pixels_HWC.shape
    gray = channels == 1
    image = Image.fromarray(pixels_HWC.reshape(height, width) if gray else pixels_HWC)
    buffer = io.BytesIO()
    if image_format == "png":
        image.save(buffer, format="PNG", compress_level=1)
    else:
        image.convert("RGB").save(buffer, format="WEBP", lossless=True, method=0)
    return buffer.getvalue()


def encode_images(
    pixels_BHWC: npt.NDArray[np.uint8], image_format: ImageFormat, threads: int = 1
) -> list[bytes]:
    """`encode_image` of every image, in order. Pillow releases the GIL, so threads share the work."""

    def encode_slice(first: int) -> Sequence[bytes]:
        return [encode_image(pixels, image_format) for pixels in pixels_BHWC[first : first + _ENCODE_SLICE]]

    firsts = range(0, len(pixels_BHWC), _ENCODE_SLICE)
    if threads <= 1:
        return list(chain.from_iterable(map(encode_slice, firsts)))
    with ThreadPoolExecutor(max_workers=threads) as pool:
        return list(chain.from_iterable(pool.map(encode_slice, firsts)))

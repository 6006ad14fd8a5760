"""Config of what goes in: where the labelled images are, and how they become uniform pixels."""

from typing import Literal

from pydantic import Field, field_validator

from augment.types import ConfigModel, ImageShape

__all__ = ["IMAGE_SIZES", "ImageConfig", "SourceConfig"]

IMAGE_SIZES = tuple(
    sorted({base << ups for base in (4, 5, 6, 7, 8) for ups in range(1, 6) if 16 <= base << ups <= 256})
)
"""Sides that the networks can build: a base of 4–8 pixels, doubled one to five times."""


class SourceConfig(ConfigModel):
    """The labelled images to balance."""

    uri: str
    """A folder of class folders, a Parquet file, or a folder of Parquet files: a local path, `s3://bucket/prefix`, or `demo://fashion-mnist-lt`."""

    format: Literal["auto", "folder", "parquet"] = "auto"
    """How the images lie there; `auto` looks at the names."""

    image_column: str = "image"
    """Parquet: the column of encoded images, `struct<bytes, path>` or binary."""

    label_column: str = "label"
    """Parquet: the column of labels, integer (class names from the `huggingface` ClassLabel metadata, if any) or string."""

    on_bad: Literal["skip", "fail"] = "skip"
    """What to do with an image that cannot be read: leave it out, count it and name it, or stop (exit code 3)."""

    max_image_mb: float = Field(default=64.0, gt=0)
    """An encoded image above this many megabytes is bad."""

    max_image_megapixels: float = Field(default=50.0, gt=0)
    """An image above this many megapixels is bad (a decompression bomb)."""


class ImageConfig(ConfigModel):
    """How every image is made the same size and kind."""

    size: int = 64
    """Pixels a side: 16, 20, 24, 28, 32, 40, 48, 56, 64, 80, 96, 112, 128, 160, 192, 224 or 256."""

    channels: Literal[1, 3] = 3
    """1 (grayscale) or 3 (RGB); other kinds are converted."""

    fit: Literal["crop", "pad", "stretch"] = "crop"
    """Non-square images: `crop` the centre square, `pad` to a square with `background`, or `stretch`."""

    background: int = Field(default=0, ge=0, le=255)
    """Gray level 0–255 behind transparent pixels and beside padded images."""

    @field_validator("size")
    @classmethod
    def _size_is_buildable(cls, size: int) -> int:
        if size not in IMAGE_SIZES:
            nearest = min(IMAGE_SIZES, key=lambda side: abs(side - size))
            raise ValueError(f"{size} is not a size the networks can build; the nearest is {nearest}")
        return size

    @property
    def shape(self) -> ImageShape:
        """The shape of every decoded image."""
        return ImageShape(size=self.size, channels=self.channels)

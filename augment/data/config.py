"""Config of what goes in: where the labelled images are, and how they become uniform pixels."""

from typing import Literal

from pydantic import Field, field_validator

from augment.types import ConfigModel, ImageShape

__all__ = [
    "HELD_OUT_SPLITS",
    "IMAGE_SIZES",
    "SPLIT_WORDS",
    "DuplicatesConfig",
    "ImageConfig",
    "SourceConfig",
    "SplitConfig",
]

IMAGE_SIZES = tuple(
    sorted({base << ups for base in (4, 5, 6, 7, 8) for ups in range(1, 6) if 16 <= base << ups <= 256})
)
"""Sides that the networks can build: a base of 4–8 pixels, doubled one to five times."""


SPLIT_WORDS = {
    "train": "train", "training": "train",
    "validation": "validation", "valid": "validation", "val": "validation", "dev": "validation",
    "test": "test", "testing": "test",
}  # fmt: skip
"""What splits are called → the split. Compared in lower case."""

HELD_OUT_SPLITS = frozenset({"validation", "test"})
"""Never trained on and never balanced, whatever a config says."""


class SplitConfig(ConfigModel):
    """Which rows may be learned from."""

    by: Literal["auto", "none", "folder", "file", "column"] = "auto"
    """Where a row's split stands: class folders below split folders (`root/train/cat/1.png`), the file's or its
    folder's name (`train-00000-of-00002.parquet`), a column, or nowhere (`none`: all rows are trained on);
    `auto` finds out."""

    column: str = "split"
    """Parquet, CSV, JSONL and WebDataset's JSON: the column or field of splits."""

    use: tuple[str, ...] = Field(default=("train",), min_length=1)
    """The splits to learn from. Rows of `test` and `validation` never are; any other split that is met and not
    named here is an error, and so is one that is named here and not met."""

    @field_validator("use")
    @classmethod
    def _use_holds_nothing_out(cls, use: tuple[str, ...]) -> tuple[str, ...]:
        for name in use:
            if SPLIT_WORDS.get(name.lower()) in HELD_OUT_SPLITS:
                raise ValueError(
                    f"{name!r} is held out: it is never trained on; remove it (source.split.by=none takes "
                    "every row for training)"
                )
        return tuple(dict.fromkeys(SPLIT_WORDS.get(name.lower(), name) for name in use))


DuplicatePolicy = Literal["off", "keep", "drop", "refuse"]


class DuplicatesConfig(ConfigModel):
    """What becomes of images that are there twice: `off` doesn't look, `keep` reports them and warns, `drop`
    leaves out and names them, `refuse` stops (exit code 3)."""

    across_splits: DuplicatePolicy = "keep"
    """A training image whose pixels are in a held-out split too (leakage); `drop` leaves out the training copy."""

    across_labels: DuplicatePolicy = "keep"
    """One image in two classes; `drop` leaves out every copy, since nobody knows which label is right."""

    exact: DuplicatePolicy = "keep"
    """One image twice in a class; `drop` leaves out all but the first."""

    near: DuplicatePolicy = "off"
    """A training image whose perceptual hash is near that of a held-out or an earlier one; `drop` leaves it out.
    A hint and no proof: simple images of one kind may be near each other. Nearly blank images are not
    compared."""

    near_distance: int = Field(default=4, ge=0, le=8)
    """Bits of 64 in which near hashes may differ."""

    @property
    def looked_for(self) -> bool:
        """Whether images are compared at all."""
        return {self.across_splits, self.across_labels, self.exact, self.near} != {"off"}


class SourceConfig(ConfigModel):
    """The labelled images to balance."""

    uri: str | tuple[str, ...]
    """A folder or files: a local path, `s3://bucket/prefix`, or `demo://fashion-mnist-lt`; with `*`, `?`, `[…]`
    and `**` (any folders) it chooses files. Of several URIs, classes of one name are one class."""

    format: Literal["auto", "folder", "parquet", "webdataset", "csv", "jsonl"] = "auto"
    """How the images lie there: class folders, Parquet, tar shards, or a CSV or JSON-lines file with a `uri` or
    `path` and a label a line; `auto` looks at the names."""

    image_column: str = "image"
    """Parquet: the column of encoded images, `struct<bytes, path>` or binary. CSV and JSONL: the column of
    places, where it is neither `uri` nor `path`; as `image`, also `file_name`, and `filename`, `filepath`,
    `image_path`, `file` or `image_id` if the first line names an image that is there."""

    label_column: str = "label"
    """The column of labels, integer (class names from the `huggingface` ClassLabel metadata, if any) or text; in
    WebDataset, the field of `key.json` where there is no `key.cls`. A CSV or JSONL without a `label` may have
    one of `class`, `category`, `labels` and `target` instead."""

    labels: dict[str, str | None] = Field(default={})
    """Label map: class name or label → new name, or `null` to leave the class out. Classes given one name are
    merged into one, under the smallest of their labels; classes not named stay."""

    split: SplitConfig = SplitConfig()

    duplicates: DuplicatesConfig = DuplicatesConfig()

    on_bad: Literal["skip", "fail"] = "skip"
    """What to do with an image that cannot be read: leave it out, count it and name it, or stop (exit code 3)."""

    max_image_mb: float = Field(default=64.0, gt=0)
    """An encoded image above this many megabytes is bad."""

    max_image_megapixels: float = Field(default=50.0, gt=0)
    """An image above this many megapixels is bad (a decompression bomb)."""

    cache_gb: float = Field(default=2.0, ge=0)
    """Decoded pixels of up to this many gigabytes (10^9 bytes) are kept in the output's `_cache/`, so that the
    next run on the same images need not decode them; `0` keeps none and reads none. Of images that a CSV or JSONL
    names none are kept: nothing shows when one was overwritten. `augment gc` removes what is no longer used."""

    @field_validator("uri")
    @classmethod
    def _uri_is_given(cls, uri: str | tuple[str, ...]) -> str | tuple[str, ...]:
        if not uri or not all(uri):
            raise ValueError("empty: give a local path or s3://bucket/prefix, or a list of them")
        return uri

    @property
    def uris(self) -> tuple[str, ...]:
        """All URIs, also where there is one."""
        return (self.uri,) if isinstance(self.uri, str) else self.uri

    @property
    def where(self) -> str:
        """The URIs in a message."""
        first, *others = self.uris
        return f"{first} and {len(others)} more" if others else first


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

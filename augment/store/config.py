"""Config of what comes out: where the dataset lies and what its shards look like."""

from typing import Any, Literal

from pydantic import Field

from augment.types import ConfigModel

__all__ = ["OutputConfig"]


class OutputConfig(ConfigModel):
    """The committed dataset."""

    uri: str
    """The dataset's root: a local folder or `s3://bucket/prefix`."""

    image_format: Literal["png", "webp"] = "png"
    """Encoding of every image, both lossless; WebP is smaller and faster to write, PNG is read everywhere."""

    shard_rows: int = Field(default=10_000, ge=1)
    """Samples a Parquet shard."""

    on_existing: Literal["refuse", "append", "replace", "top-up"] = "refuse"
    """When the dataset already holds another run: stop, make a version with both, or a version with only the new one (older versions stay readable). `top-up` makes only what the newest version lacks of the targets, with the finished model of this `name`, even where the source has changed since."""

    augmentation: str | dict[str, Any] | None = None
    """An albumentations pipeline applied to each generated image and recorded in the run's plan: a YAML file that `albumentations.save` wrote (a relative path starts at the config's folder), or its content."""

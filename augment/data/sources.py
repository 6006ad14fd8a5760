"""From a source's config to the source: the formats there are, and how `auto` tells them apart.

Owns that choice alone. To add a format, write its class (see listing.Source) and one entry of
`SOURCE_FORMATS`.
"""

from collections.abc import Callable, Iterable
from pathlib import PurePosixPath

from augment.data.config import SourceConfig
from augment.data.demo import DEMO_SCHEME
from augment.data.folder import FolderSource, is_hidden
from augment.data.images import IMAGE_SUFFIXES
from augment.data.listing import Chunk, Listing, Source, SourceItem
from augment.data.parquet import PARQUET_SUFFIX, ParquetSource
from augment.errors import ConfigError, InputError
from augment.objects import StoredObject, open_store

__all__ = ["SOURCE_FORMATS", "Chunk", "Listing", "Source", "SourceItem", "open_source"]

SOURCE_FORMATS: dict[str, Callable[[SourceConfig, Iterable[StoredObject] | None], Source]] = {
    "folder": FolderSource,
    "parquet": ParquetSource,
}
"""Format name → source; the second argument is a listing that was made already, if any."""


def open_source(config: SourceConfig) -> Source:
    """The source that `config` names; `format: auto` is resolved from the names that lie there.

    Raises InputError if nothing lies at the URI, ConfigError if `auto` cannot tell.
    """
    if config.format != "auto":
        return SOURCE_FORMATS[config.format](config, None)
    if config.uri.startswith(DEMO_SCHEME) or config.uri.rstrip("/").lower().endswith(PARQUET_SUFFIX):
        return ParquetSource(config)
    objects = [item for item in open_store(config.uri).list() if not is_hidden(item.key)]
    return SOURCE_FORMATS[_format_of(config.uri, objects)](config, objects)


def _format_of(uri: str, objects: Iterable[StoredObject]) -> str:
    suffixes = {PurePosixPath(item.key).suffix.lower() for item in objects}
    has_parquet, has_images = PARQUET_SUFFIX in suffixes, bool(suffixes & IMAGE_SUFFIXES)
    if has_parquet and has_images:
        raise ConfigError(f"{uri} holds Parquet files and images; set source.format to folder or parquet")
    if not suffixes:
        raise InputError(f"nothing lies at {uri}; check source.uri")
    return "parquet" if has_parquet else "folder"

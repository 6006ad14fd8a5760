"""From a source's config to the source: the formats there are, and how `auto` tells them apart.

Owns that choice alone. To add a format, write its class (see scan.Format) and one entry of `SOURCE_FORMATS`.
"""

from collections.abc import Callable, Mapping
from functools import partial

from augment.data.config import SourceConfig
from augment.data.folder import FolderFormat
from augment.data.images import IMAGE_SUFFIXES
from augment.data.list_columns import how_to_name, seems_to_list
from augment.data.listing import Chunk, Listing, Source, SourceCounts, SourceItem
from augment.data.manifest import MANIFEST_SUFFIXES, ManifestFormat, columns_of
from augment.data.parquet import PARQUET_SUFFIX, ParquetFormat
from augment.data.places import Place, check_overlaps, places_of, suffix_of
from augment.data.scan import Format
from augment.data.selection import SelectedSource
from augment.data.webdataset import TAR_SUFFIX, WebDatasetFormat
from augment.errors import ConfigError, InputError
from augment.objects import StoredObject

__all__ = [
    "SOURCE_FORMATS",
    "Chunk",
    "Listing",
    "Source",
    "SourceCounts",
    "SourceItem",
    "open_held_out",
    "open_source",
]

SOURCE_FORMATS: dict[str, Callable[[Place, SourceConfig], Format]] = {
    "folder": FolderFormat,
    "parquet": ParquetFormat,
    "webdataset": WebDatasetFormat,
    "csv": partial(ManifestFormat, kind="csv"),
    "jsonl": partial(ManifestFormat, kind="jsonl"),
}
"""Format name → what reads it at one place."""

_OF_SUFFIX = {
    PARQUET_SUFFIX: "parquet",
    TAR_SUFFIX: "webdataset",
    **dict.fromkeys(IMAGE_SUFFIXES, "folder"),
}
_HUGGING_FACE_LIST = "metadata"  # .csv or .jsonl, beside the images that it lists
_SAID = {"parquet": "Parquet files", "webdataset": "tar files", "folder": "images"}


def open_source(config: SourceConfig) -> Source:
    """The rows to learn from, of all URIs that `config` names; `format: auto` is resolved by what lies there.

    Raises InputError if nothing lies at a URI or two of them choose one file, ConfigError if `auto` cannot tell.
    """
    places = places_of(config.uris)
    names = [_format_of(place, config) if config.format == "auto" else config.format for place in places]
    if len(set(names)) == 1:
        config = config.model_copy(update={"format": names[0]})
    for name in set(names):
        check_overlaps([place for place, each in zip(places, names, strict=True) if each == name])
    formats = (SOURCE_FORMATS[name](place, config) for name, place in zip(names, places, strict=True))
    return SelectedSource(config, tuple(formats))


def open_held_out(config: SourceConfig) -> Mapping[str, Source]:
    """Rows that are never trained on, by split: `open_source(config).held_out()`."""
    return open_source(config).held_out()


def _format_of(place: Place, config: SourceConfig) -> str:
    """The format at a place, by the suffixes of its files' names."""
    if kind := MANIFEST_SUFFIXES.get(suffix_of(place.only_key)):
        return kind
    suffixes, lists = set[str](), list[StoredObject]()
    for item in place.objects():
        suffixes.add(suffix := suffix_of(item.key))
        if suffix in MANIFEST_SUFFIXES and _may_list_images(item.key):
            lists.append(item)
    found = sorted({_OF_SUFFIX[suffix] for suffix in suffixes & _OF_SUFFIX.keys()})
    if len(found) > 1:
        raise ConfigError(
            f"{place.uri} holds {' and '.join(_SAID[name] for name in reversed(found))}; set source.format to "
            f"{' or '.join(found)}"
        )
    if found == ["folder"]:
        _refuse_lists(place, lists, config)
    if found:
        return found[0]
    if place.only_key:
        raise InputError(
            f"{place.uri} is a file, not a folder, and its name tells no format; set source.format to csv or jsonl "
            "if it is one"
        )
    if manifests := sorted({MANIFEST_SUFFIXES[suffix] for suffix in suffixes & MANIFEST_SUFFIXES.keys()}):
        if len(manifests) > 1:
            raise ConfigError(f"{place.uri} holds CSV and JSONL files; set source.format to csv or jsonl")
        return manifests[0]
    if not suffixes:
        raise InputError(f"nothing lies at {place.uri}; check source.uri")
    return "folder"  # which names what is no image


def _may_list_images(key: str) -> bool:
    """Whether a CSV or JSONL lies where a list of images would: at the top, or as Hugging Face has it in a split."""
    folder, _, name = key.rpartition("/")
    return not folder or ("/" not in folder and name.rpartition(".")[0] == _HUGGING_FACE_LIST)


def _refuse_lists(place: Place, lists: list[StoredObject], config: SourceConfig) -> None:
    """ConfigError where a CSV or JSONL beside images names these: the folders may be anything but classes."""
    for item in lists:
        columns = columns_of(place, item)
        if not seems_to_list(columns, config):
            continue
        mends = [f"set source.uri to {place.uri_of(item.key)}", *how_to_name(columns, config)]
        raise ConfigError(
            f"{place.uri} holds folders of images and {item.key}, which seems to list them (its columns are "
            f"{', '.join(columns)}); {' and '.join(mends)}, or set source.format to folder to take the folders for "
            "classes"
        )

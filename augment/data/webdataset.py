"""Images in WebDataset's tar shards: neighbouring members of one name are a row, `0001.jpg` and `0001.cls`.

Owns which members make a row, and how rows are read back: by one ranged read of neighbouring images. A scan
reads headers and labels; what is between them only where it is small.
"""

from array import array
from collections.abc import Iterator
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from augment.data.config import SourceConfig
from augment.data.images import IMAGE_SUFFIXES, BadImageError, ImageLimits
from augment.data.json_rows import json_label, json_object
from augment.data.listing import Chunk
from augment.data.packed import PackedText
from augment.data.places import EtagDigest, Place
from augment.data.published import placeless_name
from augment.data.scan import Label, ReadImage, RowLog, Scan, is_learned, scan_of_labels, text_label
from augment.data.splits import split_of_word, splits_of_files, unknown_split
from augment.data.tar_index import BrokenTarError, Member, members_of
from augment.errors import InputError
from augment.objects import StoredObject, open_store
from augment.types import BadImage

__all__ = ["TAR_SUFFIX", "WebDatasetFormat"]

TAR_SUFFIX = ".tar"
_LABEL_BYTES = 1_000_000  # the most that a label or a JSON file may have
_CHUNK_IMAGES = 512
_CHUNK_BYTES = 64_000_000  # from a chunk's first byte to its last: it is read at once


@dataclass(frozen=True)
class _Row:
    """One row of a shard: what its members tell. `fault` is why it can't be used."""

    name: str  # the members' common name
    offset: int = 0
    size: int = 0
    label: Label | None = None
    split: str | None = None
    fault: str = ""


@dataclass
class _Kept:
    """Every row's place, without an object each."""

    shards: list[str] = field(default_factory=list)
    shard_rows: list[int] = field(default_factory=list)
    names: PackedText = field(default_factory=PackedText)
    offsets: "array[int]" = field(default_factory=lambda: array("q"))
    sizes: "array[int]" = field(default_factory=lambda: array("q"))

    def add_shard(self, key: str, rows: list[_Row]) -> None:
        self.shards.append(key)
        self.shard_rows.append(len(rows))
        for row in rows:
            self.names.append(row.name)
            self.offsets.append(row.offset)
            self.sizes.append(row.size)


class WebDatasetFormat:
    """Rows of tar shards (see scan.Format), in the order of the shards' keys and of their members.

    A row's image is `name.png`, `.jpg`, … and its label `name.cls` (an integer or a name), or the field
    `source.label_column` of `name.json`. A split is told by the shard's name, or by the JSON's field.
    """

    shows_overwrites = True  # the files that hold the images are listed

    def __init__(self, place: Place, config: SourceConfig) -> None:
        self.place = place
        self.config = config
        self._kept: _Kept | None = None

    def __reduce__(self) -> tuple[type["WebDatasetFormat"], tuple[Place, SourceConfig]]:
        return WebDatasetFormat, (self.place, self.config)

    def scan(self, *, keep: bool) -> Scan:
        """See Format. A shard that is not whole is bad, and its rows are lost with it."""
        shards = [item for item in self.place.objects() if item.key.lower().endswith(TAR_SUFFIX)]
        if not shards:
            raise InputError(f"no {TAR_SUFFIX} file lies at {self.place.uri}; check source.uri")
        by = self.config.split.by
        named = by in ("auto", "file", "folder")
        keys, above = [item.key for item in shards], self.place.folders
        split_of = splits_of_files(keys, self.config.split, self.place.uri, above) if named else {}
        kept, log, bad, etag = _Kept(), RowLog(keep=keep), list[BadImage](), EtagDigest()
        for shard in shards:
            etag.add(shard)
            try:
                rows = list(self._rows_of(shard))
            except BrokenTarError as error:
                bad.append(BadImage(name=shard.key, reason=f"{error}: none of its rows can be read"))
                continue
            usable = self._logged(shard.key, rows, split_of.get(shard.key), log, bad)
            if keep:
                kept.add_shard(shard.key, usable)
        self._kept = kept if keep else None
        return scan_of_labels(log, self.config.split, self.place.uri, bad, etag)

    def chunks(self, keep_B: npt.NDArray[np.bool_]) -> Iterator[Chunk]:
        """See Format: up to 512 images of one shard, lying within 64 MB of each other."""
        kept = self._kept_rows()
        first, start = 0, 0
        for shard, rows in zip(kept.shards, kept.shard_rows, strict=True):
            chosen = np.flatnonzero(keep_B[start : start + rows]) + start
            for group in self._neighbours(kept, chosen.tolist()):
                yield Chunk(
                    first,
                    len(group),
                    tuple(kept.names[row] for row in group),
                    container=shard,
                    spans=tuple((kept.offsets[row], kept.sizes[row]) for row in group),
                )
                first += len(group)
            start += rows

    def read(self, chunk: Chunk) -> Iterator[ReadImage]:
        """See Format. ObjectNotFoundError for a shard that went away since it was listed."""
        start = min(offset for offset, _ in chunk.spans)
        stop = max(offset + size for offset, size in chunk.spans)
        data = open_store(self.place.root).get_range(chunk.container, start, stop)
        for name, (offset, size) in zip(chunk.keys, chunk.spans, strict=True):
            yield ReadImage(
                _row_name(chunk.container, name),
                data[offset - start : offset - start + size],
                published=_row_name(chunk.container, placeless_name(name)),
            )

    def names(self, keep_B: npt.NDArray[np.bool_]) -> list[str]:
        """See Format: `shard.tar#name`."""
        return [_row_name(shard, name) for shard, name in self._shards_and_names(keep_B)]

    def published_names(self, keep_B: npt.NDArray[np.bool_]) -> list[str]:
        """See Format: a member's name is its packer's own, and may be a path."""
        return [_row_name(shard, placeless_name(name)) for shard, name in self._shards_and_names(keep_B)]

    def _shards_and_names(self, keep_B: npt.NDArray[np.bool_]) -> Iterator[tuple[str, str]]:
        kept = self._kept_rows()
        shards = np.repeat(np.arange(len(kept.shards)), kept.shard_rows)
        for row in np.flatnonzero(keep_B).tolist():
            yield kept.shards[shards[row]], kept.names[row]

    def _kept_rows(self) -> _Kept:
        if self._kept is None:
            self.scan(keep=True)
        assert self._kept is not None  # noqa: S101  # the scan keeps them
        return self._kept

    def _neighbours(self, kept: _Kept, rows: list[int]) -> Iterator[list[int]]:
        group = list[int]()
        for row in rows:
            stop = kept.offsets[row] + kept.sizes[row]
            if group and (len(group) == _CHUNK_IMAGES or stop - kept.offsets[group[0]] > _CHUNK_BYTES):
                yield group
                group = []
            group.append(row)
        if group:
            yield group

    # ---- rows of a shard ------------------------------------------------------------------------------

    def _rows_of(self, shard: StoredObject) -> Iterator[_Row]:
        """The shard's rows; members are grouped while they are met, so that labels are read in their turn."""
        name, parts = "", dict[str, Member | bytes]()
        for member in members_of(open_store(self.place.root), shard.key, shard.size):
            base, suffix = _split_name(member.name)
            if suffix is None:
                continue
            if base != name and parts:
                yield self._row(name, parts)
                parts = {}
            name = base
            if suffix in parts:
                parts[suffix] = b""  # seen below as two of a kind
                parts["twice"] = suffix.encode()
            elif suffix in ("cls", "json"):
                parts[suffix] = member.content() if member.size <= _LABEL_BYTES else b""
            elif f".{suffix}" in IMAGE_SUFFIXES:
                parts[suffix] = member
        if parts:
            yield self._row(name, parts)

    def _row(self, name: str, parts: dict[str, Member | bytes]) -> _Row:
        images = [part for part in parts.values() if isinstance(part, Member)]
        if twice := parts.get("twice"):
            assert isinstance(twice, bytes)  # noqa: S101
            return _Row(name, fault=f"has two members .{twice.decode()}")
        if len(images) != 1:
            return _Row(name, fault="has two images" if images else "has a label and no image")
        try:
            label, split = self._label_of(parts)
            ImageLimits.of(self.config).check_bytes(images[0].size)
        except BadImageError as error:
            return _Row(name, fault=str(error))
        return _Row(name, images[0].offset, images[0].size, label, split)

    def _label_of(self, parts: dict[str, Member | bytes]) -> tuple[Label | None, str | None]:
        """A row's label and the split that its JSON tells; BadImageError for what can't be read."""
        fields: dict[str, object] = {}
        if isinstance(text := parts.get("json"), bytes):
            try:
                fields = json_object(text)
            except BadImageError as error:
                raise BadImageError(f"has a .json that {error}") from error
        column = self.config.split.column
        split = fields.get(column) if self.config.split.by in ("auto", "column") else None
        if column in fields and not isinstance(split, str | None):
            raise BadImageError(f"has a {column!r} in its .json that is no text")
        if isinstance(text := parts.get("cls"), bytes):
            try:
                return text_label(text.decode()), split if isinstance(split, str) else None
            except UnicodeDecodeError as error:
                raise BadImageError("has a .cls that is not UTF-8 text") from error
        label = fields.get(self.config.label_column)
        return json_label(label, self.config.label_column), split if isinstance(split, str) else None

    def _logged(
        self, shard: str, rows: list[_Row], named: str | None, log: RowLog, bad: list[BadImage]
    ) -> list[_Row]:
        """The rows that are kept, each one logged; what can't be used goes into `bad`."""
        config, usable = self.config.split, list[_Row]()
        by_column = config.by == "column" or (config.by == "auto" and any(row.split for row in rows))
        for row in rows:
            full_name = _row_name(shard, row.name)
            split = named or ""
            if by_column and not row.fault:
                found = split_of_word(row.split, config)
                if found is None:
                    raise unknown_split(row.split, full_name, config)
                split = found
            if row.fault or (row.label is None and is_learned(split, config)):
                bad.append(BadImage(name=full_name, reason=row.fault or "has no label"))
            if row.fault:
                continue
            log.add(split, row.label, f"{row.size} {full_name}")
            usable.append(row)
        return usable


def _split_name(name: str) -> tuple[str, str | None]:
    """`a/b.v1.JPG` → (`a/b`, `v1.jpg`), as WebDataset does; no suffix for what is no part of a row."""
    folder, _, file = name.rpartition("/")
    base, dot, suffix = file.partition(".")
    if not dot or not base or any(part.startswith("__") for part in (folder, base)):
        return name, None
    return (f"{folder}/{base}" if folder else base), suffix.lower()


def _row_name(shard: str, name: str) -> str:
    return f"{shard}#{name}"

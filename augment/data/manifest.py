"""Images listed in CSV or JSON-lines files: a place and a label a line, maybe a split.

Owns how such a file is read and which object a line means. A relative path lies below the manifest's folder;
a URI obeys the rules of every other URI. Whether an image is there is found when it is read: until then it
counts, and no store is asked about a million files one by one. So the fingerprint and the etag are of the
manifest alone: an image that is written anew in its place is not noticed until it is decoded again.
"""

import csv
import io
import re
from array import array
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from functools import partial
from itertools import islice

import numpy as np
import numpy.typing as npt

from augment.data.config import SourceConfig
from augment.data.images import BadImageError, ImageLimits
from augment.data.json_rows import json_label, json_object
from augment.data.list_columns import ListColumns, columns_for
from augment.data.listing import Chunk
from augment.data.named_twice import NamedFiles
from augment.data.packed import PackedText
from augment.data.places import EtagDigest, Place, suffix_of
from augment.data.published import name_below
from augment.data.ranged import ranged_file
from augment.data.read_ahead import read_ahead
from augment.data.scan import Label, ReadImage, RowLog, Scan, is_learned, scan_of_labels, text_label
from augment.data.splits import split_of_word, splits_of_files, unknown_split
from augment.errors import ConfigError, InputError
from augment.objects import ObjectNotFoundError, ObjectStore, StoredObject, open_store
from augment.redaction import redact
from augment.types import BadImage

__all__ = ["MANIFEST_SUFFIXES", "ManifestFormat", "columns_of"]

MANIFEST_SUFFIXES = {".csv": "csv", ".jsonl": "jsonl", ".ndjson": "jsonl"}
"""File suffix → format."""

_CHUNK_IMAGES = 256
_LINE_BYTES = 1_000_000
_SCHEME = re.compile(r"[A-Za-z][A-Za-z0-9+.-]*")
_BUCKET = re.compile(
    r"[A-Za-z0-9][A-Za-z0-9._-]{1,253}[A-Za-z0-9]"
)  # as far as any S3 goes; today's are narrower
_NAME_BYTES = 255  # of a file or folder on a disk
_KEY_BYTES = 1_024  # of an S3 key
_WINDOW_BYTES = 1_000_000  # of a manifest, read at once


@dataclass(frozen=True)
class _Line:
    """One line: the fields it has, or why it can't be read."""

    number: int  # from 1, the header of a CSV being the first
    fields: Mapping[str, object] = field(default_factory=dict)
    fault: str = ""


@dataclass
class _Kept:
    """Every row's place as the manifest writes it, and the manifest it stands in."""

    manifests: list[str] = field(default_factory=list)
    manifest_B: "array[int]" = field(default_factory=lambda: array("i"))
    places: PackedText = field(default_factory=PackedText)


class ManifestFormat:
    """Lines of CSV or JSONL files (see scan.Format), in the order of the files' keys."""

    shows_overwrites = False  # the images lie elsewhere, and are not listed

    def __init__(self, place: Place, config: SourceConfig, kind: str) -> None:
        """`kind`: `csv` or `jsonl`."""
        self.place = place
        self.config = config
        self.kind = kind
        self._kept: _Kept | None = None

    def __reduce__(self) -> tuple[type["ManifestFormat"], tuple[Place, SourceConfig, str]]:
        return ManifestFormat, (self.place, self.config, self.kind)

    def scan(self, *, keep: bool) -> Scan:
        """See Format. InputError naming file and line for a manifest that is no CSV or has no such columns."""
        manifests = [
            item for item in self.place.objects()
            if item.key == self.place.only_key or MANIFEST_SUFFIXES.get(suffix_of(item.key)) == self.kind
        ]  # fmt: skip
        if not manifests:
            raise InputError(f"no .{self.kind} file lies at {self.place.uri}; check source.uri")
        named = self.config.split.by in ("auto", "file", "folder")
        keys = [item.key for item in manifests]
        split_of = self._splits_by_name(keys) if named else {}
        several = len(self.config.uris) > 1 or len(manifests) > 1
        kept, log, bad, etag = _Kept(), RowLog(keep=keep), list[BadImage](), EtagDigest()
        named_files = list[NamedFiles]()
        for item in manifests:
            etag.add(item)
            kept.manifests.append(item.key)
            split, hashes = split_of.get(item.key), array("q")
            self._scan_one(item, split, log, bad, kept if keep else None, hashes if several else None)
            if several:
                hash_B = np.frombuffer(hashes, dtype=np.int64)
                named_files.append(
                    NamedFiles(self.place.uri_of(item.key), hash_B, partial(self._image_of, item, split))
                )
        self._kept = kept if keep else None
        scan = scan_of_labels(log, self.config.split, self.place.uri, bad, etag)
        return replace(scan, named=tuple(named_files))

    def chunks(self, keep_B: npt.NDArray[np.bool_]) -> Iterator[Chunk]:
        """See Format: up to 256 images of one manifest."""
        kept = self._kept_rows()
        manifest_B = np.frombuffer(kept.manifest_B, dtype=np.int32)
        first = 0
        for number, manifest in enumerate(kept.manifests):
            rows = np.flatnonzero(keep_B & (manifest_B == number)).tolist()
            for start in range(0, len(rows), _CHUNK_IMAGES):
                places = tuple(kept.places[row] for row in rows[start : start + _CHUNK_IMAGES])
                yield Chunk(first, len(places), places, container=manifest)
                first += len(places)

    def read(self, chunk: Chunk) -> Iterator[ReadImage]:
        """See Format. An image that is not there has a fault instead of bytes."""
        folder = chunk.container.rpartition("/")[0]
        stores: dict[str, ObjectStore] = {}
        targets = [_target(place, self.place.root, folder) for place in chunk.keys]
        for root, _ in targets:
            stores.setdefault(root, open_store(root))
        limits, home = ImageLimits.of(self.config), open_store(self.place.root).uri

        def read_one(item: tuple[str, tuple[str, str]]) -> ReadImage:
            place, (root, key) = item
            try:
                # Nobody has told its size: one byte more than is allowed shows that it is too large.
                data = stores[root].get_range(key, 0, limits.max_bytes + 1)
            except ObjectNotFoundError:
                return ReadImage(place, b"", "does not exist")
            if len(data) > limits.max_bytes:
                return ReadImage(place, b"", f"is larger than source.max_image_mb={limits.max_megabytes:g}")
            return ReadImage(place, data, published=self._published(root, key, home))

        yield from read_ahead(read_one, zip(chunk.keys, targets, strict=True), lambda image: len(image.data))

    def names(self, keep_B: npt.NDArray[np.bool_]) -> list[str]:
        """See Format: each place as the manifest writes it."""
        places = self._kept_rows().places
        return [places[row] for row in np.flatnonzero(keep_B).tolist()]

    def published_names(self, keep_B: npt.NDArray[np.bool_]) -> list[str]:
        """See Format: a path below the URI's folder, or a digest of the folder that it lies in elsewhere."""
        kept, home = self._kept_rows(), open_store(self.place.root).uri
        names = list[str]()
        for row in np.flatnonzero(keep_B).tolist():
            folder = kept.manifests[kept.manifest_B[row]].rpartition("/")[0]
            names.append(self._published(*_target(kept.places[row], self.place.root, folder), home))
        return names

    def _published(self, root: str, key: str, home: str) -> str:
        """What rows call the image of this store and key; `home` is the source's own store in full."""
        return key if root == self.place.root else name_below(f"{root.rstrip('/')}/{key}", home)

    def _kept_rows(self) -> _Kept:
        if self._kept is None:
            self.scan(keep=True)
        assert self._kept is not None  # noqa: S101  # the scan keeps them
        return self._kept

    # ---- lines ----------------------------------------------------------------------------------------

    def _scan_one(
        self,
        item: StoredObject,
        named: str | None,
        log: RowLog,
        bad: list[BadImage],
        kept: _Kept | None,
        hashes: "array[int] | None",
    ) -> None:
        """Log every line of one manifest; what can't be used goes into `bad`."""
        image_in = self._images_in(item)
        for split, place, label in self._rows_in(item, named, bad):
            log.add(split, label, place)
            if kept is not None:
                kept.places.append(place)
                kept.manifest_B.append(len(kept.manifests) - 1)
            if hashes is not None:
                hashes.append(hash((split, image_in(place))))

    def _images_in(self, item: StoredObject) -> Callable[[str], str]:
        """What turns a place, as this manifest writes it, into a full URI or an absolute path."""
        home, folder = open_store(self.place.root).uri, item.key.rpartition("/")[0]

        def image(place: str) -> str:
            root, key = _target(place, self.place.root, folder)
            return f"{(home if root == self.place.root else root).rstrip('/')}/{key}"

        return image

    def _image_of(self, item: StoredObject, named: str | None, row: int) -> tuple[str, str]:
        """A row's split and image, from the manifest once more; see NamedFiles."""
        split, place, _ = next(islice(self._rows_in(item, named, []), row, None))
        return split, self._images_in(item)(place)

    def _rows_in(
        self, item: StoredObject, named: str | None, bad: list[BadImage]
    ) -> Iterator[tuple[str, str, Label | None]]:
        """Split, place and label of every usable line; the others go into `bad`."""
        file = ranged_file(open_store(self.place.root), item.key, item.size, _WINDOW_BYTES)
        folder = item.key.rpartition("/")[0]
        columns: ListColumns | None = None  # known with the first line
        for line in _READERS[self.kind](file, self.place.uri_of(item.key)):
            name = f"{item.key}:{line.number}"
            if line.fault:
                bad.append(BadImage(name=name, reason=line.fault))
                continue
            columns = columns or self._columns(line.fields, name, folder)
            split = self._split(line.fields, name) or named or ""
            row = self._row(line.fields, columns, folder)
            if isinstance(row, str):
                bad.append(BadImage(name=name, reason=row))
                continue
            place, label = row
            if label is None and is_learned(split, self.config.split):
                bad.append(BadImage(name=name, reason="has no label"))
            yield split, place, label

    def _splits_by_name(self, keys: list[str]) -> dict[str, str]:
        return splits_of_files(keys, self.config.split, self.place.uri, self.place.folders)

    def _columns(self, fields: Mapping[str, object], name: str, folder: str) -> ListColumns:
        """The columns of places and labels; see columns_for."""

        def is_there(place: str) -> bool:
            try:
                root, key = _target(place, self.place.root, folder)
            except (ConfigError, InputError):
                return False  # no place that a line may name
            try:
                open_store(root).get_range(key, 0, 1)
            except ObjectNotFoundError:
                return False
            return True

        return columns_for(fields, self.config, self.place.uri_of(name), is_there)

    def _split(self, fields: Mapping[str, object], name: str) -> str:
        """The split that a line tells; '' where lines tell none. InputError for one that is not known."""
        column, by = self.config.split.column, self.config.split.by
        if by == "column" and column not in fields:
            raise InputError(
                f"{self.place.uri_of(name)} has no column {column!r}; its columns are {', '.join(fields)}; set "
                "source.split.column, or source.split.by=none"
            )
        if column not in fields or by not in ("auto", "column"):
            return ""
        value = fields[column]
        word = value if isinstance(value, str) and value else None
        split = split_of_word(word, self.config.split)
        if split is None:
            raise unknown_split(word, self.place.uri_of(name), self.config.split)
        return split

    def _row(
        self, fields: Mapping[str, object], columns: ListColumns, folder: str
    ) -> tuple[str, Label | None] | str:
        """A line's place and label; or, as a text, why it can't be used."""
        place, label = fields.get(columns.place), fields.get(columns.label)
        if not isinstance(place, str) or not place:
            return f"has no {columns.place}"
        try:
            _target(place, self.place.root, folder)
        except (ConfigError, InputError) as error:
            return f"names {redact(place)!r}: {error}"
        if self.kind == "csv":
            return place, text_label(str(label))
        try:
            return place, json_label(label, columns.label)
        except BadImageError as error:
            return str(error)


def columns_of(place: Place, item: StoredObject) -> tuple[str, ...]:
    """The columns of a CSV's or JSONL's first row; () for a file that is neither, or has no row."""
    file = ranged_file(open_store(place.root), item.key, item.size, _WINDOW_BYTES)
    read = _READERS[MANIFEST_SUFFIXES[suffix_of(item.key)]]
    try:
        return next((tuple(line.fields) for line in read(file, place.uri_of(item.key)) if line.fields), ())
    except InputError:  # what it says is for whoever meant the file to be a manifest
        return ()


def _target(place: str, root: str, folder: str) -> tuple[str, str]:
    """The store and the key of an image; raises ConfigError or InputError for a place that is not allowed.

    Of a manifest in a bucket, no line may name a file of this machine: whoever wrote it may be a stranger.
    """
    scheme, separator, rest = place.partition("://")
    if not _SCHEME.fullmatch(scheme):
        separator = ""  # `a/b://c` is a path, and none that is allowed
    remote = "://" in root
    if separator and scheme.lower() != "file":
        bucket, _, key = rest.partition("/")
        if scheme.lower() == "s3" and "@" not in bucket and not _BUCKET.fullmatch(bucket):
            raise InputError("no bucket can have this name")
        store = open_store(f"{scheme.lower()}://{bucket}")  # checks the scheme, and for credentials
        return store.uri, _checked(key, remote=True)
    if remote and (separator or place.startswith(("/", "~"))):
        raise InputError("a manifest in an object store names no local file")
    if separator or place.startswith("/"):
        path = open_store(place).uri
        return "/", _checked(path.lstrip("/"), remote=False)
    return root, _checked(f"{folder}/{place}" if folder else place, remote=remote)


def _checked(key: str, *, remote: bool) -> str:
    parts = key.split("/")
    if "\0" in key or any(part in ("", "..") for part in parts) or parts[-1] == ".":
        raise InputError("no plain path; it may hold no `..` and no empty name")
    try:
        longest, whole = max(len(part.encode()) for part in parts), len(key.encode())
    except UnicodeEncodeError as error:
        raise InputError("no text that a name could be") from error
    if longest > (whole if remote else _NAME_BYTES) or whole > _KEY_BYTES:
        raise InputError(f"no store has so long a name ({whole:,} bytes)")
    return "/".join(part for part in parts if part != ".")


# ---- files --------------------------------------------------------------------------------------------


def _csv_lines(file: io.BufferedReader, where: str) -> Iterator[_Line]:
    """Lines of a CSV with a header. InputError for what is no CSV, from where on lines can't be told apart."""
    text = io.TextIOWrapper(file, encoding="utf-8-sig", newline="")
    reader = csv.reader(text, strict=True)
    header: list[str] | None = None
    try:
        for row in reader:
            if not row:
                continue
            if header is None:
                header = _checked_header([name.strip() for name in row], where)
            elif len(row) != len(header):
                fault = f"has {len(row)} fields where the header has {len(header)}"
                yield _Line(reader.line_num, fault=fault)
            elif any("\0" in value for value in row):
                yield _Line(reader.line_num, fault="holds a NUL byte")
            else:
                yield _Line(reader.line_num, dict(zip(header, row, strict=True)))
    except csv.Error as error:
        raise InputError(
            f"{where}:{reader.line_num}: no CSV from here on ({error}); mend the line"
        ) from error
    except UnicodeDecodeError as error:
        raise InputError(f"{where} is not UTF-8 text ({error.reason}); save it as UTF-8") from error
    if header is None:
        raise InputError(f"{where} is empty; its first line names the columns")


def _checked_header(header: list[str], where: str) -> list[str]:
    if len(set(header)) < len(header):
        repeated = next(name for name in header if header.count(name) > 1)
        raise InputError(f"{where} has two columns {repeated!r}; rename one")
    return header


def _jsonl_lines(file: io.BufferedReader, where: str) -> Iterator[_Line]:
    """Objects, one a line; a line that is none is lost alone. InputError for a file without a line."""
    number = 0
    while line := file.readline(_LINE_BYTES):
        number += 1
        if number == 1:
            line = line.removeprefix(b"\xef\xbb\xbf")
        if not line.strip():
            continue
        if len(line) == _LINE_BYTES and not line.endswith(b"\n"):
            while (rest := file.readline(_LINE_BYTES)) and not rest.endswith(b"\n"):
                pass
            yield _Line(number, fault=f"is longer than {_LINE_BYTES:,} bytes")
            continue
        try:
            yield _Line(number, json_object(line))
        except BadImageError as error:
            yield _Line(number, fault=str(error))
    if not number:
        raise InputError(f"{where} is empty")


_READERS: dict[str, Callable[[io.BufferedReader, str], Iterator[_Line]]] = {
    "csv": _csv_lines,
    "jsonl": _jsonl_lines,
}

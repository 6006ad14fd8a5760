"""Images in class folders: `root/<class>/…/image.png`, on any object store, maybe below folders of splits.

Owns which files are images of which class, and when `root/test/cat/1.png` is a cat held out rather than an
image of a class `test`. Decodes nothing, and lists everything before it reads anything.
"""

import time
from array import array
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, field
from functools import lru_cache
from pathlib import Path
from typing import NoReturn

import numpy as np
import numpy.typing as npt

from augment.data.config import SourceConfig
from augment.data.hidden_folders import HiddenFolders
from augment.data.images import IMAGE_SUFFIXES, BadImageError, ImageLimits
from augment.data.listing import Chunk
from augment.data.packed import PackedText
from augment.data.places import EtagDigest, Place, is_hidden, suffix_of
from augment.data.scan import ReadImage, RowLog, Scan, classes_of_pairs
from augment.data.splits import (
    is_split_word,
    looks_like_split,
    seeming_splits,
    split_of_folders,
    split_of_word,
)
from augment.errors import ConfigError, InputError
from augment.objects import LocalStore, ObjectStore, StoredObject, open_store
from augment.types import BadImage

__all__ = ["FolderFormat"]

_CHUNK_FILES = 512
_CHUNK_BYTES = 64_000_000  # a chunk's encoded images lie in memory together
_READ_THREADS = 8  # reads wait on the store, not on a CPU
_TRIED_FILES = 8  # of a local folder, read before anything is said of the others
_WORTH_THREADS_S = (
    0.0003  # a file: a disk at hand answers sooner, and then threads would only hinder each other
)
_FOLDERS_KNOWN = 1_024
_NONE = ""  # in place of a second-level folder: the file lies in the first, or the second doesn't matter


@dataclass
class _Files:
    """The usable images in the order of their keys, without an object each; empty unless they are kept."""

    keys: PackedText = field(default_factory=PackedText)
    sizes: "array[int]" = field(default_factory=lambda: array("q"))

    def add(self, item: StoredObject) -> None:
        self.keys.append(item.key)
        self.sizes.append(item.size)


class FolderFormat:
    """A folder of class folders (see scan.Format); the names of the first level are the classes, sorted.

    Where the first level is exactly names of splits, with class folders in each, the second level is. Where it
    only seems so, or the second level looks like splits, nothing is guessed: that is an error.
    """

    shows_overwrites = True  # each image's file is listed

    def __init__(self, place: Place, config: SourceConfig) -> None:
        self.place = place
        self.config = config
        self._files: _Files | None = None
        self._hints_at_split = lru_cache(maxsize=_FOLDERS_KNOWN)(self._is_hint)  # asked for every file

    def __reduce__(self) -> tuple[type["FolderFormat"], tuple[Place, SourceConfig]]:
        return FolderFormat, (self.place, self.config)

    def scan(self, *, keep: bool) -> Scan:
        """See Format. InputError for a root without class folders or a class without a usable image."""
        if self.config.split.by in ("column", "file"):
            raise ConfigError(
                f"source.split.by={self.config.split.by}: class folders ({self.place.uri}) have no such thing; "
                "set it to folder, auto or none"
            )
        files, log, etag, limits = _Files(), RowLog(keep=keep), EtagDigest(), ImageLimits.of(self.config)
        folders, bad, hidden = self._local_folders(), list[BadImage](), HiddenFolders()
        for item in self.place.objects_and_hidden():
            if is_hidden(item.key):
                hidden.add(item.key)
                continue
            if not _is_utf8(item.key):
                bad.append(BadImage(name=ascii(item.key), reason="has a name that is not UTF-8; rename it"))
                continue
            folder = self._folder_of(item.key)
            if "/" in item.key:
                folders.add(folder)
            if item.key.endswith("/"):
                continue  # a marker object, which some S3 tools write for a folder
            if reason := _fault(item, limits):
                bad.append(BadImage(name=item.key, reason=reason))
                continue
            log.add(*folder, f"{item.size} {item.key}")
            etag.add(item)
            if keep:
                files.add(item)
        bad[:0] = hidden.left_out()  # first, as only the first are named: a whole class may be lost with one
        self._files = files if keep else None
        return self._scan_of(log, folders, bad, etag)

    def chunks(self, keep_B: npt.NDArray[np.bool_]) -> Iterator[Chunk]:
        """See Format: up to 512 files or 64 MB each."""
        files = self._kept_files()
        keys, total, first = list[str](), 0, 0
        for row in map(int, np.flatnonzero(keep_B)):
            size = files.sizes[row]
            if keys and (len(keys) == _CHUNK_FILES or total + size > _CHUNK_BYTES):
                yield Chunk(first, len(keys), tuple(keys))
                first, keys, total = first + len(keys), [], 0
            keys.append(files.keys[row])
            total += size
        if keys:
            yield Chunk(first, len(keys), tuple(keys))

    def read(self, chunk: Chunk) -> Iterator[ReadImage]:
        """See Format. ObjectNotFoundError for a file that went away since it was listed."""
        contents = _contents(open_store(self.place.root), chunk.keys)
        for key, data in zip(chunk.keys, contents, strict=True):
            yield ReadImage(key, data, published=key)

    def names(self, keep_B: npt.NDArray[np.bool_]) -> list[str]:
        """See Format: each image's path below the root."""
        keys = self._kept_files().keys
        return [keys[row] for row in map(int, np.flatnonzero(keep_B))]

    def published_names(self, keep_B: npt.NDArray[np.bool_]) -> list[str]:
        """See Format."""
        return self.names(keep_B)

    def _kept_files(self) -> _Files:
        if self._files is None:
            self.scan(keep=True)
        assert self._files is not None  # noqa: S101  # the scan keeps them
        return self._files

    # ---- what the folders mean ------------------------------------------------------------------------

    def _folder_of(self, key: str) -> tuple[str, str]:
        """The first-level folder, and the one below it where either may be a split."""
        first, _, below = key.partition("/")
        second = below.partition("/")[0] if "/" in below else _NONE
        return first, second if self._hints_at_split(first) or self._hints_at_split(second) else _NONE

    def _is_hint(self, name: str) -> bool:
        return self.config.split.by != "none" and looks_like_split(name, self.config.split) is not None

    def _may_be_split(self, name: str) -> bool:
        return self.config.split.by != "none" and is_split_word(name, self.config.split)

    def _local_folders(self) -> set[tuple[str, str]]:
        """The folders of a local root, which a listing of files shows only where they hold some."""
        store = open_store(self.place.root)
        if self.place.pattern or not isinstance(store, LocalStore):
            return set()
        found = set[tuple[str, str]]()
        for first in _folders_in(Path(store.uri)):
            below = _folders_in(Path(store.uri) / first) if self._may_be_split(first) else []
            found |= {(first, second) for second in below} or {(first, _NONE)}
        return found

    def _scan_of(
        self, log: RowLog, folders: set[tuple[str, str]], bad: list[BadImage], etag: EtagDigest
    ) -> Scan:
        """The classes, once it is known whether the first level is splits."""
        if not folders:
            self._refuse_nothing(bad)
        in_splits = self._has_splits(folders, [(first, str(second)) for first, second in log.pairs])
        name_of = {pair: str(pair[1]) if in_splits else pair[0] for pair in log.pairs}
        classes = {second if in_splits else first for first, second in folders} - {_NONE}
        if empty := sorted(classes - set(name_of.values())):
            self._refuse_empty(empty[0], in_splits, bad)
        split, above = self.config.split, self._split_above or ""
        labelled = [
            ((split_of_word(pair[0], split) or "") if in_splits else above, name_of[pair])
            for pair in log.pairs
        ]
        found = classes_of_pairs(labelled, split)._replace(ranked=True)
        return log.scan(found, [(told, found.class_of(name)) for told, name in labelled], bad, etag)

    @property
    def _split_above(self) -> str | None:
        """The split that the folders above the root tell."""
        return (
            None
            if self.config.split.by == "none"
            else split_of_folders(self.place.folders, self.config.split)
        )

    def _has_splits(self, folders: set[tuple[str, str]], used: list[tuple[str, str]]) -> bool:
        """Whether the first level is splits; InputError where that can't be told, or is asked for and not so."""
        by, uri = self.config.split.by, self.place.uri
        others = sorted(first for first, _ in folders if not self._may_be_split(first))
        if by == "none":
            return False
        self._refuse_seeming_splits(others, [pair for pair in used if pair[1] != _NONE])
        if others and (by == "auto" or self._split_above):
            return False
        if others:
            raise InputError(
                f"{uri}: folder {others[0]!r} is no split; name it in source.split.use, remove it, or set "
                "source.split.by=none"
            )
        direct = sorted(first for first, second in used if second == _NONE)
        if direct and (by == "folder" or len(direct) < len(used)):
            raise InputError(
                f"{uri}: folder {direct[0]!r} is named as a split, and holds images beside class folders; move "
                "them, or set source.split.by=none if it is a class"
            )
        return bool(used) and not direct

    def _refuse_seeming_splits(self, others: list[str], nested: list[tuple[str, str]]) -> None:
        """InputError where folders of held-out images would become classes, or parts of classes, to learn from.

        `nested`: (first, second) level of images in folders that may be splits, or have some within them.
        """
        split, uri, mend = (
            self.config.split,
            self.place.uri,
            "or set source.split.by=none to learn from all images",
        )
        first_level = {first for first, _ in nested if self._hints_at_split(first)}
        if others and (seeming := seeming_splits(first_level, split)):
            raise InputError(
                f"{uri}: {_listed(seeming)} with class folders below look like splits, and {others[0]!r} beside them "
                f"is no split that is known; call the folders train, validation and test, name it in "
                f"source.split.use, {mend}"
            )
        within = {second: f"{first}/{second}" for first, second in nested if first not in first_level}
        if seeming := seeming_splits(within, split):
            raise InputError(
                f"{uri}: {_listed([within[name] for name in seeming])} look like splits within a class; put the "
                f"splits above the classes (test/<class>/<image>.png), name the folder above them in source.uri, {mend}"
            )

    def _refuse_nothing(self, bad: list[BadImage]) -> NoReturn:
        uri = self.place.uri
        if not bad:
            raise InputError(f"nothing lies at {uri}; check source.uri")
        raise InputError(
            f"{uri} has no class folders with images; expected {uri.rstrip('/')}/<class>/<image>.png"
            f", but found {bad[0].name}, which {bad[0].reason}"
        )

    def _refuse_empty(self, name: str, in_splits: bool, bad: list[BadImage]) -> NoReturn:
        level = 1 if in_splits else 0
        inside = [item for item in bad if item.name.split("/")[level : level + 1] == [name]]
        why = f": {inside[0].name} {inside[0].reason}" if inside else ""
        folder = self.place.uri_of(f"*/{name}" if in_splits else name)
        raise InputError(f"class folder {folder} holds no usable image{why}; add images or remove the folder")


def _contents(store: ObjectStore, keys: Sequence[str]) -> Iterator[bytes]:
    """The files, in order; read ahead by threads where reading is waiting."""
    tried = keys[:_TRIED_FILES] if isinstance(store, LocalStore) else ()
    rest, waited_s = keys[len(tried) :], 0.0
    for key in tried:
        began_s = time.perf_counter()
        data = store.get(key)
        waited_s += time.perf_counter() - began_s
        yield data
    if tried and waited_s < _WORTH_THREADS_S * len(tried):
        yield from map(store.get, rest)
        return
    with ThreadPoolExecutor(max_workers=_READ_THREADS) as pool:
        yield from pool.map(store.get, rest)


def _folders_in(folder: Path) -> list[str]:
    if not folder.is_dir():
        return []
    names = [entry.name for entry in folder.iterdir() if entry.is_dir()]
    return [name for name in names if not is_hidden(name) and _is_utf8(name)]


def _listed(folders: list[str]) -> str:
    return f"folder{'s' if len(folders) > 1 else ''} {', '.join(map(repr, folders))}"


def _is_utf8(key: str) -> bool:
    """Python keeps a file name's undecodable bytes as lone surrogates, which no output can hold."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fault(item: StoredObject, limits: ImageLimits) -> str:
    """Why a file cannot be an item, as far as its name and size tell; '' if it can."""
    suffix = suffix_of(item.key)
    if suffix not in IMAGE_SUFFIXES:
        shown = item.key[-len(suffix) :] if suffix else ""
        return f"is no image by its suffix {shown!r}" if suffix else "is no image by its name (no suffix)"
    if "/" not in item.key:
        return "lies in no class folder"
    try:
        limits.check_bytes(item.size)
    except BadImageError as error:
        return str(error)
    return ""

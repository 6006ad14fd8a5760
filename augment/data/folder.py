"""Images in class folders: `root/<class>/…/image.png`, on any object store.

Owns which files are images of which class. Decodes nothing, and lists everything before it reads anything.
"""

from collections import Counter
from collections.abc import Iterable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path, PurePosixPath

import numpy as np

from augment.data.config import SourceConfig
from augment.data.images import IMAGE_SUFFIXES, BadImageError, ImageLimits
from augment.data.listing import Chunk, Listing, SourceItem, fingerprint_of
from augment.errors import InputError
from augment.objects import LocalStore, ObjectStore, StoredObject, open_store
from augment.types import BadImage, ClassInfo

__all__ = ["FolderSource", "is_hidden"]

_CHUNK_FILES = 512
_CHUNK_BYTES = 64_000_000  # a chunk's encoded images lie in memory together
_READ_THREADS = 8  # reads wait on the store, not on a CPU


@dataclass(frozen=True)
class _Usable:
    """The files that are items, in the order of their keys, and what the listing says of them."""

    files: tuple[StoredObject, ...]
    listing: Listing


class FolderSource:
    """A folder of class folders; the names of the first level are the classes, sorted."""

    def __init__(self, config: SourceConfig, objects: Iterable[StoredObject] | None = None) -> None:
        """`objects`: the root's files, where a caller has listed them already."""
        self.config = config.model_copy(update={"format": "folder"})
        self._objects = objects

    def __reduce__(self) -> tuple[type["FolderSource"], tuple[SourceConfig]]:
        return FolderSource, (self.config,)

    def listing(self) -> Listing:
        """See Source. InputError for a root without class folders or a class without a usable image."""
        return self._usable.listing

    def names(self) -> tuple[str, ...]:
        """Each item's path below the root."""
        return tuple(file.key for file in self._usable.files)

    def chunks(self) -> tuple[Chunk, ...]:
        """See Source: up to 512 files or 64 MB each."""
        chunks, keys, size, first = [], list[str](), 0, 0
        for file in self._usable.files:
            if keys and (len(keys) == _CHUNK_FILES or size + file.size > _CHUNK_BYTES):
                chunks.append(Chunk(first, len(keys), tuple(keys)))
                first, keys, size = first + len(keys), [], 0
            keys.append(file.key)
            size += file.size
        if keys:
            chunks.append(Chunk(first, len(keys), tuple(keys)))
        return tuple(chunks)

    def read(self, chunk: Chunk) -> Iterator[SourceItem]:
        """See Source. ObjectNotFoundError for a file that went away since it was listed."""
        store = self._store()
        with ThreadPoolExecutor(max_workers=_READ_THREADS) as pool:
            for offset, data in enumerate(pool.map(store.get, chunk.keys)):
                yield SourceItem(chunk.first_index + offset, chunk.keys[offset], data)

    def _store(self) -> ObjectStore:
        return open_store(self.config.uri)

    @cached_property
    def _usable(self) -> _Usable:
        store = self._store()
        objects = store.list() if self._objects is None else self._objects
        limits = ImageLimits.of(self.config)
        files, bad = list[StoredObject](), list[BadImage]()
        folders = Counter(_local_folders(store))  # usable images a class folder
        for item in objects:
            if is_hidden(item.key):
                continue
            if not _is_utf8(item.key):
                bad.append(BadImage(name=ascii(item.key), reason="has a name that is not UTF-8; rename it"))
                continue
            folder, divider, below = item.key.partition("/")
            if divider:
                folders.setdefault(folder, 0)
            if divider and not below:
                continue  # a marker object, which some S3 tools write for a folder
            if reason := _fault(item, limits):
                bad.append(BadImage(name=item.key, reason=reason))
                continue
            folders[folder] += 1
            files.append(item)
        self._objects = None
        return _Usable(tuple(files), self._listing(files, folders, bad))

    def _listing(self, files: list[StoredObject], folders: Counter[str], bad: list[BadImage]) -> Listing:
        uri = self.config.uri
        if not (folders or bad):
            raise InputError(f"nothing lies at {uri}; check source.uri")
        if not folders:
            raise InputError(
                f"{uri} has no class folders with images; expected {uri.rstrip('/')}/<class>/<image>.png"
                f", but found {bad[0].name}, which {bad[0].reason}"
            )
        if empty := sorted(name for name, images in folders.items() if not images):
            why = next(
                (f": {item.name} {item.reason}" for item in bad if item.name.startswith(empty[0] + "/")), ""
            )
            raise InputError(
                f"class folder {self._store().uri_of(empty[0])} holds no usable image{why}; "
                "add images or remove the folder"
            )
        index_of = {name: index for index, name in enumerate(sorted(folders))}
        classes = tuple(ClassInfo(label=index, name=name) for name, index in index_of.items())
        labels_B = np.array([index_of[file.key.partition("/")[0]] for file in files], dtype=np.int32)
        fingerprint = fingerprint_of(
            ((file.key, file.size) for file in files), classes, labels_B.astype("<i4").tobytes()
        )
        return Listing(classes, labels_B, tuple(bad), fingerprint)


def is_hidden(key: str) -> bool:
    """Whether any part of the path starts with a dot (.git, .DS_Store, …)."""
    return any(part.startswith(".") for part in key.split("/"))


def _local_folders(store: ObjectStore) -> dict[str, int]:
    """The first-level folders of a local root, which a listing of files shows only where they hold some."""
    if not isinstance(store, LocalStore) or not Path(store.uri).is_dir():
        return {}
    found = (entry for entry in Path(store.uri).iterdir() if entry.is_dir() and not is_hidden(entry.name))
    return {entry.name: 0 for entry in found}


def _is_utf8(key: str) -> bool:
    """Python keeps a file name's undecodable bytes as lone surrogates, which no output can hold."""
    try:
        key.encode()
    except UnicodeEncodeError:
        return False
    return True


def _fault(item: StoredObject, limits: ImageLimits) -> str:
    """Why a file cannot be an item, as far as its name and size tell; '' if it can."""
    suffix = PurePosixPath(item.key).suffix
    if suffix.lower() not in IMAGE_SUFFIXES:
        return f"is no image by its suffix {suffix!r}" if suffix else "is no image by its name (no suffix)"
    if "/" not in item.key:
        return "lies in no class folder"
    try:
        limits.check_bytes(item.size)
    except BadImageError as error:
        return str(error)
    return ""

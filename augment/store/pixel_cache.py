"""Decoded images kept between runs, so that a source which is as it was need not be decoded again.

    _cache/pixels/<key>/<part:05d>-<sha256>.u8   pixels of the images of a part, end to end
    _cache/pixels/<key>/rows-<sha256>.arrow      each image's class index and published name
    _cache/pixels/<key>/index.json               the parts, and what decoding found; put last, behind its own digest
    _cache/pixels/<key>/used                     empty, and put anew whenever the images are read

The key is a digest of all that decides the pixels, so that what lies below it is never out of date: other images
lie elsewhere. Nothing is believed before its digest was checked. A cache may go at any time; that costs a decoding.

Owns these keys. Knows neither sources nor how images are decoded: what decoding found besides is a text to it.

N = images, H, W, C = rows, columns, channels.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import accumulate
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.ipc
from pydantic import Field, ValidationError

from augment.errors import AugmentError, IntegrityError
from augment.objects import ObjectNotFoundError, ObjectStore, StoredObject
from augment.types import ImageShape, Record, sha256_hex

__all__ = [
    "PIXEL_CACHES",
    "CacheIndex",
    "CachedImages",
    "CachedPart",
    "PixelCache",
    "put_images",
    "read_images",
    "unused_objects",
]

PIXEL_CACHES = "_cache/pixels/"
"""Where all caches lie; nothing else does."""

_INDEX, _USED = "index.json", "used"
_PART_BYTES = 32_000_000  # an upload that fails costs no more than this
_THREADS = 4  # parts in memory at once; hashing and reading let go of the GIL


class CachedPart(Record):
    """Neighbouring images: how many, and the digest of their pixels."""

    images: int = Field(ge=1)
    sha256: str


class CacheIndex(Record):
    """What lies under one key."""

    image: ImageShape
    parts: tuple[CachedPart, ...]
    rows_sha256: str
    found: str  # what decoding found besides, as its writer put it

    @property
    def images(self) -> int:
        """Of all parts."""
        return sum(part.images for part in self.parts)


class CachedImages(NamedTuple):
    """Every image, in the source's order."""

    pixels_NHWC: npt.NDArray[np.uint8]
    class_index_N: npt.NDArray[np.int64]
    names_N: list[str]  # what published rows call each


class PixelCache:
    """One place for decoded images. It pickles: workers read and write it."""

    def __init__(self, store: ObjectStore, key: str) -> None:
        """`key`: 64 hex digits of all that decides the images."""
        self.store = store
        self.key = key
        self._root = f"{PIXEL_CACHES}{key}/"

    @property
    def uri(self) -> str:
        """Where it lies."""
        return self.store.uri_of(self._root.rstrip("/"))

    def index(self) -> CacheIndex | None:
        """What is kept here, None for nothing. IntegrityError where that can't be told."""
        try:
            data = self.store.get(self._root + _INDEX)
        except ObjectNotFoundError:
            return None
        digest, _, body = data.partition(b"\n")
        if digest != sha256_hex(body).encode():
            raise self._damaged(_INDEX, "is damaged: its bytes have another digest")
        try:
            return CacheIndex.model_validate_json(body)
        except ValidationError as error:
            raise self._damaged(_INDEX, f"is none that this release reads: {error}") from error

    def read(self, index: CacheIndex) -> CachedImages:
        """The images of `index`. IntegrityError naming a part that is missing or not what it was."""
        shape = index.image
        pixels_NHWC = np.empty((index.images, shape.size, shape.size, shape.channels), np.uint8)
        begins = [0, *accumulate(part.images for part in index.parts)]

        def fill(number: int) -> None:
            part, begin = index.parts[number], begins[number]
            name = _part_name(number, part.sha256)
            data = self._checked(name, part.sha256)
            own_BHWC = pixels_NHWC[begin : begin + part.images]
            if len(data) != own_BHWC.nbytes:
                raise self._damaged(name, f"has {len(data):,} bytes, not {own_BHWC.nbytes:,}")
            own_BHWC.reshape(-1)[:] = np.frombuffer(data, np.uint8)

        with ThreadPoolExecutor(_THREADS, thread_name_prefix="pixel-cache") as pool:
            list(pool.map(fill, range(len(index.parts))))
        rows = pa.ipc.open_file(self._checked(_rows_name(index.rows_sha256), index.rows_sha256)).read_all()
        if rows.num_rows != index.images:
            raise self._damaged(
                _rows_name(index.rows_sha256), f"has {rows.num_rows:,} rows, not {index.images:,}"
            )
        names_N = [str(name) for name in rows["name"].to_pylist()]
        return CachedImages(pixels_NHWC, rows["class_index"].to_numpy(), names_N)

    def mark_used(self) -> None:
        """Say that it was read: `unused_objects` goes by the time of that."""
        self.store.put(self._root + _USED, b"")

    def put_parts(self, images: CachedImages, found: str) -> CacheIndex:
        """Put all but the index, which makes it a cache. Where that fails nothing is left: a disk may be full."""
        try:
            return self._put(images, found)
        except AugmentError:
            self.discard()
            raise

    def commit(self, index: CacheIndex) -> None:
        """From now on the images of `index` are what is kept here."""
        body = index.to_json()
        self.store.put(self._root + _INDEX, sha256_hex(body).encode() + b"\n" + body)

    def discard(self) -> None:
        """Remove all of it, the index first."""
        keys = [found.key for found in self.store.list(self._root)]
        for key in sorted(keys, key=_index_first):
            self.store.delete(key)

    def _put(self, images: CachedImages, found: str) -> CacheIndex:
        pixels_NHWC = images.pixels_NHWC
        count, size, _, channels = pixels_NHWC.shape
        a_part = max(1, _PART_BYTES // (size * size * channels))

        def put(begin: int) -> CachedPart:
            own_BHWC = pixels_NHWC[begin : begin + a_part]
            data = own_BHWC.tobytes()
            sha256 = sha256_hex(data)
            self.store.put(self._root + _part_name(begin // a_part, sha256), data)
            return CachedPart(images=len(own_BHWC), sha256=sha256)

        with ThreadPoolExecutor(_THREADS, thread_name_prefix="pixel-cache") as pool:
            parts = tuple(pool.map(put, range(0, count, a_part)))
        rows = _rows_bytes(images.class_index_N, images.names_N)
        rows_sha256 = sha256_hex(rows)
        self.store.put(self._root + _rows_name(rows_sha256), rows)
        shape = ImageShape(size=size, channels=channels)
        return CacheIndex(image=shape, parts=parts, rows_sha256=rows_sha256, found=found)

    def named_keys(self) -> frozenset[str]:
        """The keys that belong to it now; none where it has no index that can be read."""
        try:
            index = self.index()
        except IntegrityError:
            index = None
        if index is None:
            return frozenset()
        parts = (_part_name(number, part.sha256) for number, part in enumerate(index.parts))
        return frozenset(self._root + name for name in (*parts, _rows_name(index.rows_sha256), _INDEX, _USED))

    def _checked(self, name: str, sha256: str) -> bytes:
        try:
            data = self.store.get(self._root + name)
        except ObjectNotFoundError as error:
            raise self._damaged(name, "is missing") from error
        if sha256_hex(data) != sha256:
            raise self._damaged(name, "is damaged: its bytes have another digest")
        return data

    def _damaged(self, name: str, what: str) -> IntegrityError:
        return IntegrityError(f"{self.store.uri_of(self._root + name)} {what}")


def read_images(cache: PixelCache, index: CacheIndex) -> CachedImages:
    """`PixelCache.read` as a worker does it, which loads no more than this module for it."""
    return cache.read(index)


def put_images(
    cache: PixelCache,
    pixels_NHWC: npt.NDArray[np.uint8],
    class_index_N: npt.NDArray[np.int64],
    names_N: list[str],
    found: str,
) -> CacheIndex:
    """`PixelCache.put_parts` likewise."""
    return cache.put_parts(CachedImages(pixels_NHWC, class_index_N, names_N), found)


def unused_objects(store: ObjectStore, until_s: float) -> list[StoredObject]:
    """What may go: caches that nobody wrote or read after `until_s`, and older leftovers in the others.

    `until_s` is seconds since 1970 by the store's clock. An index comes before its parts.
    """
    objects_of: dict[str, list[StoredObject]] = defaultdict(list)
    for found in store.list(PIXEL_CACHES):
        objects_of[found.key.removeprefix(PIXEL_CACHES).partition("/")[0]].append(found)
    unused: list[StoredObject] = []
    for key, objects in objects_of.items():
        old = [found for found in objects if found.modified_s <= until_s]
        in_use = len(old) < len(objects)
        named = PixelCache(store, key).named_keys() if in_use and old else frozenset()
        unused += sorted(
            (found for found in old if found.key not in named), key=lambda found: _index_first(found.key)
        )
    return unused


def _index_first(key: str) -> tuple[bool, str]:
    return not key.endswith(f"/{_INDEX}"), key


def _part_name(number: int, sha256: str) -> str:
    return f"{number:05d}-{sha256}.u8"


def _rows_name(sha256: str) -> str:
    return f"rows-{sha256}.arrow"


def _rows_bytes(class_index_N: npt.NDArray[np.int64], names_N: Sequence[str]) -> bytes:
    rows = pa.table({"class_index": pa.array(class_index_N), "name": pa.array(names_N, pa.large_string())})
    sink = pa.BufferOutputStream()
    with pa.ipc.new_file(sink, rows.schema, options=pa.ipc.IpcWriteOptions(compression="zstd")) as file:
        file.write_table(rows)
    return sink.getvalue().to_pybytes()

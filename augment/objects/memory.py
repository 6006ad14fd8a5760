"""Objects in this process's memory. For tests: every store test runs on it too.

Owns the objects by name, and their keys in order. It lists as S3 does, a page at a time: a listing takes no
copy of the store, and shows what is put behind the page it has come to.
"""

from __future__ import annotations

import threading
import time
from bisect import bisect_left, bisect_right
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field

from augment.errors import ConfigError
from augment.objects.contract import ObjectNotFoundError, StoredObject, checked_key

__all__ = ["MemoryStore"]

_PAGE_KEYS = 1000  # as many as S3 lists at once


@dataclass
class _Shelf:
    """The objects of one name, and what a listing needs: every key in order, and some deleted ones."""

    objects: dict[str, tuple[bytes, float]] = field(default_factory=dict)  # content, and when it was put
    in_order: list[str] | None = None  # None where a key is new since: the next page sorts anew

    def write(self, key: str, data: bytes) -> None:
        if key not in self.objects:
            self.in_order = None
        self.objects[key] = (bytes(data), time.time())

    def page(self, prefix: str, after: str) -> list[tuple[str, int, float]]:
        """Key, size and time of the first objects with `prefix` whose keys sort behind `after`."""
        if self.in_order is None:
            self.in_order = sorted(self.objects)
        keys = self.in_order
        found: list[tuple[str, int, float]] = []
        for position in range(max(bisect_left(keys, prefix), bisect_right(keys, after)), len(keys)):
            key = keys[position]
            if len(found) == _PAGE_KEYS or not key.startswith(prefix):
                break
            if key in self.objects:
                data, modified_s = self.objects[key]
                found.append((key, len(data), modified_s))
        return found


_MEMORY: dict[str, _Shelf] = {}
_MEMORY_LOCK = threading.Lock()


class MemoryStore:
    """Objects of this process, shared by name: `memory://name/prefix`. For tests."""

    def __init__(self, location: str) -> None:
        name, _, prefix = location.removeprefix("memory://").partition("/")
        if not name:
            raise ConfigError("a memory:// URI needs a name: memory://name")
        prefix = prefix.strip("/")
        self.uri = f"memory://{name}/{prefix}".rstrip("/")
        self._base = f"{prefix}/" if prefix else ""
        self._shelf = _MEMORY.setdefault(name, _Shelf())

    def __reduce__(self) -> tuple[type[MemoryStore], tuple[str]]:
        return MemoryStore, (self.uri,)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See ObjectStore."""
        full_key = self._base + checked_key(key)
        with _MEMORY_LOCK:
            created = full_key not in self._shelf.objects
            if created:
                self._shelf.write(full_key, data)
            return created

    def put(self, key: str, data: bytes) -> None:
        """See ObjectStore."""
        with _MEMORY_LOCK:
            self._shelf.write(self._base + checked_key(key), data)

    def get(self, key: str) -> bytes:
        """See ObjectStore."""
        try:
            return self._shelf.objects[self._base + key][0]
        except KeyError:
            raise ObjectNotFoundError(f"{self.uri_of(key)} does not exist") from None

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """See ObjectStore."""
        return self.get(key)[start:stop]

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """See ObjectStore."""
        after = ""
        while True:
            with _MEMORY_LOCK:
                page = self._shelf.page(self._base + prefix, after)
            for key, size, modified_s in page:
                yield StoredObject(key[len(self._base) :], size, modified_s)
            if len(page) < _PAGE_KEYS:
                return
            after = page[-1][0]

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        with _MEMORY_LOCK:
            self._shelf.objects.pop(self._base + key, None)

    def delete_all(self, keys: Iterable[str]) -> None:
        """See ObjectStore."""
        for key in keys:
            self.delete(key)

    def uri_of(self, key: str) -> str:
        """See ObjectStore."""
        return f"{self.uri}/{key}"

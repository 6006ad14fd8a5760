"""The store that all actors share, quick enough for thousands of schedules a second.

It remembers the first bytes of every key for ever, so that a key whose bytes change, even after a deletion, is
seen. Times are whatever `clock` says: nothing may rest on them.
"""

from __future__ import annotations

from collections.abc import Callable

from augment.objects import ObjectNotFoundError, StoredObject

__all__ = ["World"]


class World:
    """Objects by key. No method is interrupted: actors take turns between operations, never within one."""

    def __init__(self, clock: Callable[[], float], page_keys: int = 2) -> None:
        self.objects: dict[str, tuple[bytes, float]] = {}
        self.first_bytes: dict[str, bytes] = {}
        self.changed: list[str] = []  # keys whose bytes were replaced by others
        self.deleted: set[str] = set()
        self._clock = clock
        self._page_keys = page_keys

    def put_if_absent(self, key: str, data: bytes) -> bool:
        if key in self.objects:
            return False
        self.put(key, data)
        return True

    def put(self, key: str, data: bytes) -> None:
        if self.first_bytes.setdefault(key, data) != data:
            self.changed.append(key)
        self.objects[key] = (data, self._clock())

    def get(self, key: str) -> bytes:
        try:
            return self.objects[key][0]
        except KeyError:
            raise ObjectNotFoundError(f"{key} does not exist") from None

    def page(self, prefix: str, after: str) -> tuple[list[StoredObject], bool]:
        """The next objects of a listing, and whether there may be more."""
        keys = [key for key in self.objects if key.startswith(prefix) and key > after]
        keys.sort()
        found = [
            StoredObject(key, len(self.objects[key][0]), self.objects[key][1])
            for key in keys[: self._page_keys]
        ]
        return found, len(keys) > self._page_keys

    def delete(self, key: str) -> None:
        if self.objects.pop(key, None) is not None:
            self.deleted.add(key)

"""Objects in this process's memory. For tests: every store test runs on it too."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

from augment.errors import ConfigError
from augment.objects.contract import ObjectNotFoundError, StoredObject, checked_key

__all__ = ["MemoryStore"]

_MEMORY: dict[str, dict[str, tuple[bytes, float]]] = {}  # name → key → content and when it was put
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
        self._objects = _MEMORY.setdefault(name, {})

    def __reduce__(self) -> tuple[type[MemoryStore], tuple[str]]:
        return MemoryStore, (self.uri,)

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """See ObjectStore."""
        with _MEMORY_LOCK:
            created = self._base + checked_key(key) not in self._objects
            if created:
                self._objects[self._base + key] = (bytes(data), time.time())
            return created

    def put(self, key: str, data: bytes) -> None:
        """See ObjectStore."""
        with _MEMORY_LOCK:
            self._objects[self._base + checked_key(key)] = (bytes(data), time.time())

    def get(self, key: str) -> bytes:
        """See ObjectStore."""
        try:
            return self._objects[self._base + key][0]
        except KeyError:
            raise ObjectNotFoundError(f"{self.uri_of(key)} does not exist") from None

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """See ObjectStore."""
        with _MEMORY_LOCK:
            found = {
                key: StoredObject(key[len(self._base) :], len(data), modified_s)
                for key, (data, modified_s) in self._objects.items()
                if key.startswith(self._base + prefix)
            }
        for key in sorted(found):
            yield found[key]

    def delete(self, key: str) -> None:
        """See ObjectStore."""
        with _MEMORY_LOCK:
            self._objects.pop(self._base + key, None)

    def uri_of(self, key: str) -> str:
        """See ObjectStore."""
        return f"{self.uri}/{key}"

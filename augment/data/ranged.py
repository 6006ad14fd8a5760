"""An object of a store as a file that is read from anywhere, a window at a time.

Owns that, so that what Python's own readers take (tar, CSV) is streamed from any store. Knows no format.
"""

import io
from typing import Any

from augment.objects import ObjectStore

__all__ = ["ranged_file"]


def ranged_file(store: ObjectStore, key: str, size: int, window_bytes: int) -> io.BufferedReader:
    """The object of `size` bytes at `key`; what lies within a window comes by one ranged request.

    Reads raise what the store does: ObjectNotFoundError, RetryLaterError, ConfigError.
    """
    return io.BufferedReader(_RangedFile(store, key, size), window_bytes)


class _RangedFile(io.RawIOBase):
    """An object of a store as a file for reading: each read is one ranged request."""

    def __init__(self, store: ObjectStore, key: str, size: int) -> None:
        super().__init__()
        self._store, self._key, self._size = store, key, size
        self._position = 0

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def tell(self) -> int:
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET) -> int:
        start = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._size}[whence]
        self._position = start + offset
        return self._position

    def readinto(self, buffer: Any) -> int:
        stop = min(self._size, self._position + len(buffer))
        if stop <= self._position:
            return 0
        data = self._store.get_range(self._key, self._position, stop)
        buffer[: len(data)] = data
        self._position += len(data)
        return len(data)

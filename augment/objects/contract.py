"""What every object store promises, and the rule for keys. Knows no store."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field
from typing import Protocol

from augment.errors import ConfigError, InputError

__all__ = ["TEMPORARY_DIR", "ObjectNotFoundError", "ObjectStore", "StoredObject", "checked_key"]

TEMPORARY_DIR = ".augment-tmp"
"""A local store's unfinished writes lie here; never listed, so a killed writer leaves no visible trace."""


@dataclass(frozen=True)
class StoredObject:
    """An object as a listing shows it; two are equal by key and size.

    `modified_s` is seconds since 1970 by the store's clock, which need not agree with ours. `etag` names the
    content where the store keeps such a name ('' where it does not); two stores name the same bytes
    differently.
    """

    key: str  # below the store's root
    size: int  # bytes
    modified_s: float = field(default=0.0, compare=False)
    etag: str = field(default="", compare=False)


class ObjectNotFoundError(InputError):
    """No object has this key."""


class ObjectStore(Protocol):
    """Whole objects under string keys; `/` divides a key as it divides a path.

    Every method raises ConfigError (no access, no bucket, a key that leaves the root) or RetryLaterError
    (the service did not answer after several tries) where it applies.
    """

    @property
    def uri(self) -> str:
        """The root, without a trailing slash; `open_store(uri)` opens the same store."""

    def put_if_absent(self, key: str, data: bytes) -> bool:
        """Create `key`, durably and all at once: True if it was created, False if it existed.

        What exists is never overwritten. After a lost acknowledgement the answer may be False on our own
        write, so a caller reads what is there and adopts it.
        """

    def put(self, key: str, data: bytes) -> None:
        """Write `key`, replacing what it held; only for what may change (README.md, pictures, logs)."""

    def get(self, key: str) -> bytes:
        """The object's bytes; ObjectNotFoundError where there is none."""

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        """Bytes `start … stop - 1` of the object, 0 ≤ start ≤ stop; fewer where it ends before `stop`.

        ObjectNotFoundError where there is none.
        """

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        """Every object whose key starts with `prefix`, sorted by key, a page at a time."""

    def delete(self, key: str) -> None:
        """Remove `key`; one that is missing is fine."""

    def delete_all(self, keys: Iterable[str]) -> None:
        """Remove `keys`, in any order and many at once where the store can; those that are missing are fine.

        An error names a key that is still there; others after it may be, too.
        """

    def uri_of(self, key: str) -> str:
        """The object's full URI, or its absolute path in a local store."""


def checked_key(key: str) -> str:
    """The key itself; ConfigError if it is not a plain relative path below the root."""
    if "\0" in key or any(part in ("", ".", "..", TEMPORARY_DIR) for part in key.split("/")):
        raise ConfigError(f"object key {key!r} is not a plain path below the store's root")
    return key

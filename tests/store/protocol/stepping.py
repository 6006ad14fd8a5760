"""One actor's view of the store: before every operation somebody decides what shall become of it."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from enum import Enum, auto
from typing import Any, TypeVar

from augment.errors import RetryLaterError
from augment.objects import StoredObject
from tests.store.protocol.world import World

__all__ = ["OPENED", "Died", "Fate", "SteppedStore"]

T = TypeVar("T")

OPENED: dict[str, SteppedStore] = {}
"""The store last made at each URI: what `open_dataset` is given while a simulation runs."""


class Died(BaseException):
    """The actor's process was killed; no code of it may run on, so nothing may catch this."""


class Fate(Enum):
    """What becomes of one operation."""

    DONE = auto()
    DIE_BEFORE = auto()  # killed before it reached the store
    DIE_AFTER = auto()  # done, and killed before the answer came
    FAIL_BEFORE = auto()  # the store did not answer; nothing was done
    FAIL_AFTER = auto()  # done, but no retry ever got an answer
    LOSE_ANSWER = auto()  # done, the answer was lost, and the client's own retry did it again
    FAIL_LATE = auto()  # no answer; the request lingers in the network and is done at some later time
    DIE_LATE = auto()  # killed; the request lingers likewise


class SteppedStore:
    """An `ObjectStore` that calls `decide(kind of operation)` before each; `linger` takes late requests."""

    def __init__(
        self,
        world: World,
        uri: str,
        decide: Callable[[str], Fate],
        linger: Callable[[Callable[[], Any]], None] | None = None,
    ) -> None:
        self.uri = uri
        self._world = world
        self._decide = decide
        self._linger = linger or (lambda effect: None)
        OPENED[uri] = self

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return self._step("put_if_absent", lambda: self._world.put_if_absent(key, data))

    def put(self, key: str, data: bytes) -> None:
        self._step("put", lambda: self._world.put(key, data))

    def get(self, key: str) -> bytes:
        return self._step("get", lambda: self._world.get(key))

    def get_range(self, key: str, start: int, stop: int) -> bytes:
        return self.get(key)[start:stop]

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        after, more = "", True
        while more:
            page, more = self._step("list", lambda after=after: self._world.page(prefix, after))
            yield from page
            after = page[-1].key if page else ""

    def delete(self, key: str) -> None:
        self._step("delete", lambda: self._world.delete(key))

    def delete_all(self, keys: Iterable[str]) -> None:
        for key in keys:  # a request for many may be cut off, or seen by others, after any of them
            self.delete(key)

    def uri_of(self, key: str) -> str:
        return f"{self.uri}/{key}"

    def _step(self, kind: str, effect: Callable[[], T]) -> T:
        fate = self._decide(kind)
        if fate is Fate.DONE:
            return effect()
        if fate is Fate.LOSE_ANSWER:
            effect()
            return effect()
        if fate in (Fate.FAIL_AFTER, Fate.DIE_AFTER):
            effect()
        elif fate in (Fate.FAIL_LATE, Fate.DIE_LATE) and kind in ("put", "put_if_absent", "delete"):
            self._linger(effect)
        if fate in (Fate.DIE_BEFORE, Fate.DIE_AFTER, Fate.DIE_LATE):
            raise Died
        raise RetryLaterError(f"{self.uri} did not answer")

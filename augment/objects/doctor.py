"""Does a store keep the promises on which the commit protocol rests? Each is tried, and the broken one named.

Owns the trials. A store that ignores the condition of a put, or lets two writers win, loses data in silence
(gateways before other stores do), so it is refused before anything is committed there. Everything is written
under a random prefix of `_doctor/` and removed afterwards. Knows only the contract of `ObjectStore`, and that
S3 can be told a checksum.
"""

from __future__ import annotations

import secrets
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from threading import Barrier
from typing import Literal

from augment.errors import ConfigError
from augment.objects.contract import ObjectNotFoundError, ObjectStore
from augment.objects.opening import open_store
from augment.objects.s3 import S3Store

__all__ = ["CLOCK_WARNING_S", "StoreReport", "Trial", "examine"]

CLOCK_WARNING_S = 300.0

_RACERS = 8
_ROUNDS = 5

State = Literal["kept", "broken", "warning", "not applicable"]


@dataclass(frozen=True)
class Trial:
    """One promise: what was promised, whether it holds, and what was seen."""

    promise: str
    state: State
    seen: str


@dataclass(frozen=True)
class StoreReport:
    """Every promise of a store, in the order in which they were tried."""

    uri: str
    trials: tuple[Trial, ...]

    @property
    def broken(self) -> tuple[Trial, ...]:
        """The promises that do not hold."""
        return tuple(trial for trial in self.trials if trial.state == "broken")

    def refuse_broken(self) -> None:
        """Raises ConfigError, naming every broken promise, unless all hold."""
        if self.broken:
            named = "; ".join(f"{trial.promise}: {trial.seen}" for trial in self.broken)
            raise ConfigError(
                f"{self.uri} does not keep what commits rest on ({named}); choose another store, or a version "
                "of it that keeps this"
            )


def examine(uri: str, opener: Callable[[str], ObjectStore] = open_store) -> StoreReport:
    """Try every promise of the store at `uri`; a broken one does not keep the others from being tried.

    `opener` makes a store, and so a client, for each of the racing threads. Raises ConfigError if the store
    cannot be reached or these credentials may not list, write, read or delete there; RetryLaterError if it
    does not answer.
    """
    store = opener(uri)
    prefix = f"_doctor/{secrets.token_hex(8)}/"
    reach = _reach(store, prefix)  # where even a listing is refused there is nothing to clear away
    try:
        trials = (
            reach,
            _round_trip(store, f"{prefix}bytes"),
            _second_put(store, f"{prefix}second"),
            _race(uri, opener, f"{prefix}race"),
            _checksum(store, f"{prefix}checksum"),
            *_listing_and_clock(store, f"{prefix}listed"),
            _deletion(store, f"{prefix}deleted"),
        )
    finally:
        store.delete_all([found.key for found in store.list(prefix)])
    return StoreReport(store.uri, trials)


def _trial(promise: str, kept: bool, seen: str, otherwise: str) -> Trial:
    return Trial(promise, "kept", seen) if kept else Trial(promise, "broken", otherwise)


def _reach(store: ObjectStore, prefix: str) -> Trial:
    fresh = next(store.list(prefix), None) is None
    return _trial(
        "the place can be listed", fresh, "listed", "a prefix that nobody has written to lists objects"
    )


def _round_trip(store: ObjectStore, key: str) -> Trial:
    data = secrets.token_bytes(4096)
    store.put_if_absent(key, data)
    kept = store.get(key) == data
    return _trial("bytes come back as they were put", kept, f"{len(data)} bytes", "other bytes came back")


def _second_put(store: ObjectStore, key: str) -> Trial:
    """The condition of S3 is `If-None-Match: *`; of a folder, that a link's name is free."""
    promise = "a conditional put never overwrites (If-None-Match)"
    store.put_if_absent(key, b"first")
    created = store.put_if_absent(key, b"second")
    there = store.get(key)
    if there != b"first":
        return Trial(promise, "broken", "the second put of a key replaced the first")
    return _trial(
        promise, not created, "the second put was told it exists", "both puts of a key were told they won"
    )


def _race(uri: str, opener: Callable[[str], ObjectStore], key: str) -> Trial:
    """Racers with clients of their own, let go at once, several times over."""
    promise = f"of {_RACERS} racing puts one wins"
    stores = [opener(uri) for _ in range(_RACERS)]
    decided = 0
    with ThreadPoolExecutor(_RACERS, thread_name_prefix="doctor") as pool:
        for round_ in range(_ROUNDS):
            won, there = _race_once(pool, stores, f"{key}-{round_}")
            if len(won) > 1:
                return Trial(promise, "broken", f"{len(won)} of {_RACERS} were told they won")
            if won and there != b"%d" % won[0]:
                return Trial(promise, "broken", "the bytes are not those of the one that won")
            decided += len(won)  # none, where the winner's answer was lost and its retry found its own object
    return _trial(promise, decided > 0, f"{_ROUNDS} rounds", "nobody was told it won, in any round")


def _race_once(pool: ThreadPoolExecutor, stores: list[ObjectStore], key: str) -> tuple[list[int], bytes]:
    """Who was told it won, and whose bytes are there."""
    start = Barrier(len(stores))

    def put(racer: int) -> bool:
        start.wait()
        return stores[racer].put_if_absent(key, b"%d" % racer)

    told = list(pool.map(put, range(len(stores))))
    return [racer for racer, won in enumerate(told) if won], stores[0].get(key)


def _checksum(store: ObjectStore, key: str) -> Trial:
    promise = "bytes that differ from their checksum are turned away"
    if not isinstance(store, S3Store):
        return Trial(promise, "not applicable", "nothing is sent over a network")
    refused = store.refuses_wrong_checksum(key)
    return _trial(promise, refused, "turned away", "a put with the wrong SHA-256 was accepted")


def _listing_and_clock(store: ObjectStore, key: str) -> Iterator[Trial]:
    promise = "a listing shows at once what was put, and when"
    before_s = time.time()
    store.put_if_absent(key, b"")
    after_s = time.time()
    found = next((found for found in store.list(key) if found.key == key), None)
    if found is None or found.modified_s <= 0:
        yield Trial(promise, "broken", "not listed" if found is None else "listed without a time")
        return
    yield Trial(promise, "kept", "shown by the first listing")
    apart_s = max(before_s - found.modified_s, found.modified_s - after_s, 0.0)
    yield Trial(
        "the store's clock agrees with ours",
        "warning" if apart_s > CLOCK_WARNING_S else "kept",
        f"{apart_s:.0f} s apart"
        + ("; grace periods are the store's time" if apart_s > CLOCK_WARNING_S else ""),
    )


def _deletion(store: ObjectStore, key: str) -> Trial:
    promise = "what is deleted is gone"
    store.put_if_absent(key, b"")
    store.delete(key)
    listed = any(found.key == key for found in store.list(key))
    try:
        store.get(key)
    except ObjectNotFoundError:
        return _trial(promise, not listed, "neither listed nor read", "it is still listed")
    return Trial(promise, "broken", "it can still be read")

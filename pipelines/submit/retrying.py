"""Asking a service again that did not answer, with each reason in the log. Knows no service."""

from __future__ import annotations

import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TypeVar

from augment.errors import RetryLaterError
from pipelines.progress import log

__all__ = ["CLOCK", "TRIES", "Clock", "retried"]

T = TypeVar("T")

TRIES = 6
FIRST_WAIT_S = 1.0
LONGEST_WAIT_S = 30.0


@dataclass(frozen=True)
class Clock:
    """How time is told and passed: tests have their own."""

    now_s: Callable[[], float] = time.monotonic
    sleep: Callable[[float], None] = time.sleep


CLOCK = Clock()


def retried(what: str, call: Callable[[], T], *, tries: int = TRIES, clock: Clock = CLOCK) -> T:
    """`call()`, up to `tries` times while it raises RetryLaterError, waiting 1, 2, 4, … seconds between.

    Raises the last RetryLaterError, and any other error at once.
    """
    wait_s = FIRST_WAIT_S
    for attempt in range(1, tries):
        try:
            return call()
        except RetryLaterError as error:
            log.warning("%s: %s; try %d of %d in %g s", what, error, attempt + 1, tries, wait_s)
            clock.sleep(wait_s)
            wait_s = min(2 * wait_s, LONGEST_WAIT_S)
    return call()

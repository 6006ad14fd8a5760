"""A job's log where it is a file that this machine can read: what is in it, and what is still to come."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator
from pathlib import Path

__all__ = ["text_of"]


def text_of(path: Path, is_written: Callable[[], bool], *, every_s: float) -> Iterator[str]:
    """The text of a log, and what is added to it until `is_written` says no more; looked at each `every_s`."""
    with path.open(encoding="utf-8", errors="replace") as file:
        going_on = True
        while True:
            going_on = going_on and is_written()  # asked before the read, so that nothing is missed
            if text := file.read():
                yield text
            elif not going_on:
                return
            else:
                time.sleep(every_s)

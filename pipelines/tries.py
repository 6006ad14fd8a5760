"""How often the making of a shard is tried: three times, however a try ends, and then it is named and left out.

Owns the count, which lies on the driver's board: a try that takes its process with it is counted, too, while Ray would
begin it anew for ever. A try that our own errors end (a store that does not answer, a wrong digest) is no shard's
fault: they pass, and end the run. Knows no shard's content.
"""

import logging
import traceback
from collections.abc import Callable
from typing import Any, TypeVar

import ray

from augment.errors import AugmentError
from augment.store.failures import ShardFailure
from pipelines.board import LogLine

__all__ = ["MOST_TRIES", "tried"]

MOST_TRIES = 3

DIED = "its worker died each time: it crashed, or was killed, for memory maybe (the node's log of Ray tells)"

_T = TypeVar("_T")


def tried(
    board: Any, stage: str, index: int, make: Callable[[], _T], *, heeds_stop: bool = True
) -> _T | ShardFailure | None:
    """What `make` gives; a failure where it failed MOST_TRIES times, in this process and in those before it.

    With `heeds_stop`, None where the driver wants to end.
    """
    name = f"{stage} of shard {index}"
    while True:
        number, stop = ray.get(board.begin.remote(name))
        if stop and heeds_stop:
            return None
        if number > MOST_TRIES:
            error = ray.get(board.noted.remote(name)) or DIED
            return ShardFailure(index=index, tries=MOST_TRIES, stage=stage, error=error)
        try:
            made = make()
        except AugmentError:
            raise
        except Exception as error:  # noqa: BLE001  # whatever it is, it is this shard's, and the others are worth having
            said = traceback.format_exception_only(error)[-1].strip()
            where = traceback.extract_tb(error.__traceback__)[-1]
            said = f"{said} ({where.name}, line {where.lineno} of {where.filename.rpartition('/')[2]})"
            text = f"generate: {name}, try {number} of {MOST_TRIES}: {said}"
            ray.get([board.note.remote(name, said), board.post.remote(LogLine(logging.WARNING, text))])
            continue
        board.done.remote(name)
        return made

"""Reads of a store done ahead by threads, in order, within a bound of bytes.

Owns how far ahead; knows neither stores nor images.
"""

from collections import deque
from collections.abc import Callable, Iterable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor
from itertools import islice
from typing import TypeVar

__all__ = ["read_ahead"]

_THREADS = 8  # reads wait on the store, not on a CPU
_AHEAD = 4 * _THREADS
_AHEAD_BYTES = 64_000_000

Asked = TypeVar("Asked")
Answer = TypeVar("Answer")


def read_ahead(
    read: Callable[[Asked], Answer], asked: Iterable[Asked], size_of: Callable[[Answer], int]
) -> Iterator[Answer]:
    """`read` of each thing asked for, in order, in 8 threads.

    No read begins while answers of 64 MB (by `size_of`) wait to be taken, so that no more than these and eight
    others are in memory, however slow the taker is. Raises what `read` raises.
    """
    rest = iter(asked)
    waiting = deque[Future[Answer]]()
    with ThreadPoolExecutor(max_workers=_THREADS) as pool:

        def submit() -> None:
            done = [future for future in waiting if future.done() and future.exception() is None]
            running = len(waiting) - len(done)
            full = sum(size_of(future.result()) for future in done) >= _AHEAD_BYTES
            room = 0 if full else min(_AHEAD - len(waiting), _THREADS - running)
            waiting.extend(pool.submit(read, each) for each in islice(rest, max(room, 0 if waiting else 1)))

        submit()
        try:
            while waiting:
                answer = waiting.popleft().result()
                submit()
                yield answer
        finally:
            for future in waiting:
                future.cancel()

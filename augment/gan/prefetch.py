"""The next step's batch, made while the device computes this one.

Owns the look-ahead. On a CPU there is nothing to overlap with: drawing takes a hundredth of a step there, and
a second thread would only take its turn from the first.
"""

from collections.abc import Callable
from concurrent.futures import Future, ThreadPoolExecutor
from typing import Generic, TypeVar

__all__ = ["Prefetch"]

_T = TypeVar("_T")


class Prefetch(Generic[_T]):
    """Calls `make(step)` one step ahead, in a thread of its own; close it when done."""

    def __init__(self, make: Callable[[int], _T]) -> None:
        self._make = make
        self._pool = ThreadPoolExecutor(1, thread_name_prefix="augment-prefetch")
        self._ahead: tuple[int, Future[_T]] | None = None

    def __call__(self, step: int) -> _T:
        """`make(step)`; quickest where the last call was for `step - 1`."""
        if self._ahead is None or self._ahead[0] != step:  # the first call, or training has gone back
            self._ahead = (step, self._pool.submit(self._make, step))
        made = self._ahead[1].result()
        self._ahead = (step + 1, self._pool.submit(self._make, step + 1))
        return made

    def close(self) -> None:
        """Forget what lies ahead."""
        self._pool.shutdown(cancel_futures=True)

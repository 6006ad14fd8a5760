"""In which order rows come, and who reads which: pure functions of (seed, epoch) and how many readers read.

An epoch's order is drawn without reading anything. The rows within each read task are shuffled, and the tasks
are. The sequence of all rows is then cut into as many equal segments as there are readers, so that every row
is in exactly one. Where tasks are few, the sequence goes over them several times and takes a share of each,
so that no reader gets a few tasks, and so a few classes, alone: then a task is read by several readers, each
for its own rows. A reader mixes `OPEN_TASKS` tasks at a time and passes the rows through a shuffle buffer.
What comes close together is thus drawn from a few random tasks and a buffer of rows, not from the whole set,
as in WebDataset's or Hugging Face's streams: random enough where a buffer holds rows of many tasks.

Axes: T = read tasks, R = rows of a task.
"""

from __future__ import annotations

from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from augment.seeds import stream_id, uniforms

__all__ = [
    "OPEN_TASKS",
    "Slice",
    "batches_by_worker",
    "buffered",
    "draws",
    "interleaved",
    "picked_rows",
    "segment",
    "share",
]

OPEN_TASKS = 4
"""Read tasks that a reader mixes at a time; the encoded images of as many shards are in its memory."""

LEAST_TASKS = 32
"""Tasks that a reader has rows of at least, where there are so many."""

_DRAWN_AT_ONCE = 1024

RowT = TypeVar("RowT")


class Slice(NamedTuple):
    """Rows `start … stop - 1` of a task in the epoch's order of that task's rows."""

    task: int
    start: int
    stop: int


def segment(rows: int, part: int, parts: int) -> tuple[int, int]:
    """Where part `part` of `parts` begins and ends; they cover `rows`, and sizes differ by 1 at most."""
    return part * rows // parts, (part + 1) * rows // parts


def batches_by_worker(done: int, batches_W: Sequence[int]) -> list[int]:
    """How many of the first `done` batches of a loader came from each worker (W), which it asks in turn."""
    given_W = [0] * len(batches_W)
    while done > 0:
        active = [worker for worker, batches in enumerate(batches_W) if given_W[worker] < batches]
        if not active:
            break
        # whole rounds at once, as long as nobody runs out
        rounds = max(
            1, min(done // len(active), min(batches_W[worker] - given_W[worker] for worker in active))
        )
        for worker in active if done >= len(active) else active[:done]:
            given_W[worker] += rounds
            done -= rounds
    return given_W


def share(
    pieces: Sequence[Slice], part: int, parts: int, seed: int, *stream: str | int, even: bool = False
) -> list[Slice]:
    """What part `part` of `parts` takes of `pieces`: together all rows, each once, in a random order of
    tasks.

    Parts differ by one row at most; with `even` they don't, and up to parts - 1 rows are left out. A part
    holds rows of at least `LEAST_TASKS` pieces, or of nearly all.
    """
    if not pieces:
        return []
    sizes = [piece.stop - piece.start for piece in pieces]
    rounds = min(parts, -(-LEAST_TASKS * parts // len(pieces)))
    total = sum(sizes) // parts * parts if even else sum(sizes)
    start, stop = segment(total, part, parts)
    found, first = [], 0
    for turn in range(rounds):
        order = _permutation(len(pieces), seed, stream_id("mixing.tasks", *stream, turn))
        for number in map(int, order):
            # each piece's shares are taken in another rotation, so that what rounding adds is spread
            begin, end = segment(sizes[number], (turn + number) % rounds, rounds)
            low, high = max(start - first, 0), min(stop - first, end - begin)
            if low < high:
                offset = pieces[number].start + begin
                found.append(Slice(pieces[number].task, offset + low, offset + high))
            first += end - begin
    return found


def picked_rows(piece: Slice, rows: int, seed: int, epoch: int) -> npt.NDArray[np.int64]:
    """The rows of a task of `rows` rows that a slice means, in the order in which they come."""
    order_R = _permutation(rows, seed, stream_id("mixing.rows", epoch, piece.task))
    return order_R[piece.start : piece.stop]


def _permutation(count: int, seed: int, stream: int) -> npt.NDArray[np.int64]:
    return np.argsort(uniforms(seed, stream, 0, count, 1)[:, 0], kind="stable")


def draws(seed: int, *stream: str | int) -> Iterator[float]:
    """Uniform numbers in [0, 1) without end."""
    first = 0
    while True:
        yield from uniforms(seed, stream_id("mixing.draws", *stream), first, _DRAWN_AT_ONCE, 1)[:, 0].tolist()
        first += _DRAWN_AT_ONCE


class _Open(Generic[RowT]):
    """A slice that is being read."""

    def __init__(self, piece: Slice, rows: Generator[RowT]) -> None:
        self.left = piece.stop - piece.start
        self.rows = rows


def interleaved(
    pieces: Iterable[Slice], read: Callable[[Slice], Generator[RowT]], drawn: Iterator[float]
) -> Iterator[RowT]:
    """Rows of `OPEN_TASKS` slices at a time, each row from one of them, at random by how many each has left.

    A slice may give fewer rows than it has, where some cannot be used.
    """
    waiting = iter(pieces)
    opened: list[_Open[RowT]] = []
    while True:
        while len(opened) < OPEN_TASKS and (piece := next(waiting, None)) is not None:
            opened.append(_Open(piece, read(piece)))
        if not opened:
            return
        chosen = _weighted(opened, next(drawn))
        try:
            yield next(chosen.rows)
            chosen.left -= 1
        except StopIteration:
            chosen.left = 0
        if not chosen.left:
            chosen.rows.close()
            opened.remove(chosen)


def _weighted(opened: Sequence[_Open[RowT]], drawn: float) -> _Open[RowT]:
    point = drawn * sum(one.left for one in opened)
    for one in opened:
        point -= one.left
        if point < 0:
            return one
    return opened[-1]


def buffered(rows: Iterable[RowT], size: int, drawn: Iterator[float]) -> Iterator[RowT]:
    """The same rows: each new one takes a random place of a full buffer, and what stood there comes out."""
    held: list[RowT] = []
    for row in rows:
        if len(held) < size:
            held.append(row)
            continue
        place = int(next(drawn) * size)
        held[place], row = row, held[place]
        yield row
    for last in range(len(held), 0, -1):
        place = int(next(drawn) * last)
        held[place], held[last - 1] = held[last - 1], held[place]
        yield held.pop()

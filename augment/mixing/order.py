"""In which order rows come, and who reads which: pure functions of (seed, epoch) and how many readers read.

An epoch's order is drawn without reading anything. The rows within each read task are shuffled, and the tasks
are. The sequence of all rows is then cut into as many equal segments as there are readers, so that every row
is in exactly one. Where tasks are few, the sequence goes over them several times and takes a share of each,
so that no reader gets a few tasks, and so a few classes, alone: then a task is read by several readers, each
for its own rows.

Tasks are of two kinds. Of a scattered one (images that are files, members of a tar) any rows can be read at
the cost of those rows: a reader cuts its share of it into small slices, and reads the slices of all tasks in
a random order. A streamed one (a row group of the source's Parquet files, a committed shard) is read from one
end to the other, or as a whole, so that only some are open at a time, and what is close together comes from
those. The two sequences are merged at random by what is left of each, and go through a shuffle buffer.

Axes: T = read tasks, P = pieces of tasks, R = rows of a task, W = loader workers, S = small slices.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Generator, Iterable, Iterator, Sequence
from itertools import islice
from typing import Generic, NamedTuple, TypeVar

import numpy as np
import numpy.typing as npt

from augment.seeds import stream_id, uniforms

__all__ = [
    "LEAST_OPEN",
    "LEAST_TASKS",
    "MOST_OPEN",
    "OPEN_BYTES",
    "SLICE_ROWS",
    "Slice",
    "WorkersDone",
    "buffered",
    "draws",
    "interleaved",
    "picked_rows",
    "refilled",
    "segment",
    "share",
    "sliced",
    "workers_done",
]

MOST_OPEN = 64
"""Slices that a reader mixes at a time."""

LEAST_OPEN = 4
"""… at least, however much they hold."""

OPEN_BYTES = 512_000_000
"""What open slices may hold together, encoded, where there are more than `LEAST_OPEN`."""

SLICE_ROWS = 4
"""Rows of a small slice of a scattered task, which are read at once."""

LEAST_TASKS = 32
"""Streamed tasks that a reader has rows of at least, where there are so many."""

_LEAST_SCATTERED = 512  # the same of scattered tasks, which cost nothing to share out

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


class WorkersDone(NamedTuple):
    """Where a loader stands that asks its workers in turn."""

    batches_W: list[int]  # that came from each worker
    turn: int  # the worker to be asked next; one that has nothing left is passed over


def workers_done(done: int, batches_W: Sequence[int]) -> WorkersDone:
    """Which workers the first `done` batches of a loader came from, of the `batches_W` that each has."""
    given_W, turn = [0] * len(batches_W), 0
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
            turn = (worker + 1) % len(batches_W)
    return WorkersDone(given_W, turn)


def share(
    pieces: Sequence[Slice],
    part: int,
    parts: int,
    seed: int,
    *stream: str | int,
    even: bool = False,
    scattered: Collection[int] = (),
) -> list[Slice]:
    """What part `part` of `parts` takes of `pieces`: together all rows, each once, in a random order of
    tasks.

    Parts differ by one row at most; with `even` they don't, and up to parts - 1 rows are left out. A part
    holds rows of at least `LEAST_TASKS` pieces, or of nearly all; of the tasks in `scattered`, of far more.
    """
    if not pieces:
        return []
    sizes = [piece.stop - piece.start for piece in pieces]
    rounds_P = _rounds([piece.task in scattered for piece in pieces], parts)
    turns = max(rounds_P)
    total = sum(sizes) // parts * parts if even else sum(sizes)
    start, stop = segment(total, part, parts)
    found, first = [], 0
    for turn in range(turns):
        order = _permutation(len(pieces), seed, stream_id("mixing.tasks", *stream, turn))
        for number in map(int, order):
            # each piece's shares are taken in another rotation, so that what rounding adds is spread
            turned, rounds, size = (turn + number) % turns, rounds_P[number], sizes[number]
            begin = turned * rounds // turns * size // rounds
            end = (turned + 1) * rounds // turns * size // rounds
            low, high = max(start - first, 0), min(stop - first, end - begin)
            if low < high:
                offset = pieces[number].start + begin
                found.append(Slice(pieces[number].task, offset + low, offset + high))
            first += end - begin
    return found


def _rounds(scattered_P: Sequence[bool], parts: int) -> list[int]:
    """In how many shares each piece is taken."""
    many = sum(scattered_P)
    of_scattered = min(parts, -(-_LEAST_SCATTERED * parts // max(1, many)))
    of_streamed = min(parts, -(-LEAST_TASKS * parts // max(1, len(scattered_P) - many)))
    return [of_scattered if is_scattered else of_streamed for is_scattered in scattered_P]


def sliced(pieces: Sequence[Slice], seed: int, *stream: str | int) -> Iterator[Slice]:
    """The same rows in slices of at most `SLICE_ROWS`, in a random order."""
    sizes = np.array([piece.stop - piece.start for piece in pieces], dtype=np.int64)
    slices_P = -(-sizes // SLICE_ROWS)
    piece_S = np.repeat(np.arange(len(pieces)), slices_P)
    begin_S = (np.arange(len(piece_S)) - np.repeat(np.cumsum(slices_P) - slices_P, slices_P)) * SLICE_ROWS
    for place in map(int, _permutation(len(piece_S), seed, stream_id("mixing.slices", *stream))):
        piece = pieces[piece_S[place]]
        start = piece.start + int(begin_S[place])
        yield Slice(piece.task, start, min(start + SLICE_ROWS, piece.stop))


def picked_rows(piece: Slice, rows: int, seed: int, epoch: int, neighbours: int = 1) -> npt.NDArray[np.int64]:
    """The rows of a task of `rows` rows that a slice means, in the order in which they come.

    Runs of `neighbours` rows stay together, where reading those is cheaper.
    """
    stream = stream_id("mixing.rows", epoch, piece.task)
    run_R = np.repeat(uniforms(seed, stream, 0, -(-rows // neighbours), 1)[:, 0], neighbours)[:rows]
    order_R = np.argsort(run_R, kind="stable")
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

    def __init__(self, piece: Slice, rows: Generator[RowT], held_bytes: int) -> None:
        self.left = piece.stop - piece.start
        self.rows = rows
        self.held_bytes = held_bytes


def interleaved(
    pieces: Iterable[Slice],
    read: Callable[[Slice], Generator[RowT]],
    drawn: Iterator[float],
    held_bytes: Callable[[Slice], int] = lambda piece: 0,
) -> Generator[RowT]:
    """Rows of several slices at a time, each row from one of them, at random by how many each has left.

    Up to `MOST_OPEN` are open, fewer where they would hold more than `OPEN_BYTES`. A slice may give fewer rows
    than it has, where some cannot be used.
    """
    waiting = iter(pieces)
    following = next(waiting, None)
    opened: list[_Open[RowT]] = []
    while True:
        while following is not None and _has_room(opened, held_bytes(following)):
            opened.append(_Open(following, read(following), held_bytes(following)))
            following = next(waiting, None)
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


def _has_room(opened: Sequence[_Open[RowT]], more_bytes: int) -> bool:
    if len(opened) < LEAST_OPEN:
        return True
    return len(opened) < MOST_OPEN and sum(one.held_bytes for one in opened) + more_bytes <= OPEN_BYTES


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


def refilled(read: Callable[[], Iterator[RowT]], rows: int) -> Iterator[RowT]:
    """`rows` rows: those of `read()`, and where some of them cannot be used, its first ones again.

    Ends early only where `read()` gives none at all.
    """
    left = rows
    while left:
        before = left
        for row in islice(read(), left):
            left -= 1
            yield row
        if left == before:
            return

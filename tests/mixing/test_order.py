"""The order of an epoch: every row in exactly one part, whatever the parts; shuffled, and the same again."""

from __future__ import annotations

from collections import Counter
from collections.abc import Generator
from itertools import chain

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.mixing.order import (
    LEAST_TASKS,
    OPEN_TASKS,
    Slice,
    batches_by_worker,
    buffered,
    draws,
    interleaved,
    picked_rows,
    share,
)

TASKS = st.lists(st.integers(0, 40), max_size=12)


def part_of(
    rows_T: list[int], seed: int, epoch: int, part: int, parts: int, buffer: int
) -> list[tuple[int, int]]:
    """(task, row) in the order in which a part's reader gives them."""

    def read(piece: Slice) -> Generator[tuple[int, int]]:
        yield from ((piece.task, int(row)) for row in picked_rows(piece, rows_T[piece.task], seed, epoch))

    whole = [Slice(task, 0, rows) for task, rows in enumerate(rows_T)]
    mixed = interleaved(share(whole, part, parts, seed, epoch), read, draws(seed, epoch, part))
    return list(buffered(mixed, buffer, draws(seed, "buffer", epoch, part)))


@given(TASKS, st.integers(0, 99), st.integers(0, 9), st.integers(1, 20), st.integers(1, 30))
def test_every_row_comes_exactly_once_an_epoch(
    rows_T: list[int], seed: int, epoch: int, parts: int, buffer: int
) -> None:
    by_part = [part_of(rows_T, seed, epoch, part, parts, buffer) for part in range(parts)]
    expected = Counter((task, row) for task, rows in enumerate(rows_T) for row in range(rows))
    assert Counter(chain.from_iterable(by_part)) == expected
    sizes = [len(rows) for rows in by_part]
    assert max(sizes) - min(sizes) <= 1


@given(TASKS, st.integers(0, 99), st.integers(1, 9), st.data())
def test_ranks_and_the_workers_of_each_share_an_epoch_out(
    rows_T: list[int], seed: int, ranks: int, data: st.DataObject
) -> None:
    """Also where one rank has more loader workers than another."""
    whole = [Slice(task, 0, rows) for task, rows in enumerate(rows_T)]
    taken: Counter[tuple[int, int]] = Counter()
    for rank in range(ranks):
        of_rank = share(whole, rank, ranks, seed, 0)
        workers = data.draw(st.integers(1, 5))
        for worker in range(workers):
            for piece in share(of_rank, worker, workers, seed, "workers", 0, rank):
                taken.update((piece.task, row) for row in range(piece.start, piece.stop))
    assert taken == Counter((task, row) for task, rows in enumerate(rows_T) for row in range(rows))


@given(TASKS, st.integers(0, 99), st.integers(1, 9))
def test_even_parts_have_as_many_rows_and_leave_out_fewer_than_parts(
    rows_T: list[int], seed: int, parts: int
) -> None:
    whole = [Slice(task, 0, rows) for task, rows in enumerate(rows_T)]
    sizes = [
        sum(piece.stop - piece.start for piece in share(whole, part, parts, seed, 0, even=True))
        for part in range(parts)
    ]
    assert set(sizes) == {sum(rows_T) // parts}


@pytest.mark.parametrize(("tasks", "parts"), [(3, 8), (40, 4), (1000, 4)])
def test_a_part_has_rows_of_many_tasks(tasks: int, parts: int) -> None:
    """Of few tasks, each reader has a share of all; of very many, each task is read once, or twice."""
    whole = [Slice(task, 0, 100) for task in range(tasks)]
    reads = 0
    for part in range(parts):
        pieces = share(whole, part, parts, 1, 0)
        reads += len(pieces)
        assert len({piece.task for piece in pieces}) >= min(tasks, LEAST_TASKS)
    if tasks == 1000:
        assert reads <= tasks + parts


def test_the_same_epoch_comes_in_the_same_order_and_another_in_another() -> None:
    rows_T = [30, 5, 17, 44, 8, 21]
    first = part_of(rows_T, 1, 0, 0, 1, 10)
    assert first == part_of(rows_T, 1, 0, 0, 1, 10)
    assert first != part_of(rows_T, 1, 1, 0, 1, 10)
    assert first != part_of(rows_T, 2, 0, 0, 1, 10)


def test_rows_that_lie_together_are_taken_apart() -> None:
    """Of 40 tasks of one class each, any 100 rows in a row hold many classes: random ones, about 37."""
    rows = part_of([50] * 40, 3, 0, 0, 1, 1000)
    seen = [len({task for task, _ in rows[first : first + 100]}) for first in range(0, len(rows), 100)]
    assert np.mean(seen) > 20
    positions = np.array([task * 50 + row for task, row in rows])
    assert abs(np.corrcoef(positions, np.arange(len(rows)))[0, 1]) < 0.2


def test_a_short_slice_ends_and_the_others_go_on() -> None:
    """Where images are bad, a task gives fewer rows than it has."""
    closed = []

    def read(piece: Slice) -> Generator[int]:
        try:
            yield from range(piece.task * 100, piece.task * 100 + piece.task)  # task t gives t of 10 rows
        finally:
            closed.append(piece.task)

    pieces = [Slice(task, 0, 10) for task in range(7)]
    rows = list(interleaved(pieces, read, draws(0, "x")))
    assert sorted(rows) == [task * 100 + row for task in range(7) for row in range(task)]
    assert sorted(closed) == list(range(7))


def test_few_tasks_are_open_at_a_time() -> None:
    opened, most = set[int](), 0

    def read(piece: Slice) -> Generator[int]:
        opened.add(piece.task)
        try:
            yield from range(5)
        finally:
            opened.discard(piece.task)

    for _ in interleaved([Slice(task, 0, 5) for task in range(20)], read, draws(0, "x")):
        most = max(most, len(opened))
    assert most <= OPEN_TASKS


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(0, 60))
def test_batches_come_from_workers_in_turn(batches_W: list[int], done: int) -> None:
    order, left = [], list(batches_W)
    while any(left):
        for worker, batches in enumerate(left):
            if batches:
                order.append(worker)
                left[worker] -= 1
    taken = Counter(order[:done])
    assert batches_by_worker(done, batches_W) == [taken[worker] for worker in range(len(batches_W))]

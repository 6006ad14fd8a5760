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
    LEAST_OPEN,
    LEAST_TASKS,
    MOST_OPEN,
    OPEN_BYTES,
    SLICE_ROWS,
    Slice,
    buffered,
    draws,
    interleaved,
    picked_rows,
    refilled,
    share,
    sliced,
    workers_done,
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


@pytest.mark.parametrize(
    ("held_bytes", "most_open"),
    [(0, MOST_OPEN), (OPEN_BYTES // 10, 10), (OPEN_BYTES // 5, 5), (OPEN_BYTES, LEAST_OPEN)],
)
def test_few_tasks_are_open_at_a_time_and_fewer_of_large_ones(held_bytes: int, most_open: int) -> None:
    opened, most = set[int](), 0

    def read(piece: Slice) -> Generator[int]:
        opened.add(piece.task)
        try:
            yield from range(5)
        finally:
            opened.discard(piece.task)

    pieces = [Slice(task, 0, 5) for task in range(200)]
    for _ in interleaved(pieces, read, draws(0, "x"), lambda piece: held_bytes):
        most = max(most, len(opened))
    assert most == most_open


@given(TASKS, st.integers(0, 99), st.integers(1, 9), st.sets(st.integers(0, 11)), st.booleans())
def test_scattered_and_streamed_tasks_are_shared_out_together(
    rows_T: list[int], seed: int, parts: int, scattered: set[int], even: bool
) -> None:
    whole = [Slice(task, 0, rows) for task, rows in enumerate(rows_T)]
    shares = [share(whole, part, parts, seed, 0, even=even, scattered=scattered) for part in range(parts)]
    sizes = [sum(piece.stop - piece.start for piece in pieces) for pieces in shares]
    taken = [
        (piece.task, row) for pieces in shares for piece in pieces for row in range(piece.start, piece.stop)
    ]
    assert len(set(taken)) == len(taken)
    if even:
        assert set(sizes) == {sum(rows_T) // parts}
    else:
        assert set(taken) == {(task, row) for task, rows in enumerate(rows_T) for row in range(rows)}
        assert max(sizes) - min(sizes) <= 1


def test_a_reader_has_its_part_of_nearly_every_scattered_task() -> None:
    """Also where streamed ones, which are dear to read, are read once each."""
    whole = [Slice(task, 0, 512) for task in range(900)]
    shares = [share(whole, part, 8, 1, 0, scattered=range(200)) for part in range(8)]
    assert all(len({piece.task for piece in pieces} & set(range(200))) > 180 for pieces in shares)
    assert sum(piece.task >= 200 for pieces in shares for piece in pieces) <= 700 + 8


@given(TASKS, st.integers(0, 99))
def test_small_slices_hold_the_same_rows(rows_T: list[int], seed: int) -> None:
    pieces = [Slice(task, 3, 3 + rows) for task, rows in enumerate(rows_T)]
    slices = list(sliced(pieces, seed, "x"))
    rows = [(piece.task, row) for piece in slices for row in range(piece.start, piece.stop)]
    assert Counter(rows) == Counter(
        (task, row) for task, many in enumerate(rows_T) for row in range(3, 3 + many)
    )
    assert all(0 < piece.stop - piece.start <= SLICE_ROWS for piece in slices)


@given(st.integers(0, 60), st.integers(1, 7), st.integers(0, 9))
def test_neighbours_stay_together(rows: int, neighbours: int, seed: int) -> None:
    order_R = picked_rows(Slice(0, 0, rows), rows, seed, 0, neighbours)
    assert sorted(order_R) == list(range(rows))
    assert int(np.sum(np.diff(order_R) != 1)) <= -(-rows // neighbours)


@given(st.lists(st.booleans(), max_size=20))
def test_rows_that_cannot_be_used_are_made_up_for(usable: list[bool]) -> None:
    good = [row for row, is_usable in enumerate(usable) if is_usable]
    rows = list(refilled(lambda: iter(good), len(usable)))
    assert rows == [good[place % len(good)] for place in range(len(usable))] if good else rows == []


@pytest.mark.parametrize(
    ("readers", "least_share"), [(1, 0.9), (32, 0.9)], ids=["one reader", "eight ranks of four workers"]
)
def test_batches_of_large_images_hold_nearly_as_many_classes_as_a_uniform_shuffle(
    readers: int, least_share: float
) -> None:
    """224 px, 100 classes of 1,300 files each in class folders: 850 rows fill the shuffle buffer."""
    classes, batch = 100, 256
    tasks = [(name, rows) for name in range(classes) for rows in (512, 512, 276)]

    def read(piece: Slice) -> Generator[int]:
        yield from [tasks[piece.task][0]] * (piece.stop - piece.start)

    whole = [Slice(task, 0, rows) for task, (_, rows) in enumerate(tasks)]
    pieces = sliced(share(whole, 0, readers, 0, 0, scattered=range(len(tasks))), 0, 0)
    names = list(buffered(interleaved(pieces, read, draws(0, "mix")), 850, draws(0, "buffer")))[: batch * 40]
    seen = [len(set(names[first : first + batch])) for first in range(0, len(names) - batch + 1, batch)]
    uniform = classes * (1 - (1 - 1 / classes) ** batch)  # 92.4: the expected number of distinct draws
    assert np.mean(seen) > least_share * uniform


@given(st.lists(st.integers(0, 9), max_size=6), st.integers(0, 60))
def test_batches_come_from_workers_in_turn(batches_W: list[int], done: int) -> None:
    order = loader_order(batches_W)
    taken = Counter(order[:done])
    at = workers_done(done, batches_W)
    assert at.batches_W == [taken[worker] for worker in range(len(batches_W))]
    # A loader that begins anew asks its first worker first: that one takes the part of `turn`.
    left_W = [batches - given for batches, given in zip(batches_W, at.batches_W, strict=True)]
    turned = [(number + at.turn) % len(batches_W) for number in range(len(batches_W))]
    assert [turned[number] for number in loader_order([left_W[worker] for worker in turned])] == order[done:]


def loader_order(batches_W: list[int]) -> list[int]:
    """Which worker each batch of torch's loader is from: it asks all in turn, and passes over who has none."""
    order, left = list[int](), list(batches_W)
    while any(left):
        for worker, batches in enumerate(left):
            if batches:
                order.append(worker)
                left[worker] -= 1
    return order

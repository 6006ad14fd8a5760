"""Reads done ahead keep their order, and never more in memory than they may."""

from __future__ import annotations

import threading
import time
from collections.abc import Iterator

import pytest

from augment.data.read_ahead import read_ahead


def test_answers_come_in_the_order_of_what_was_asked() -> None:
    def slow_first(number: int) -> int:
        time.sleep(0.02 if number % 8 == 0 else 0)
        return number

    assert list(read_ahead(slow_first, range(100), lambda _: 1)) == list(range(100))
    assert list(read_ahead(slow_first, [], lambda _: 1)) == []


@pytest.mark.parametrize(("size", "most"), [(1, 33), (60_000_000, 10), (200_000_000, 9)])
def test_no_more_is_read_ahead_than_the_bound_allows(size: int, most: int) -> None:
    read = list[int]()
    idle = threading.Event()

    def noted(number: int) -> int:
        read.append(number)
        return number

    answers: Iterator[int] = read_ahead(noted, range(200), lambda _: size)
    for taken in range(50):
        assert next(answers) == taken
        idle.wait(0.005)  # readers have time to run as far ahead as they may
        assert len(read) - taken <= most


def test_what_a_read_raises_comes_out_in_its_turn() -> None:
    def fails_at_three(number: int) -> int:
        if number == 3:
            raise KeyError(number)
        return number

    answers = read_ahead(fails_at_three, range(9), lambda _: 1)
    assert [next(answers) for _ in range(3)] == [0, 1, 2]
    with pytest.raises(KeyError):
        next(answers)

"""What a job has used of its budget, in every kind of store."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import IntegrityError
from augment.objects import open_store
from augment.store.spent import Spent, put_spent, spent_key, stored_spent

amounts = st.lists(st.tuples(st.floats(-10, 1e6), st.floats(-10, 1e6)), max_size=10)


def test_nothing_is_spent_until_somebody_says_so_and_the_last_word_counts(store_uri: str) -> None:
    store = open_store(store_uri)
    assert stored_spent(store, "name-a") == Spent()

    put_spent(store, "name-a", Spent().plus(seconds=10, usd=0.5))
    put_spent(store, "name-a", Spent().plus(seconds=20, usd=1.0))

    assert stored_spent(store, "name-a") == Spent(commands=1, seconds=20, usd=1.0)
    assert stored_spent(store, "name-b") == Spent()


@given(amounts)
def test_every_command_adds_to_it_and_a_clock_that_goes_back_takes_nothing_away(
    commands: list[tuple[float, float]],
) -> None:
    spent = Spent()
    for seconds, usd in commands:
        spent = spent.plus(seconds=seconds, usd=usd)

    assert spent.commands == len(commands)
    assert spent.seconds == pytest.approx(sum(max(0.0, seconds) for seconds, _ in commands))
    assert spent.usd == pytest.approx(sum(max(0.0, usd) for _, usd in commands))


@pytest.mark.parametrize("data", [b"", b"{", b"[]", b'{"seconds": -1}', b'{"euros": 3}'])
def test_one_that_is_damaged_is_named_and_can_be_removed(data: bytes) -> None:
    store = open_store(f"memory://{len(data)}-spent")
    store.put(spent_key("name-a"), data)

    with pytest.raises(
        IntegrityError, match=r"_spending/name-a\.json is not a valid record of what was spent .*remove it"
    ):
        stored_spent(store, "name-a")

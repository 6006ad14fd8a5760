"""A store in memory: its listings come page by page, and take no copy of it."""

from __future__ import annotations

import tracemalloc
import uuid

from hypothesis import given
from hypothesis import strategies as st

from augment.objects import MemoryStore

FLAT_BYTES = 2_000_000  # some pages of a thousand objects; a copy of a million keys is fifty times that


def test_listing_a_million_keys_is_flat_in_memory() -> None:
    store = MemoryStore(f"memory://{uuid.uuid4().hex}")
    for index in range(1_000_000):
        store.put(f"data/{index:07d}", b"")
    assert sum(1 for _ in store.list("data/")) == 1_000_000
    listing = store.list("data/")
    tracemalloc.start()  # of some pages only: tracing is slow, and every page is taken like the first
    try:
        for _ in range(20_000):
            next(listing)
        _, peak = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
        listing.close()
    assert peak < FLAT_BYTES


def test_what_is_put_behind_the_page_that_a_listing_has_come_to_is_shown() -> None:
    store = MemoryStore(f"memory://{uuid.uuid4().hex}")
    for index in range(1500):
        store.put(f"{index:04d}", b"")
    listing = store.list()
    assert next(listing).key == "0000"
    store.put("0000-missed", b"")  # within the page that is on its way
    store.put("1200-shown", b"")
    store.delete("1300")
    keys = [found.key for found in listing]
    assert "1200-shown" in keys
    assert "0000-missed" not in keys
    assert "1300" not in keys
    assert len(keys) == 1500 - 1 + 1 - 1


@given(
    st.lists(st.tuples(st.booleans(), st.text("ab/", min_size=1, max_size=4)), max_size=30), st.text("ab/")
)
def test_a_listing_shows_what_was_put_and_not_deleted(steps: list[tuple[bool, str]], prefix: str) -> None:
    store, there = MemoryStore(f"memory://{uuid.uuid4().hex}"), set()
    for put, name in steps:
        key = name.replace("/", "-")
        if put:
            store.put(key, b"")
            there.add(key)
        else:
            store.delete(key)
            there.discard(key)
        assert [found.key for found in store.list(prefix)] == sorted(k for k in there if k.startswith(prefix))

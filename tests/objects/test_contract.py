"""What every store promises, held on each of them: memory, a folder, moto and SeaweedFS."""

from __future__ import annotations

import pickle
from concurrent.futures import ThreadPoolExecutor
from threading import Barrier

import pytest

from augment.errors import ConfigError
from augment.objects import ObjectNotFoundError, ObjectStore, StoredObject, open_store


@pytest.fixture
def store(store_uri: str) -> ObjectStore:
    return open_store(store_uri)


def test_what_was_put_is_got(store: ObjectStore) -> None:
    assert store.put_if_absent("a/b.bin", b"\x00\xff")
    assert store.get("a/b.bin") == b"\x00\xff"


def test_an_empty_object_is_an_object(store: ObjectStore) -> None:
    assert store.put_if_absent("empty", b"")
    assert store.get("empty") == b""
    assert list(store.list()) == [StoredObject("empty", 0)]


def test_put_if_absent_never_overwrites(store: ObjectStore) -> None:
    assert store.put_if_absent("key", b"first")
    assert not store.put_if_absent("key", b"second")
    assert store.get("key") == b"first"


def test_put_replaces(store: ObjectStore) -> None:
    store.put("README.md", b"old and longer")
    store.put("README.md", b"new")
    assert store.get("README.md") == b"new"
    assert list(store.list()) == [StoredObject("README.md", 3)]


def test_of_eight_racing_writers_exactly_one_creates(store: ObjectStore) -> None:
    for round_ in range(3):
        barrier = Barrier(8)

        def write(writer: int, key: str, barrier: Barrier) -> bool:
            barrier.wait()
            return store.put_if_absent(key, b"%d" % writer)

        with ThreadPoolExecutor(8) as pool:
            won = list(pool.map(write, range(8), [f"race/{round_}"] * 8, [barrier] * 8))
        assert won.count(True) == 1
        assert store.get(f"race/{round_}") == b"%d" % won.index(True)


def test_a_missing_object_is_named(store: ObjectStore) -> None:
    store.put("folder/key", b"")
    for key in ("folder/other", "folder"):
        with pytest.raises(ObjectNotFoundError, match=key):
            store.get(key)


def test_delete_removes_and_forgives(store: ObjectStore) -> None:
    store.put("key", b"1")
    store.delete("key")
    store.delete("key")
    assert list(store.list()) == []


def test_many_are_deleted_at_once_and_missing_ones_forgiven(
    store: ObjectStore, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("augment.objects.s3._DELETED_KEYS", 3)
    odd = ["a/ü & <x>.png", "a/b c%20'\"[1].png"]
    keys = [*(f"data/{index}" for index in range(7)), *odd]
    for key in [*keys, "data/stays"]:
        store.put(key, b"x")
    store.delete_all(key for key in [*keys, "data/never-there"])
    assert [found.key for found in store.list()] == ["data/stays"]
    store.delete_all([])
    store.delete_all(["data/stays"])
    assert list(store.list()) == []


def test_an_empty_store_lists_nothing(store: ObjectStore) -> None:
    assert list(store.list()) == []
    assert list(store.list("data/")) == []


def test_keys_are_listed_in_order_with_their_sizes(store: ObjectStore) -> None:
    keys = ["b/2", "a", "b/1/deep", "b0", "b/10", "ä", "a.b", "a-b"]
    for key in keys:
        store.put(key, key.encode())
    assert list(store.list()) == [StoredObject(key, len(key.encode())) for key in sorted(keys)]


def test_a_prefix_may_end_within_a_name(store: ObjectStore) -> None:
    for key in ("run/a/1", "run/ab/2", "run/b/3", "runs"):
        store.put(key, b"")
    assert [found.key for found in store.list("run/a")] == ["run/a/1", "run/ab/2"]
    assert [found.key for found in store.list("run/a/")] == ["run/a/1"]
    assert [found.key for found in store.list("run")] == ["run/a/1", "run/ab/2", "run/b/3", "runs"]
    assert list(store.list("nothing/")) == []


def test_a_listing_of_many_pages_is_whole(store: ObjectStore, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("augment.objects.s3._PAGE_KEYS", 3)
    keys = [f"data/{index:04d}" for index in range(10)]
    for key in keys:
        store.put(key, b"x")
    assert [found.key for found in store.list("data/")] == keys


@pytest.mark.parametrize("key", ["", "../out", "a/../../out", "/absolute", "a//b", "a/./b", "a/", "nul\0"])
def test_a_key_that_is_no_plain_path_is_refused(store: ObjectStore, key: str) -> None:
    with pytest.raises(ConfigError, match="not a plain path"):
        store.put_if_absent(key, b"")
    with pytest.raises(ConfigError, match="not a plain path"):
        store.put(key, b"")


def test_odd_names_come_back_as_they_were(store: ObjectStore) -> None:
    key = "T-shirt & top/naïve 100% [x] #1 ?.png"
    store.put(key, b"pixels")
    assert [found.key for found in store.list()] == [key]
    assert store.get(key) == b"pixels"


def test_a_store_travels_as_its_uri(store: ObjectStore, store_uri: str) -> None:
    store.put("key", b"value")
    copy = pickle.loads(pickle.dumps(store))
    assert copy.get("key") == b"value"
    assert copy.uri == store.uri == store_uri


def test_an_object_has_a_full_name(store: ObjectStore) -> None:
    assert store.uri_of("a/b") == f"{store.uri}/a/b"


def test_stores_with_nested_roots_share_objects(store: ObjectStore, store_uri: str) -> None:
    open_store(f"{store_uri}/inner/").put("key", b"value")
    assert store.get("inner/key") == b"value"


def test_a_range_is_those_bytes_and_ends_where_the_object_does(store: ObjectStore) -> None:
    store.put("key", b"0123456789")
    ranges = [(0, 10), (3, 7), (9, 10), (4, 4), (8, 99), (10, 12), (50, 60), (0, 0)]
    assert [store.get_range("key", start, stop) for start, stop in ranges] == [
        b"0123456789"[start:stop] for start, stop in ranges
    ]
    store.put("empty", b"")
    assert store.get_range("empty", 0, 5) == b""
    with pytest.raises(ObjectNotFoundError, match="nowhere"):
        store.get_range("nowhere", 0, 1)

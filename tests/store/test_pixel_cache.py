"""Decoded images in a store: they come back as they were, or it is said what is wrong; and what of them may go."""

from __future__ import annotations

import pickle
import uuid
from collections.abc import Iterator

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import InputError, IntegrityError, RetryLaterError
from augment.objects import MemoryStore, ObjectStore, StoredObject, open_store
from augment.store import pixel_cache
from augment.store.collect import collect
from augment.store.commit import begin_run
from augment.store.pixel_cache import CachedImages, PixelCache, put_images, read_images, unused_objects
from augment.types import sha256_hex
from tests.store.helpers import tiny_run

KEY, OTHER = "a" * 64, "b" * 64


def images(count: int = 7, size: int = 16, channels: int = 3, seed: int = 0) -> CachedImages:
    rng = np.random.default_rng(seed)
    return CachedImages(
        rng.integers(0, 256, (count, size, size, channels), np.uint8),
        rng.integers(-1, 5, count),
        [f"cat/{number} é\n.png" for number in range(count)],
    )


def memory(key: str = KEY) -> PixelCache:
    return PixelCache(open_store(f"memory://{uuid.uuid4().hex}"), key)


def keys(cache: PixelCache) -> list[str]:
    return [found.key for found in cache.store.list()]


def keep(cache: PixelCache, given: CachedImages, found: str) -> None:
    cache.commit(cache.put_parts(given, found))


def read(cache: PixelCache) -> CachedImages:
    index = cache.index()
    assert index is not None
    return cache.read(index)


def assert_equal(found: CachedImages, expected: CachedImages) -> None:
    np.testing.assert_array_equal(found.pixels_NHWC, expected.pixels_NHWC)
    np.testing.assert_array_equal(found.class_index_N, expected.class_index_N)
    assert found.names_N == expected.names_N
    assert (found.pixels_NHWC.dtype, found.class_index_N.dtype) == (np.uint8, np.int64)


# ---- what comes back ------------------------------------------------------------------------------------


def test_images_come_back_from_every_store_with_what_was_found(store_uri: str) -> None:
    cache = PixelCache(open_store(store_uri), KEY)
    assert cache.index() is None
    keep(cache, images(), "two were bad")
    index = cache.index()
    assert index is not None
    assert (index.found, index.images, index.image.size, index.image.channels) == ("two were bad", 7, 16, 3)
    assert_equal(cache.read(index), images())
    assert PixelCache(cache.store, OTHER).index() is None


@settings(max_examples=40)
@given(count=st.integers(1, 40), channels=st.sampled_from([1, 3]), part_bytes=st.integers(1, 9_000))
def test_images_come_back_however_they_are_cut_into_parts(count: int, channels: int, part_bytes: int) -> None:
    cache, given_images = memory(), images(count, 16, channels, seed=count)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(pixel_cache, "_PART_BYTES", part_bytes)
        keep(cache, given_images, "")
    index = cache.index()
    assert index is not None
    assert len(index.parts) == -(-count // max(1, part_bytes // (256 * channels)))
    assert_equal(cache.read(index), given_images)


def test_a_worker_gets_its_cache_by_pickle_and_gives_the_images_as_three_values() -> None:
    cache = memory()
    sent = pickle.loads(pickle.dumps(cache))
    index = put_images(sent, *images(), "found")
    assert sent.index() is None  # not before it is committed
    sent.commit(index)
    assert sent.index() == index
    pixels_NHWC, class_index_N, names_N = read_images(pickle.loads(pickle.dumps(cache)), index)
    assert_equal(CachedImages(pixels_NHWC, class_index_N, names_N), images())


def test_the_same_images_lie_under_the_same_keys() -> None:
    once, again = memory(), memory()
    for cache in (once, again, again):
        keep(cache, images(), "")
    assert keys(once) == keys(again)


# ---- what is wrong --------------------------------------------------------------------------------------


@settings(max_examples=60)
@given(data=st.data())
def test_no_changed_byte_of_any_object_is_believed(data: st.DataObject) -> None:
    cache = memory()
    keep(cache, images(count=2, channels=1), "found")
    key = data.draw(st.sampled_from(keys(cache)))
    content = bytearray(cache.store.get(key))
    content[data.draw(st.integers(0, len(content) - 1))] ^= data.draw(st.integers(1, 255))
    cache.store.put(key, bytes(content))
    with pytest.raises(IntegrityError, match="is damaged: its bytes have another digest") as caught:
        read(cache)
    assert key in str(caught.value)


def test_a_part_that_is_missing_is_named() -> None:
    cache = memory()
    keep(cache, images(), "")
    for key in [key for key in keys(cache) if not key.endswith("index.json")]:
        content = cache.store.get(key)
        cache.store.delete(key)
        with pytest.raises(IntegrityError, match="is missing") as caught:
            read(cache)
        assert key in str(caught.value)
        cache.store.put(key, content)
    assert_equal(read(cache), images())


def test_a_part_of_other_length_is_not_laid_over_its_neighbours() -> None:
    cache = memory()
    keep(cache, images(), "")
    index = cache.index()
    assert index is not None
    fewer = index.model_copy(update={"parts": (index.parts[0].model_copy(update={"images": 6}),)})
    with pytest.raises(IntegrityError, match=r"has 5,376 bytes, not 4,608"):
        cache.read(fewer)


def test_an_index_of_another_release_is_none_that_can_be_read() -> None:
    cache = memory()
    body = b'{"made":"later"}'
    cache.store.put(f"_cache/pixels/{KEY}/index.json", sha256_hex(body).encode() + b"\n" + body)
    with pytest.raises(IntegrityError, match=r"index\.json is none that this release reads"):
        cache.index()


def test_without_its_index_what_a_killed_writer_left_is_nothing() -> None:
    cache = memory()
    cache.put_parts(images(), "")
    assert cache.index() is None


def test_writing_again_mends_what_was_damaged() -> None:
    cache = memory()
    keep(cache, images(), "")
    for key in keys(cache):
        cache.store.put(key, b"rust")
    keep(cache, images(), "")
    assert_equal(read(cache), images())


class Failing(MemoryStore):
    """A memory store with room for so many objects."""

    room = 0

    def put(self, key: str, data: bytes) -> None:
        if len(list(self.list())) >= self.room:
            raise RetryLaterError("no space left; free some space and run again")
        super().put(key, data)


@pytest.mark.parametrize("room", range(4))
def test_a_disk_that_fills_up_keeps_nothing_of_it(room: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(pixel_cache, "_PART_BYTES", 3 * 768)
    monkeypatch.setattr(pixel_cache, "_THREADS", 1)
    store = Failing(f"memory://{uuid.uuid4().hex}")
    store.room = room  # three parts, and their rows: four objects
    cache = PixelCache(store, KEY)
    with pytest.raises(RetryLaterError, match="no space left"):
        keep(cache, images(), "")
    assert keys(cache) == []


# ---- what may go ----------------------------------------------------------------------------------------


class Aged(MemoryStore):
    """A memory store whose objects were put at the times of `put_at_s`; others now."""

    put_at_s: dict[str, float]

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        for found in super().list(prefix):
            yield StoredObject(found.key, found.size, self.put_at_s.get(found.key, found.modified_s))


@pytest.fixture
def aged() -> Aged:
    store = Aged(f"memory://{uuid.uuid4().hex}")
    store.put_at_s = {}
    return store


def age(store: Aged, prefix: str) -> list[str]:
    """Everything below `prefix` was put in 1970; its keys."""
    found = [each.key for each in store.list(prefix)]
    store.put_at_s |= dict.fromkeys(found, 1.0)
    return found


def unused(store: ObjectStore) -> list[str]:
    return [found.key for found in unused_objects(store, until_s=1_000.0)]


def test_a_cache_that_nobody_used_may_go_and_its_index_goes_first(aged: Aged) -> None:
    keep(PixelCache(aged, KEY), images(), "")
    keep(PixelCache(aged, OTHER), images(), "")
    assert unused(aged) == []
    old = age(aged, f"_cache/pixels/{KEY}/")
    assert unused(aged) == sorted(old, key=lambda key: (not key.endswith("index.json"), key))
    assert unused(aged)[0].endswith("index.json")


def test_a_cache_that_was_read_since_stays_whole(aged: Aged) -> None:
    cache = PixelCache(aged, KEY)
    keep(cache, images(), "")
    age(aged, "")
    cache.mark_used()
    assert unused(aged) == []
    assert_equal(read(cache), images())


def test_leftovers_in_a_cache_that_is_used_may_go(aged: Aged) -> None:
    cache = PixelCache(aged, KEY)
    keep(cache, images(), "")
    aged.put(f"_cache/pixels/{KEY}/00000-{'c' * 64}.u8", b"of a source that was being written")
    age(aged, "")
    cache.mark_used()
    assert unused(aged) == [f"_cache/pixels/{KEY}/00000-{'c' * 64}.u8"]


def test_the_collector_takes_unused_caches_even_where_no_run_was_begun(aged: Aged) -> None:
    keep(PixelCache(aged, KEY), images(), "")
    keys_before = age(aged, "")
    shown = collect(aged)
    assert [(found.reason, found.run_id, len(found.keys)) for found in shown.garbage] == [("unused", None, 3)]
    assert [found.key for found in aged.list()] == keys_before
    assert collect(aged, delete=True).size_bytes == shown.size_bytes
    assert list(aged.list()) == []
    with pytest.raises(InputError, match="nothing was ever begun"):
        collect(aged)


def test_a_used_cache_and_a_young_run_outlive_the_collector(aged: Aged) -> None:
    begin_run(aged, tiny_run())
    keep(PixelCache(aged, KEY), images(), "")
    assert collect(aged, delete=True).garbage == ()
    assert_equal(read(PixelCache(aged, KEY)), images())

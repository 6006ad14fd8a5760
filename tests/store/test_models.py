"""A model's folder: its snapshots, and its generator with its critic, whoever writes and whenever they die."""

from __future__ import annotations

import threading

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import ConfigError, IntegrityError
from augment.objects import MemoryStore, open_store
from augment.store.collect import collect
from augment.store.models import (
    ClassQuality,
    ModelFolder,
    ModelRecord,
    find_generator,
    snapshot_sha256,
)
from augment.store.revoke import revoke_model
from augment.types import sha256_hex
from tests.store.helpers import CrashError, WatchedStore, commit, crash_at, tiny_run

FILES = ("state.safetensors", "snapshot.json")


@pytest.fixture
def store(request):
    store = MemoryStore(f"memory://{request.node.name}")
    yield store
    for stored in list(store.list()):
        store.delete(stored.key)


@pytest.fixture
def folder(store):
    return ModelFolder(store, "m")


def files(step: int, attempt: int = 0) -> dict[str, bytes]:
    return {name: f"{name} {attempt} {step}".encode() for name in FILES}


def put(folder: ModelFolder, step: int, *, attempt: int = 0, best: bool = False) -> None:
    folder.put_snapshot(files(step, attempt), step=step, attempt=attempt, best=best)


def names(folder: ModelFolder) -> list[str]:
    """Complete snapshots without their digests."""
    keys = [stored.key for stored in folder.store.list(f"{folder.root}/snapshots/")]
    found = [key.split("/")[-2] for key in keys if key.endswith("/snapshot.json")]
    return ["-".join(part for part in name.split("-") if len(part) != 16) for name in found]


def test_the_last_two_and_the_last_best_are_kept(folder):
    for step in range(10, 70, 10):
        put(folder, step, best=step in (10, 20))

    assert names(folder) == ["0000-0000000020-best", "0000-0000000050", "0000-0000000060"]
    assert folder.latest_snapshot() == files(60)
    assert folder.best_snapshot() == files(20)
    assert folder.latest_step() == 60


def test_a_snapshot_after_going_back_in_steps_is_the_newest(folder):
    put(folder, 80, best=True)
    put(folder, 100)
    put(folder, 80, attempt=1)

    assert folder.latest_snapshot() == files(80, attempt=1)
    assert folder.best_snapshot() == files(80)
    put(folder, 100, attempt=1)
    assert names(folder) == ["0000-0000000080-best", "0001-0000000080", "0001-0000000100"]


def test_a_folder_without_snapshots_has_none(folder):
    assert (folder.latest_snapshot(), folder.best_snapshot(), folder.latest_step()) == (None, None, None)


def test_a_snapshot_is_found_by_its_digest_while_it_is_kept(folder):
    put(folder, 10)
    put(folder, 20)
    assert folder.snapshot_of(snapshot_sha256(files(10))) == files(10)
    put(folder, 30)
    assert folder.snapshot_of(snapshot_sha256(files(10))) is None


@pytest.mark.parametrize("operation", range(16))
def test_a_writer_that_dies_anywhere_leaves_whole_snapshots_and_the_next_one_cleans_up(store, operation):
    whole = ModelFolder(store, "m")
    put(whole, 10, best=True)
    put(whole, 20)
    put(whole, 30)
    dying = ModelFolder(WatchedStore(store, before=crash_at(operation)), "m")

    try:
        put(dying, 40, best=True)
        put(dying, 50)
    except CrashError:
        pass

    assert whole.latest_snapshot() in (files(30), files(40), files(50))
    best = whole.best_snapshot()
    assert best == files(10) or best == files(40)
    put(whole, 40, best=True)
    put(whole, 50)
    put(whole, 60)
    assert names(whole) == ["0000-0000000040-best", "0000-0000000050", "0000-0000000060"]
    stray = [stored.key for stored in store.list(f"{whole.root}/snapshots/") if "0000000030" in stored.key]
    assert stray == []


@settings(max_examples=60, deadline=None)
@given(
    st.lists(
        st.tuples(st.sampled_from((0, 1)), st.integers(0, 1), st.integers(1, 6), st.booleans()), max_size=14
    )
)
def test_whatever_two_drivers_store_the_last_and_the_last_best_can_be_read(puts):
    store = MemoryStore(f"memory://two-drivers-{threading.get_ident()}")
    for stored in list(store.list()):
        store.delete(stored.key)
    folders = (ModelFolder(store, "m"), ModelFolder(store, "m"))
    for driver, attempt, step, best in puts:
        put(folders[driver], step, attempt=attempt, best=best)

    newest = max(((attempt, step) for _, attempt, step, _ in puts), default=None)
    newest_best = max(((attempt, step) for _, attempt, step, best in puts if best), default=None)
    assert folders[0].latest_snapshot() == (newest and files(newest[1], newest[0]))
    assert folders[0].best_snapshot() == (newest_best and files(newest_best[1], newest_best[0]))


def test_a_reader_never_sees_half_a_snapshot_that_another_driver_is_dropping(store):
    writer = ModelFolder(store, "m")
    put(writer, 10)
    step = 10

    def overtake(n: int) -> None:
        nonlocal step
        if n in (1, 2, 4):  # while the reader lists and reads
            for _ in range(2):
                step += 10
                put(writer, step)

    found = ModelFolder(WatchedStore(store, after=overtake), "m").latest_snapshot()

    assert found is not None
    assert set(found) == set(FILES)


def test_the_first_judge_stored_holds(folder):
    first, second = folder.put_judge(b"one"), folder.put_judge(b"two")

    assert first == second == folder.judge()
    assert folder.store.get(first.key) == b"one"


def test_how_training_went_is_part_of_the_finished_model(folder):
    quality = (ClassQuality(name="bag", frechet=1.5, recall=0.5), ClassQuality(name="boot", frechet=None))
    record = folder.publish(
        b"weights", steps=9, training_sha256="ab", ended="plateau", best_step=5, evaluation=quality
    )

    assert folder.finished() == record
    assert (record.ended, record.best_step, record.evaluation) == ("plateau", 5, quality)


def test_a_model_without_measurements_can_be_read(folder):
    folder.store.put(f"{folder.root}/model.json", b'{"key":"k","sha256":"s","steps":3,"training_sha256":"t"}')
    record = folder.finished()
    assert record is not None
    assert (record.ended, record.best_step, record.evaluation) == (None, None, ())


# ---- the critic beside the generator ------------------------------------------------------------------


def published(folder: ModelFolder, driver: str) -> ModelRecord:
    """What a driver publishes; two drivers' networks differ, as those of trainings by the clock do."""
    return folder.publish(
        f"generator of {driver}".encode(),
        critic=f"critic of {driver}".encode(),
        steps=9,
        training_sha256="ab",
    )


def drivers_of(folder: ModelFolder, record: ModelRecord) -> set[str]:
    """Whose generator and whose critic a record names, by their bytes."""
    assert record.critic_key is not None
    pair = ((record.key, record.sha256), (record.critic_key, record.critic_sha256))
    for key, sha256 in pair:
        assert sha256_hex(folder.store.get(key)) == sha256
    return {folder.store.get(key).decode().rpartition(" ")[2] for key, _ in pair}


def test_generator_and_critic_lie_side_by_side_under_their_digests(folder):
    record = published(folder, "one")

    assert record == folder.finished()
    assert drivers_of(folder, record) == {"one"}
    assert [stored.key for stored in folder.store.list()] == sorted(
        (
            f"_models/m/critic-{record.critic_sha256}.safetensors",
            f"_models/m/generator-{record.sha256}.safetensors",
            "_models/m/model.json",
        )
    )


def test_the_critic_changes_nothing_of_the_generators_key(folder, store):
    with_it = published(folder, "one")
    without = ModelFolder(store, "other").publish(b"generator of one", steps=9, training_sha256="ab")

    assert with_it.sha256 == without.sha256
    assert with_it.key == without.key.replace("/other/", "/m/")
    assert find_generator(store, with_it.sha256).key == with_it.key
    assert find_generator(store, with_it.critic_sha256) is None


@pytest.mark.parametrize("operation", range(5))
@pytest.mark.parametrize("when", ["before", "after"])
def test_a_driver_that_dies_anywhere_leaves_a_whole_pair_or_none(store, operation, when):
    folder = ModelFolder(store, "m")
    dying = ModelFolder(WatchedStore(store, **{when: crash_at(operation)}), "m")
    try:
        published(dying, "one")
    except CrashError:
        left = folder.finished()
        assert left is None or drivers_of(folder, left) == {"one"}

    holds = published(folder, "two")  # the next driver, which trained on from the last snapshot
    assert drivers_of(folder, holds) in ({"one"}, {"two"})
    assert folder.finished() == holds == published(folder, "three")


@pytest.mark.parametrize("operation", range(3))
def test_of_drivers_that_race_both_are_told_the_same_whole_pair(store, operation):
    folder, told = ModelFolder(store, "m"), []

    def overtake(n: int) -> None:
        if n == operation:
            told.append(published(folder, "two"))

    told.append(published(ModelFolder(WatchedStore(store, before=overtake), "m"), "one"))
    assert len(told) == 2
    assert told[0] == told[1] == folder.finished()
    assert drivers_of(folder, told[0]) == {"two"}


def test_a_model_of_before_critics_were_kept_has_none(folder):
    folder.store.put(f"{folder.root}/model.json", b'{"key":"k","sha256":"s","steps":3,"training_sha256":"t"}')
    record = folder.finished()
    assert (record.critic_key, record.critic_sha256) == (None, None)


def test_half_a_critic_is_no_record(folder):
    folder.store.put(
        f"{folder.root}/model.json",
        b'{"key":"k","sha256":"s","steps":3,"training_sha256":"t","critic_key":"c"}',
    )
    with pytest.raises(IntegrityError, match="critic_key and critic_sha256 belong together"):
        folder.finished()


def test_neither_a_revocation_nor_a_collector_without_grace_touches_a_models_files(store):
    run = tiny_run()
    commit(store, run)
    published(ModelFolder(store, "m"), "one")
    before = {stored.key: store.get(stored.key) for stored in store.list("_models/")}

    revoke_model(store, run.generator_sha256, "wrong labels")
    report = collect(store, grace_s=0, delete=True)

    assert report.objects > 0
    assert {stored.key: store.get(stored.key) for stored in store.list("_models/")} == before
    assert len(before) == 3


def test_a_record_that_cannot_be_read_is_named(folder):
    folder.store.put(f"{folder.root}/judge.json", b"{}")
    with pytest.raises(IntegrityError, match=r"judge\.json is not a valid JudgeRecord"):
        folder.judge()


def test_a_folder_is_found_by_its_uri(tmp_path):
    ModelFolder(open_store(str(tmp_path / "data")), "m").put_judge(b"judge")
    found = ModelFolder.at(f"{tmp_path}/data/_models/m/", field="train.start_from")

    assert found.judge() is not None
    assert found.uri == f"{tmp_path}/data/_models/m"


@pytest.mark.parametrize("uri", ["data", "data/_models/", "_models/m", "data/_models/m/snapshots"])
def test_a_uri_of_something_else_is_a_config_error(uri):
    with pytest.raises(ConfigError, match=r"train\.start_from=.* <dataset>/_models/<name>"):
        ModelFolder.at(uri, field="train.start_from")

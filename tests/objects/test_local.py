"""A folder as a store: durable, invisible until finished, and no way out of it."""

from __future__ import annotations

import errno
import os
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

from augment.errors import ConfigError, InputError, RetryLaterError
from augment.objects import LocalStore


def test_a_write_that_fails_leaves_nothing(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    store = LocalStore(str(tmp_path / "store"))

    def full_disk(descriptor: int) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(os, "fsync", full_disk)
    with pytest.raises(RetryLaterError, match="No space left"):
        store.put_if_absent("data/shard", b"x" * 100)
    monkeypatch.undo()
    assert list(store.list()) == []
    assert [path for path in tmp_path.rglob("*") if path.is_file()] == []


def test_an_unfinished_write_of_a_killed_process_is_not_listed(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.put("data/a", b"1")
    (tmp_path / ".augment-tmp" / "0123").write_bytes(b"half")
    assert [found.key for found in store.list()] == ["data/a"]


def test_a_symbolic_link_leads_no_write_out_of_the_root(tmp_path: Path) -> None:
    (tmp_path / "store").mkdir()
    (tmp_path / "elsewhere").mkdir()
    (tmp_path / "store" / "link").symlink_to(tmp_path / "elsewhere")
    with pytest.raises(ConfigError, match="symbolic link"):
        LocalStore(str(tmp_path / "store")).put_if_absent("link/key", b"")
    assert list((tmp_path / "elsewhere").iterdir()) == []


def test_linked_class_folders_are_read(tmp_path: Path) -> None:
    (tmp_path / "cats").mkdir()
    (tmp_path / "cats" / "1.png").write_bytes(b"cat")
    (tmp_path / "store").mkdir()
    (tmp_path / "store" / "linked").symlink_to(tmp_path / "cats")
    assert [found.key for found in LocalStore(str(tmp_path / "store")).list()] == ["linked/1.png"]


def test_a_folder_linked_into_itself_is_named(tmp_path: Path) -> None:
    (tmp_path / "a").mkdir()
    (tmp_path / "a" / "loop").symlink_to(tmp_path / "a")
    with pytest.raises(InputError, match="loop"):
        list(LocalStore(str(tmp_path)).list())


def test_a_link_to_nothing_is_not_listed(tmp_path: Path) -> None:
    (tmp_path / "dangling").symlink_to(tmp_path / "nowhere")
    assert list(LocalStore(str(tmp_path)).list()) == []


def test_a_root_that_is_a_file_is_named(tmp_path: Path) -> None:
    (tmp_path / "data.parquet").write_bytes(b"")
    with pytest.raises(InputError, match=r"data\.parquet is a file"):
        list(LocalStore(str(tmp_path / "data.parquet")).list())


def test_a_root_that_cannot_be_a_folder_is_named(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"")
    with pytest.raises(ConfigError, match="file"):
        LocalStore(str(tmp_path / "file")).put_if_absent("key", b"")


def test_files_have_the_usual_mode_of_this_user(tmp_path: Path) -> None:
    store = LocalStore(str(tmp_path))
    store.put_if_absent("key", b"")
    (tmp_path / "other").touch()
    assert (tmp_path / "key").stat().st_mode == (tmp_path / "other").stat().st_mode


def test_a_home_folder_is_expanded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    assert LocalStore("~/set").uri == f"{tmp_path}/set"


def test_writers_and_a_deleter_of_the_same_folder_do_not_trouble_each_other(tmp_path: Path) -> None:
    """A deletion removes the folders that it leaves empty, in which a writer may be about to put something."""
    store = LocalStore(str(tmp_path / "store"))

    def write_and_delete(writer: int) -> None:
        for round_ in range(200):
            assert store.put_if_absent(f"a/b/c/{writer}-{round_}", b"x")
            store.delete(f"a/b/c/{writer}-{round_}")

    def list_all(_: int) -> None:
        for _ in range(200):
            assert all(found.size == 1 for found in store.list())

    with ThreadPoolExecutor(4) as pool:
        list(
            pool.map(lambda act: act[0](act[1]), [(write_and_delete, n) for n in range(3)] + [(list_all, 0)])
        )
    assert list(store.list()) == []


def test_a_disk_too_full_for_a_folder_is_no_fault_of_the_place(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full_disk(path: object, mode: int = 0o777) -> None:
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(os, "mkdir", full_disk)
    with pytest.raises(RetryLaterError, match="free some space"):
        LocalStore(str(tmp_path / "store")).put("data/shard", b"x")

"""What each layout makes of names and rows."""

from __future__ import annotations

import io
import re
import tarfile
import uuid
from urllib.parse import unquote

import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.objects import open_store
from augment.report.describing import export
from augment.store.layouts import LAYOUTS
from augment.store.layouts.folder import class_folder
from augment.store.layouts.hive import class_key
from augment.store.reading import open_dataset
from augment.types import ClassTarget
from tests.store.helpers import commit, tiny_run

NAMES = st.text(st.characters(exclude_categories=["Cs"]), max_size=400)


@given(NAMES)
def test_a_hive_key_is_a_folder_that_any_file_system_holds(name: str) -> None:
    key = class_key(name)
    assert re.fullmatch(r"[A-Za-z0-9_.~%-]{1,249}", key)
    if unquote(key) != name:
        assert re.search(r"~[0-9a-f]{16}$", key)
        unquote(key.rpartition("~")[0], errors="strict")


@given(NAMES, NAMES)
def test_two_names_have_two_hive_keys(one: str, other: str) -> None:
    assert (class_key(one) == class_key(other)) == (one == other)


@pytest.mark.parametrize("name", ["a/b", "..", "%2F", "=", "x" * 200, "null", "dog | wild"])
def test_a_hive_key_is_the_url_quoted_name(name: str) -> None:
    assert unquote(class_key(name)) == name
    assert "/" not in class_key(name)


@pytest.mark.parametrize("name", ["", "x" * 201, "é" * 100, "__HIVE_DEFAULT_PARTITION__"])
def test_a_name_that_a_folder_cannot_hold_is_cut_with_a_hash(name: str) -> None:
    assert re.search(r"~[0-9a-f]{16}$", class_key(name))
    assert len(class_key(name)) <= 200


@given(st.integers(-(2**63), 2**63 - 1), NAMES)
def test_a_class_folder_is_plain(label: int, name: str) -> None:
    folder = class_folder(label, name)
    assert re.fullmatch(r"-?\d{4,}(-[a-z0-9-]*[a-z0-9])?", folder)
    assert int(re.match(r"-?\d+", folder)[0]) == label  # type: ignore[index]
    assert LAYOUTS["folder"].owns.fullmatch(f"{folder}/{'0' * 32}.png")


def test_class_folders_sort_by_label_and_are_never_shared() -> None:
    folders = [
        class_folder(label, name) for label, name in enumerate(["Case", "case", "..", "a/b", "Ünï çode"])
    ]
    assert folders == ["00000-case", "00001-case", "00002", "00003-a-b", "00004-uni-code"]


@pytest.mark.parametrize("image_format", ["png", "webp"])
def test_a_tar_holds_three_members_a_sample_and_nothing_of_this_machine(image_format: str) -> None:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    commit(store, tiny_run(image_format=image_format))
    target = open_store(f"memory://{uuid.uuid4().hex}")
    export(open_dataset(store.uri), target.uri, "webdataset")
    with tarfile.open(fileobj=io.BytesIO(target.get("data/000000.tar"))) as tar:
        members = tar.getmembers()
    assert {(one.mtime, one.uid, one.gid, one.uname, one.gname) for one in members} == {(0, 0, 0, "", "")}
    suffixes = [one.name.partition(".")[2] for one in members]
    assert suffixes == [image_format, "cls", "json"] * 4


def test_hive_files_hold_one_class_each_and_not_the_key() -> None:
    classes = tuple(
        ClassTarget(label=label, name=name, real=0, target=3) for label, name in ((5, "b"), (2, "a"))
    )
    store = open_store(f"memory://{uuid.uuid4().hex}")
    commit(store, tiny_run(classes=classes))
    target = open_store(f"memory://{uuid.uuid4().hex}")
    export(open_dataset(store.uri), target.uri, "hive")
    found = {}
    for item in target.list("data/"):
        table = pq.read_table(io.BytesIO(target.get(item.key)))
        assert "class" not in table.column_names
        found[item.key] = table["label_name"].to_pylist()
    assert found == {
        "data/class=a/000000-2.parquet": ["a"],
        "data/class=a/000001-2.parquet": ["a", "a"],
        "data/class=b/000000-5.parquet": ["b", "b", "b"],
    }

"""What a source's URI means: a folder, a file, or the files that a glob chooses."""

from __future__ import annotations

import fnmatch
import os
import uuid
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.data.places import EtagDigest, is_hidden, place_of, root_of, suffix_of
from augment.errors import ConfigError
from augment.objects import StoredObject
from tests.data.factory import write_files
from tests.data.layouts import put_all

KEYS = ["a/1.csv", "a/b/2.csv", "a/b/c/3.csv", "a/.x/4.csv", "b/1.csv", "top.csv", "a/1.txt", "a/[1].csv"]


def keys_of(uri: str) -> list[str]:
    return [item.key for item in place_of(uri).objects()]


@pytest.mark.parametrize(
    ("pattern", "chosen"),
    [
        ("*.csv", ["top.csv"]),
        ("*/*.csv", ["a/1.csv", "a/[1].csv", "b/1.csv"]),
        ("**/*.csv", ["a/1.csv", "a/[1].csv", "a/b/2.csv", "a/b/c/3.csv", "b/1.csv", "top.csv"]),
        ("a/**/[23].csv", ["b/2.csv", "b/c/3.csv"]),
        ("a/?.csv", ["1.csv"]),
        ("a/[!1].csv", []),
        ("a/[[]1].csv", ["[1].csv"]),
        ("?/b", ["a/b/2.csv", "a/b/c/3.csv"]),
    ],
)
@pytest.mark.parametrize("kind", ["memory", "local"])
def test_a_glob_chooses_within_folders_or_across_them(
    tmp_path: Path, pattern: str, chosen: list[str], kind: str
) -> None:
    uri = str(tmp_path) if kind == "local" else f"memory://{uuid.uuid4().hex}/x"
    put_all(uri, dict.fromkeys(KEYS, b"1"))
    assert keys_of(f"{uri}/{pattern}") == chosen


@given(
    name=st.text("ab.-[]", min_size=1, max_size=6).filter(lambda name: name not in (".", "..")),
    pattern=st.text("ab.-*?", min_size=1, max_size=6).filter(
        lambda text: set(text) & set("*?") and "**" not in text
    ),
)
def test_within_a_name_a_glob_means_what_fnmatch_does(name: str, pattern: str) -> None:
    uri = put_all(f"memory://{uuid.uuid4().hex}", {name: b"1"})
    expected = fnmatch.fnmatchcase(name, pattern) and not name.startswith(".")
    assert keys_of(f"{uri}/{pattern}") == ([name] if expected else [])


def test_what_exists_by_its_literal_name_is_meant_literally(tmp_path: Path) -> None:
    put_all(str(tmp_path), {"set[1]/a.csv": b"1", "set1/b.csv": b"1"})
    assert keys_of(f"{tmp_path}/set[1]") == ["a.csv"]
    assert keys_of(f"{tmp_path}/set[1]/a.csv") == ["a.csv"]
    assert place_of(f"{tmp_path}/set[1]/a.csv").only_key == "a.csv"


def test_one_file_is_a_place_of_one_key_and_a_folder_may_be_named_like_a_file(tmp_path: Path) -> None:
    put_all(str(tmp_path), {"x.parquet": b"1", "x.parquet2": b"1", "y.parquet/part": b"1"})
    assert keys_of(f"{tmp_path}/x.parquet") == ["x.parquet"]
    assert keys_of(f"{tmp_path}/y.parquet") == ["part"]
    assert place_of(f"{tmp_path}/y.parquet").only_key == ""


def test_a_relative_glob_begins_in_this_folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    put_all(str(tmp_path), {"a.csv": b"1", "b/c.csv": b"1"})
    monkeypatch.chdir(tmp_path)
    assert keys_of("*.csv") == ["a.csv"]
    assert keys_of("b/*") == ["c.csv"]
    assert keys_of("a.csv") == ["a.csv"]


def test_a_wildcard_cant_stand_for_a_bucket_nor_a_class_be_backward() -> None:
    with pytest.raises(ConfigError, match="can't stand for a bucket"):
        place_of("s3://b*/a")
    with pytest.raises(ConfigError, match="is not a glob"):
        list(place_of("memory://x/[z-a]").objects())


def test_the_root_of_a_glob_is_the_folder_that_all_its_files_lie_below() -> None:
    assert root_of("s3://b/a/**/x.parquet") == "s3://b/a"
    assert root_of("s3://b/a/*/x.parquet") == "s3://b/a"
    assert root_of("s3://b/a/*.parquet") == "s3://b/a/*.parquet"
    assert root_of("data/train") == "data/train"


def test_suffixes_are_lower_case_and_hidden_parts_count() -> None:
    assert [suffix_of(key) for key in ("a.b/c.PNG", "a.b/c", ".x", "a/.png", "c.", "a.tar.gz")] == [
        ".png", "", "", "", "", ".gz",
    ]  # fmt: skip
    assert [is_hidden(key) for key in (".a", "a/.b/c", "a.b/c")] == [True, True, False]
    assert [is_hidden(key) for key in ("a/@eaDir/b", "__MACOSX/a", "a@eaDir/b", "__init__/a")] == [
        True, True, False, False,
    ]  # fmt: skip


def test_hidden_files_are_listed_only_for_whoever_asks_for_them_and_obey_the_glob(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/1.png": b"x", "a/.b/2.png": b"x", ".c/3.png": b"x"})
    everything, below_a = place_of(str(tmp_path)), place_of(f"{tmp_path}/a/**/*.png")
    assert [item.key for item in everything.objects()] == ["a/1.png"]
    assert [item.key for item in everything.objects_and_hidden()] == [".c/3.png", "a/.b/2.png", "a/1.png"]
    assert [item.key for item in below_a.objects_and_hidden()] == [".b/2.png", "1.png"]


def test_an_etag_digest_follows_keys_sizes_etags_and_without_etags_times() -> None:
    def digest(*items: StoredObject) -> str:
        found = EtagDigest()
        for item in items:
            found.add(item)
        return found.hexdigest()

    base = StoredObject("a", 1, 5.0, "e")
    assert digest(base) == digest(StoredObject("a", 1, 6.0, "e"))
    others = [StoredObject("b", 1, 5.0, "e"), StoredObject("a", 2, 5.0, "e"), StoredObject("a", 1, 5.0, "f")]
    timed = [StoredObject("a", 1, 5.0), StoredObject("a", 1, 5.000001)]
    assert len({digest(item) for item in [base, *others, *timed]}) == 6


def test_a_home_folder_is_found(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("HOME", str(tmp_path))
    put_all(str(tmp_path), {"set/a.csv": b"1"})
    assert keys_of(os.path.join("~", "set")) == ["a.csv"]

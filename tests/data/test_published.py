"""What published rows call a real image: never a place, and found again by whoever has the config."""

from __future__ import annotations

import uuid
from collections.abc import Mapping
from pathlib import Path

import pyarrow as pa
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.data.config import SourceConfig
from augment.data.listing import FoundImage, Source
from augment.data.published import name_below, numbered_name, placeless_name
from augment.data.sources import open_source
from tests.data.layouts import LAYOUTS, Row, put_all, tar_bytes
from tests.data.test_parquet import write_parquet

ROWS = [Row(b"1", "cat", "train"), Row(b"2", "dog", "train"), Row(b"3", "cat", "train")]


def published(source: Source) -> list[str]:
    return [item.published for chunk in source.chunks() for item in source.read(chunk)]


def opened(uri: str | tuple[str, ...], **config: object) -> Source:
    return open_source(SourceConfig.model_validate({"uri": uri, **config}))


# ---- the form -----------------------------------------------------------------------------------------


@pytest.mark.parametrize(
    "name", ["cat/1.png", "a.parquet#3 (img/1.png)", "s.tar#a/b", "C3/x.png", "@a/1.png", "a:b.png"]
)
def test_a_relative_name_is_published_as_it_is(name: str) -> None:
    assert placeless_name(name) == name


@pytest.mark.parametrize(
    "place",
    ["/home/ann/cats/1.png", "s3://secret-bucket/cats/1.png", "C:\\Users\\ann\\1.png", "\\\\server\\ann\\1.png",
     "~/ann/1.png", "../../ann/1.png", "file:/home/ann/1.png", "zip://ann.zip::https://x/1.png"],
)  # fmt: skip
def test_a_place_is_published_as_a_digest_and_the_last_part(place: str) -> None:
    name = placeless_name(place)
    assert name.startswith("@")
    assert name.endswith("/1.png")
    assert "ann" not in name
    assert "secret" not in name
    assert placeless_name(name) == name


@given(st.text(), st.text(min_size=1))
def test_whatever_a_name_is_it_is_published_without_a_root_or_a_scheme(folder: str, last: str) -> None:
    for place in (f"/{folder}/{last}", f"s3://{folder}/{last}"):
        name = placeless_name(place)
        assert not name.startswith(("/", "\\", "~"))
        assert "://" not in name.partition("/")[0]


@given(st.sets(st.from_regex(r"[a-z]{1,4}(/[a-z]{1,3}){0,2}", fullmatch=True), min_size=2))
def test_two_places_never_share_a_name(places: set[str]) -> None:
    assert len({name_below(f"/{place}", "/elsewhere") for place in places}) == len(places)


def test_a_place_below_the_root_is_relative_to_it_and_a_neighbour_of_the_root_is_not() -> None:
    assert name_below("/data/set/img/1.png", "/data/set") == "img/1.png"
    assert name_below("/data/set2/1.png", "/data/set").startswith("@")


def test_the_uri_is_numbered_only_where_there_are_several() -> None:
    assert numbered_name("cat/1.png", 0, 1) == "cat/1.png"
    assert numbered_name("cat/1.png", 1, 2) == "uri[1]/cat/1.png"


# ---- every format -------------------------------------------------------------------------------------


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_publishes_relative_names_which_find_the_images_again(
    layout: str, tmp_path: Path
) -> None:
    first = put_all(str(tmp_path / "a"), LAYOUTS[layout](ROWS))
    second = put_all(str(tmp_path / "b"), LAYOUTS[layout](ROWS))
    for uri in (first, (first, second)):
        source = opened(uri)
        names = published(source)
        assert len(set(names)) == len(names)
        assert not [name for name in names if str(tmp_path) in name or name.startswith("/")]
        assert all(name.startswith("uri[") for name in names) == isinstance(uri, tuple)
        assert_found(source, names)


def assert_found(source: Source, names: list[str]) -> None:
    """Every name means the image, at the URI, that it was read as."""
    found: Mapping[str, FoundImage] = source.find_published([*names, "uri[7]/gone.png"])
    assert list(found) == names
    uris = source.config.uris
    of_uri = [found[name].uri for name in names]
    assert sorted(of_uri, key=uris.index) == of_uri
    shown = [found[name].name for name in names]
    assert [name.removeprefix(f"{uri}/") for name, uri in zip(source.names(), of_uri, strict=True)] == shown


def test_a_moved_source_publishes_the_same_names(tmp_path: Path) -> None:
    rows = LAYOUTS["folder"](ROWS)
    here = [put_all(f"{tmp_path}/{folder}", rows) for folder in ("a", "b")]
    there = [put_all(f"memory://{uuid.uuid4().hex}/x", rows) for _ in range(2)]
    assert published(opened(tuple(here))) == published(opened(tuple(there)))


def test_a_manifests_absolute_places_are_relative_below_its_folder_and_a_digest_elsewhere(
    tmp_path: Path,
) -> None:
    bucket = put_all(f"memory://{uuid.uuid4().hex}", {"ann/deep/b.png": b"B"})
    put_all(str(tmp_path), {"set/lists/a.png": b"A", "set/img/c d.png": b"C", "ann/e.png": b"E"})
    lines = ["path,label", "a.png,x", f"{tmp_path}/set/img/c d.png,x", f"file://{tmp_path}/ann/e.png,y"]
    (tmp_path / "set/lists/rows.csv").write_text("\n".join([*lines, f"{bucket}/ann/deep/b.png,y"]) + "\n")
    source = opened(f"{tmp_path}/set/**/rows.csv")
    names = published(source)
    assert names[:2] == ["lists/a.png", "img/c d.png"]
    for name, last in zip(names[2:], ("e.png", "b.png"), strict=True):
        assert name.startswith("@")
        assert name.endswith(f"/{last}")
        assert "ann" not in name
    assert [found.name for found in source.find_published(names).values()] == list(source.names())


def test_a_path_inside_a_parquet_file_or_a_tar_is_not_published_where_it_is_absolute(tmp_path: Path) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array(
        [{"bytes": b"x", "path": "/home/ann/1.png"}, {"bytes": b"y", "path": "img/2.png"}], kind
    )
    write_parquet(tmp_path / "a.parquet", pa.array([0, 1]), images)
    first, second = published(opened(str(tmp_path / "a.parquet")))
    assert first.startswith("a.parquet#0 (@")
    assert (first.endswith("/1.png)"), "ann" in first) == (True, False)
    assert second == "a.parquet#1 (img/2.png)"
    tar = [("/home/ann/7.png", b"p"), ("/home/ann/7.cls", b"cat"), ("8.png", b"q"), ("8.cls", b"dog")]
    put_all(str(tmp_path / "tars"), {"s.tar": tar_bytes(tar)})
    source = opened(str(tmp_path / "tars"))
    assert not [name for name in published(source) if "ann" in name]
    assert len(source.find_published(published(source))) == 2

"""How a URI and `format: auto` become a source, and what that costs."""

from __future__ import annotations

import os
import subprocess
import sys
from pathlib import Path

import pyarrow as pa
import pytest

from augment.data.config import SourceConfig
from augment.data.sources import SOURCE_FORMATS, open_source
from augment.errors import ConfigError, InputError
from tests.data.factory import class_folders, encoded, picture, write_files, write_parquet
from tests.data.layouts import LAYOUTS, Row, put_all


def test_auto_takes_images_for_class_folders(tmp_path: Path) -> None:
    source = open_source(SourceConfig(uri=write_files(tmp_path, class_folders({"a": 2, "b": 1}))))
    assert source.config.format == "folder"
    assert source.listing().labels_B.tolist() == [0, 0, 1]


def test_auto_takes_parquet_files_for_parquet(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "set" / "a.parquet", pa.array([0, 1]))
    (tmp_path / "set" / "README.md").write_text("a card")
    for uri in (path, str(tmp_path / "set")):
        source = open_source(SourceConfig(uri=uri))
        assert source.config.format == "parquet"
        assert source.listing().labels_B.tolist() == [0, 1]


def test_auto_refuses_to_choose_between_parquet_and_images(tmp_path: Path) -> None:
    write_files(tmp_path, class_folders({"a": 1}))
    write_parquet(tmp_path / "a.parquet", pa.array([0]))
    with pytest.raises(ConfigError, match=r"Parquet files and images; set source\.format"):
        open_source(SourceConfig(uri=str(tmp_path)))
    source = open_source(SourceConfig(uri=str(tmp_path), format="parquet"))
    assert source.listing().labels_B.tolist() == [0]


@pytest.mark.parametrize(
    ("name", "text", "mend"),
    [
        ("m.csv", "path,label,split\nimg/000.png,x,test\n", "set source.uri to {root}/m.csv, or set"),
        ("rows.jsonl", '{"uri": "img/000.png", "kind": "x"}\n', "rows.jsonl and source.label_column to"),
        ("labels.csv", "id,label\n000,x\n", "labels.csv and source.image_column to its column of places, or"),
        ("metadata.jsonl", '{"file_name": "img/000.png", "label": 1}\n', "set source.uri to {root}/metadata"),
        ("train.csv", "image_id,class\n000.png,x\n", "set source.uri to {root}/train.csv, or set"),
        ("img/metadata.csv", "file_name,text\n000.png,x\n", "img/metadata.csv and source.label_column to"),
    ],
)
def test_auto_refuses_to_choose_between_folders_of_images_and_a_list_of_them(
    tmp_path: Path, name: str, text: str, mend: str
) -> None:
    uri = write_files(tmp_path, {**class_folders({"img": 2}), name: text.encode()})
    with pytest.raises(ConfigError, match="holds folders of images and") as caught:
        open_source(SourceConfig(uri=uri))
    assert mend.format(root=uri) in str(caught.value)
    assert str(caught.value).endswith("or set source.format to folder to take the folders for classes")
    assert open_source(SourceConfig(uri=uri, format="folder")).listing().labels_B.tolist() == [0, 0]


def test_a_csv_that_lists_no_images_leaves_class_folders_what_they_are(tmp_path: Path) -> None:
    beside = {
        "sizes.csv": b"class,pixels\na,3\n", "classes.csv": b"id,class\n0,a\n", "files.csv": b"file,bytes\na,3\n", "empty.csv": b"", "odd.csv": b'"', "binary.csv": b"\xff\xfe",
        "notes.jsonl": b"not JSON\n", "a/boxes.csv": b"path,label\n000.png,x\n",
    }  # fmt: skip
    source = open_source(
        SourceConfig(uri=write_files(tmp_path, {**class_folders({"a": 2, "b": 1}), **beside}))
    )
    assert source.config.format == "folder"
    assert source.listing().labels_B.tolist() == [0, 0, 1]


def test_a_place_with_nothing_is_an_input_error_that_names_it(tmp_path: Path) -> None:
    with pytest.raises(InputError, match=f"nothing lies at {tmp_path}/nowhere"):
        open_source(SourceConfig(uri=f"{tmp_path}/nowhere"))
    (tmp_path / "notes.txt").write_text("x")
    with pytest.raises(InputError, match="is a file, not a folder"):
        open_source(SourceConfig(uri=f"{tmp_path}/notes.txt"))


def test_every_format_of_the_config_has_a_source() -> None:
    assert {"auto", *SOURCE_FORMATS} == set(SourceConfig.model_fields["format"].annotation.__args__)


@pytest.mark.parametrize("kind", ["folder", "parquet"])
def test_a_census_of_labels_imports_neither_torch_nor_ray_nor_albumentations(
    tmp_path: Path, kind: str
) -> None:
    if kind == "folder":
        write_files(tmp_path, class_folders({"a": 2, "b": 1}))
    else:
        write_parquet(tmp_path / "a.parquet", pa.array([0, 1, 0]))
    script = (
        "import sys\n"
        "from augment.data.census import take_census\n"
        "from augment.data.config import ImageConfig, SourceConfig\n"
        "from augment.data.sources import open_source\n"
        f"census = take_census(open_source(SourceConfig(uri={str(tmp_path)!r})), image=ImageConfig())\n"
        "assert census.counts.counts == (2, 1), census\n"
        "heavy = {'torch', 'ray', 'albumentations', 'cv2'} & set(sys.modules)\n"
        "assert not heavy, heavy\n"
    )
    done = subprocess.run([sys.executable, "-c", script], capture_output=True, text=True, timeout=60)
    assert done.returncode == 0, done.stderr


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_source_that_says_it_shows_overwrites_has_another_etag_after_one(
    tmp_path: Path, layout: str
) -> None:
    rows = [Row(encoded(picture(seed=index)), label, "") for index, label in enumerate("aabb")]
    uri = str(tmp_path / "set")
    files = LAYOUTS[layout](rows)
    put_all(uri, files)
    at = f"{uri}/lists/rows.csv" if layout == "csv" else f"{uri}/rows.jsonl" if layout == "jsonl" else uri
    source, before = open_source(SourceConfig(uri=at)), open_source(SourceConfig(uri=at)).counts().etags
    holder = next(name for name in files if not name.endswith((".csv", ".jsonl")))
    (tmp_path / "set" / holder).write_bytes(files[holder])
    os.utime(tmp_path / "set" / holder, ns=(1, 1))
    assert source.shows_overwrites == (layout not in ("csv", "jsonl"))
    assert (open_source(SourceConfig(uri=at)).counts().etags != before) == source.shows_overwrites

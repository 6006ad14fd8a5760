"""`augment export` as scripts meet it."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from augment.objects import open_store
from tests.pipelines.test_cli import augment, imported_by
from tests.store.helpers import ROWS, commit, tiny_run


@pytest.fixture
def dataset(tmp_path: Path) -> Path:
    commit(open_store(str(tmp_path / "set")), tiny_run())
    return tmp_path / "set"


def test_export_makes_a_copy_finds_it_again_and_says_so_in_json(dataset: Path, tmp_path: Path) -> None:
    copy = tmp_path / "copy"
    first = augment("export", f"{dataset}@1", copy, "--layout", "folder", "--json", "--quiet")
    assert first.returncode == 0, first.stderr
    assert first.stderr == ""
    document = json.loads(first.stdout)
    assert (document["target"], document["rows"], document["files"]) == (str(copy), ROWS, ROWS)
    assert document["made"] is True
    assert document["record"]["layout"] == "folder"
    again = augment("export", dataset, copy, "--layout", "folder", "--quiet")
    assert again.stdout == f"{copy}: version 1 as folder, {ROWS} rows, {ROWS} files (was there already)\n"


def test_export_names_what_is_wrong(dataset: Path, tmp_path: Path) -> None:
    (tmp_path / "full").mkdir()
    (tmp_path / "full" / "notes.txt").write_text("mine")
    refused = augment("export", dataset, tmp_path / "full", "--layout", "hf")
    assert refused.returncode == 2
    assert "notes.txt" in refused.stderr
    unknown = augment("export", dataset, tmp_path / "new", "--layout", "zip")
    assert unknown.returncode == 2
    assert "hf, hive, webdataset, folder" in unknown.stderr


def test_export_needs_neither_torch_nor_ray(dataset: Path, tmp_path: Path) -> None:
    loaded = imported_by("export", str(dataset), str(tmp_path / "copy"), "--layout", "hive", "--quiet")
    assert not loaded & {"torch", "ray", "torchvision", "albumentations", "cv2", "datasets"}

"""An image that several manifests of a source name: when that is an error, and what it says."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest

from augment.data.config import SourceConfig
from augment.data.named_twice import NamedFiles, check_named_twice
from augment.data.sources import Source, open_source
from augment.errors import InputError
from tests.data.factory import write_files


def source_of(root: Path, files: dict[str, str], *uris: str) -> Source:
    write_files(root, {name: text.encode() for name, text in files.items()})
    return open_source(SourceConfig(uri=tuple(str(root / uri) for uri in uris)))


def test_an_image_that_two_manifests_name_is_an_error_that_names_it_and_them(tmp_path: Path) -> None:
    files = {
        "lists/m.csv": f"uri,label\nb.png,x\n{tmp_path}/lists/img/a.png,x\n",
        "lists/m.jsonl": '{"path": "./img/a.png", "label": "y"}\n{"path": "c.png", "label": "x"}\n',
    }
    source = source_of(tmp_path, files, "lists/m.csv", "lists/m.jsonl")
    wanted = (
        f"names {tmp_path}/lists/img/a.png twice, by {tmp_path}/lists/m.csv and by {tmp_path}/lists/m.jsonl"
    )
    for asked in (source.counts, source.listing):
        with pytest.raises(InputError, match=wanted):
            asked()


def test_manifests_of_one_folder_are_compared_too(tmp_path: Path) -> None:
    files = {"l/a.csv": "path,label\n1.png,x\n", "l/b.csv": "path,label\n2.png,x\n1.png,x\n"}
    with pytest.raises(InputError, match=r"/l/1\.png twice, by .*/a\.csv and by .*/b\.csv"):
        source_of(tmp_path, files, "l").counts()


def test_one_path_below_two_folders_is_two_images(tmp_path: Path) -> None:
    files = {"a/m.csv": "path,label\n1.png,x\n", "b/m.csv": "path,label\n1.png,x\n"}
    assert source_of(tmp_path, files, "a/m.csv", "b/m.csv").counts().counts.total == 2


def test_an_image_in_two_splits_is_left_to_the_policy_for_duplicates(tmp_path: Path) -> None:
    files = {"train.csv": "path,label\n1.png,x\n2.png,x\n", "test.csv": "path,label\n1.png,x\n"}
    source = source_of(tmp_path, files, "train.csv", "test.csv")
    assert source.counts().counts.total == 2
    assert source.counts().held_out["test"].total == 1


def test_a_line_that_one_manifest_has_twice_may_be_meant(tmp_path: Path) -> None:
    files = {"a.csv": "path,label\n1.png,x\n1.png,x\n", "b.csv": "path,label\n2.png,x\n"}
    assert source_of(tmp_path, files, "a.csv", "b.csv").counts().counts.total == 3


def test_two_images_that_happen_to_have_one_hash_are_two_images() -> None:
    def manifest(uri: str, images: list[str], hashes: list[int]) -> NamedFiles:
        return NamedFiles(uri, np.array(hashes, dtype=np.int64), lambda row: ("", images[row]))

    first, second = manifest("a", ["1", "2"], [7, 8]), manifest("b", ["3", "2"], [7, 8])
    with pytest.raises(InputError, match="names 2 twice, by a and by b"):
        check_named_twice([first, second])
    check_named_twice([first, manifest("b", ["3"], [7])])
    check_named_twice([first])

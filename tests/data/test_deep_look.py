"""Opening every image: duplicates of real files, within and across splits, through the deep census."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pyarrow as pa
import pytest

from augment.data.census import Census, images_to_open, take_census
from augment.data.config import ImageConfig, SourceConfig
from augment.data.deep_look import open_images
from augment.data.sources import open_source
from augment.errors import InputError
from tests.data.factory import encoded, picture, write_files, write_parquet

IMAGE = ImageConfig(size=16)
ONE, TWO = picture(seed=1, size=(20, 24)), picture(seed=2, size=(20, 24))
SPLITS = {
    "train/ape/1.png": encoded(ONE),
    "train/ape/2.png": encoded(picture(seed=3)),
    "train/ape/again.bmp": encoded(ONE, "BMP"),
    "train/bee/1.webp": encoded(TWO, "WEBP", lossless=True),
    "train/bee/other.png": encoded(picture(seed=4)),
    "train/ape/wrong.png": encoded(TWO, optimize=True),
    "test/bee/9.tif": encoded(ONE, "TIFF"),
    "test/ape/8.png": encoded(picture(seed=5)),
    "test/ape/cut.png": encoded(ONE)[:200],
}


def census(root: Path, **duplicates: Any) -> Census:
    write_files(root, SPLITS)
    config = SourceConfig.model_validate({"uri": str(root), "duplicates": duplicates})
    return take_census(open_source(config), image=IMAGE, deep=True)


def test_copies_in_other_formats_are_found_within_and_across_splits_and_classes(tmp_path: Path) -> None:
    report = census(tmp_path).duplicates
    assert report is not None
    found = {(pair.kind, pair.name, pair.other, pair.other_split) for pair in report.pairs}
    assert found == {
        ("across_splits", "train/ape/1.png", "test/bee/9.tif", "test"),
        ("across_splits", "train/ape/again.bmp", "test/bee/9.tif", "test"),
        ("across_labels", "train/ape/wrong.png", "train/bee/1.webp", "train"),
        ("across_labels", "train/bee/1.webp", "train/ape/wrong.png", "train"),
        ("exact", "train/ape/again.bmp", "train/ape/1.png", "train"),
    }
    assert (report.compared, report.splits) == (8, ("train", "test"))


def test_keeping_counts_every_image_and_dropping_counts_and_names_what_is_left(tmp_path: Path) -> None:
    assert census(tmp_path / "a").counts.counts == (4, 2)
    dropped = census(tmp_path / "b", across_splits="drop", across_labels="drop", exact="drop")
    assert dropped.counts.counts == (1, 1)
    assert [(bad.name, bad.duplicate_of) for bad in dropped.bad] == [
        ("train/ape/1.png", "test/bee/9.tif"),
        ("train/ape/again.bmp", "test/bee/9.tif"),
        ("train/ape/wrong.png", "train/bee/1.webp"),
        ("train/bee/1.webp", "train/ape/wrong.png"),
    ]


def test_a_refused_leak_names_both_files(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"2 training images are in a held-out split.*ape/1\.png.*bee/9\.tif"
    ):
        census(tmp_path, across_splits="refuse")


def test_what_is_dropped_is_not_bad_to_a_source_that_fails_on_bad_images(tmp_path: Path) -> None:
    write_files(tmp_path, {"a/1.png": encoded(ONE), "a/2.png": encoded(ONE), "b/1.png": encoded(TWO)})
    config = {"uri": str(tmp_path), "on_bad": "fail", "duplicates": {"exact": "drop"}}
    counted = take_census(open_source(SourceConfig.model_validate(config)), image=IMAGE, deep=True)
    assert counted.counts.counts == (1, 1)


def test_nothing_is_compared_where_every_policy_is_off(tmp_path: Path) -> None:
    off = dict.fromkeys(("across_splits", "across_labels", "exact"), "off")
    assert census(tmp_path, **off).duplicates is None


def test_held_out_images_are_opened_only_where_they_are_compared(tmp_path: Path) -> None:
    write_files(tmp_path, SPLITS)
    for policy, images in (({}, 9), ({"across_splits": "off"}, 6)):
        config = SourceConfig.model_validate({"uri": str(tmp_path), "duplicates": policy})
        assert images_to_open(open_source(config)) == images
    seen: list[tuple[int, int]] = []
    source = open_source(SourceConfig(uri=str(tmp_path)))
    take_census(source, image=IMAGE, deep=True, progress=lambda done, total: seen.append((done, total)))
    assert seen == [(done, 9) for done in range(1, 10)]


def test_rows_of_parquet_are_named_by_split_and_an_unlabelled_test_row_is_compared(tmp_path: Path) -> None:
    copies = pa.array([encoded(ONE)] * 2, pa.binary())
    write_parquet(
        tmp_path / "train.parquet", pa.array([0, 1]), pa.array([encoded(TWO), encoded(ONE)]), ["a", "b"]
    )
    write_parquet(tmp_path / "test.parquet", pa.array([-1, 0]), copies, ["a", "b"])
    report = take_census(open_source(SourceConfig(uri=str(tmp_path))), image=IMAGE, deep=True).duplicates
    assert report is not None
    (pair,) = report.pairs
    assert (pair.name, pair.other, pair.other_class, pair.same) == (
        "train.parquet#1", "test.parquet#0", "no class", "file",
    )  # fmt: skip


@pytest.mark.parametrize("threads", [1, 3])
def test_hashes_are_in_the_order_of_the_listing_and_what_cannot_be_opened_is_named(
    tmp_path: Path, threads: int
) -> None:
    write_files(tmp_path, {**SPLITS, "train/ape/0.png": b"no image"})
    opened = open_images("train", open_source(SourceConfig(uri=str(tmp_path))), IMAGE, threads)
    assert opened.hashed.item_B.tolist() == [1, 2, 3, 4, 5, 6]
    assert [bad.name for bad in opened.bad] == ["train/ape/0.png"]

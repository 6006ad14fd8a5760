"""Duplicates within a class, across classes and across splits: found as brute force finds them, and resolved."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.data.config import DuplicatesConfig
from augment.data.duplicates import HashedSplit, HashTable, Resolution, resolve_duplicates
from augment.data.image_hashes import HASH_DTYPE
from augment.errors import InputError

CLASSES = ("ape", "bee", "cow")
SPLITS = ("train", "validation", "test")
ALL: dict[str, Any] = {"across_splits": "keep", "across_labels": "keep", "exact": "keep", "near": "keep"}


@dataclass(frozen=True)
class Picture:
    """An image as its hashes tell it; equal `pixels` mean equal `perceptual` and `faint` too."""

    pixels: int
    label: int = 0
    split: int = 0
    file: int = 0

    @property
    def perceptual(self) -> int:
        return (0, 1, 3, 2**40, 2**40 + 6, 2**63)[self.pixels % 6]

    @property
    def faint(self) -> bool:
        return self.pixels == 5


def table_of(pictures: list[Picture]) -> HashTable:
    """Item 0 of every split could not be decoded, so that items and rows differ."""
    splits = []
    for split, name in enumerate(SPLITS):
        here = [picture for picture in pictures if picture.split == split]
        hashes = np.zeros(len(here), HASH_DTYPE)
        for row, picture in zip(hashes, here, strict=True):
            row["file"], row["pixels"] = (picture.pixels, picture.file), (7, picture.pixels)
            row["perceptual"], row["faint"] = picture.perceptual, picture.faint
        labels = np.array([picture.label for picture in here], np.int32)
        splits.append(HashedSplit(name, np.arange(1, len(here) + 1), labels, hashes))
    return HashTable(tuple(splits), CLASSES)


def names_of(split: int, items: Sequence[int]) -> dict[int, str]:
    return {item: f"{SPLITS[split]}-{item}" for item in items}


def resolved(pictures: list[Picture], **policy: Any) -> Resolution:
    return resolve_duplicates(table_of(pictures), DuplicatesConfig(**policy), names_of)


def expected(pictures: list[Picture], distance: int) -> set[tuple[str, str, str]]:
    """(kind, name, other) of every finding, by comparing all pairs."""
    rows = [
        (f"{SPLITS[split]}-{item}", picture)
        for split in range(3)
        for item, picture in enumerate([p for p in pictures if p.split == split], start=1)
    ]
    training = [row for row in rows if not row[1].split]
    held_out_first = [row for row in rows if row[1].split] + training
    found = set()
    for position, (name, one) in enumerate(training):
        before = held_out_first[: len(rows) - len(training) + position]
        looks: dict[str, list[str]] = {
            "across_splits": [n for n, p in held_out_first if p.split and p.pixels == one.pixels],
            "across_labels": [n for n, p in training if p.label != one.label and p.pixels == one.pixels],
            "exact": [n for n, p in before if not p.split and (p.label, p.pixels) == (one.label, one.pixels)],
        }
        near = [
            (n, p)
            for n, p in before
            if not (p.faint or one.faint) and bin(p.perceptual ^ one.perceptual).count("1") <= distance
        ]
        if near and near[0][1].pixels != one.pixels:
            looks["near"] = [near[0][0]]
        found |= {(kind, name, others[0]) for kind, others in looks.items() if others}
    return found


pictures = st.lists(
    st.builds(Picture, st.integers(0, 11), st.integers(0, 2), st.integers(0, 2), st.integers(0, 1)),
    max_size=40,
)


@given(pictures, st.integers(0, 8))
def test_what_is_found_is_what_comparing_all_pairs_finds(images: list[Picture], distance: int) -> None:
    report = resolved(images, **ALL, near_distance=distance).report
    found = {(pair.kind, pair.name, pair.other) for pair in report.pairs}
    assert found == expected(images, distance)
    assert sum(report.found.values()) == len(report.pairs) == len(found)
    assert report.compared == len(images)


@given(pictures, st.lists(st.sampled_from(["off", "keep", "drop"]), min_size=4, max_size=4))
def test_after_dropping_nothing_is_left_that_would_be_dropped(
    images: list[Picture], choices: list[str]
) -> None:
    policy = dict(zip(ALL, choices, strict=True))
    resolution = resolved(images, **policy)
    training = [picture for picture in images if not picture.split]
    kept = [
        picture
        for item, picture in enumerate(training, start=1)
        if item not in resolution.dropped_items.tolist()
    ]
    again = resolved([*kept, *(picture for picture in images if picture.split)], **policy)
    assert again.dropped == ()
    assert len(resolution.dropped) == len(resolution.dropped_items) == resolution.report.dropped
    assert all(bad.duplicate_of is not None for bad in resolution.dropped)


def test_a_leak_names_both_files_and_drops_the_training_copy_alone() -> None:
    images = [Picture(1), Picture(2), Picture(2, split=2, label=1)]
    resolution = resolved(images, across_splits="drop")
    (pair,) = resolution.report.pairs
    assert (pair.kind, pair.name, pair.other, pair.other_split) == (
        "across_splits",
        "train-2",
        "test-1",
        "test",
    )
    assert (pair.class_name, pair.other_class, pair.same, pair.distance) == ("ape", "bee", "file", 0)
    assert resolution.dropped_items.tolist() == [2]
    assert resolution.dropped[0].reason == (
        "is the same as test-1 (test, bee): source.duplicates.across_splits=drop"
    )


def test_one_image_in_two_classes_drops_every_copy() -> None:
    images = [Picture(1, label=0), Picture(1, label=1), Picture(1, label=0), Picture(2)]
    assert resolved(images, across_labels="drop").dropped_items.tolist() == [1, 2, 3]


def test_one_image_twice_in_a_class_keeps_the_first() -> None:
    images = [Picture(1, file=0), Picture(1, file=1), Picture(1, file=0), Picture(1, label=1)]
    resolution = resolved(images, exact="drop", across_labels="off")
    assert resolution.dropped_items.tolist() == [2, 3]
    assert [pair.same for pair in resolution.report.pairs] == ["pixels", "file"]


def test_a_held_out_image_without_a_label_is_compared_too() -> None:
    (pair,) = resolved([Picture(1), Picture(1, split=2, label=-1)]).report.pairs
    assert pair.other_class == "no class"


def test_two_held_out_copies_are_nobodys_leak() -> None:
    assert resolved([Picture(0), Picture(1, split=1), Picture(1, split=2)]).report.pairs == ()


def test_faint_images_are_counted_and_never_near() -> None:
    images = [Picture(5), Picture(11)]  # the same hash; the first is faint
    report = resolved(images, near="keep").report
    assert (report.faint, report.found["near"]) == (1, 0)


@pytest.mark.parametrize(
    ("kind", "images", "message"),
    [
        (
            "across_splits",
            [Picture(1), Picture(1, split=1)],
            r"^1 training image is in a held-out split too: train-1 \(ape\) and validation-1 \(validation, ape\)",
        ),
        ("across_labels", [Picture(1), Picture(1, label=1)], r"train-1 \(ape\) and train-2 \(train, bee\)"),
        ("exact", [Picture(1)] * 9, r"^8 images repeat.*train-6 \(ape\) and train-1 .*; and 3 more\. Remove"),
        ("near", [Picture(1), Picture(2)], r"nearly the same as another \(at most 4 of 64 bits differ\)"),
    ],
)
def test_refusing_is_an_input_error_that_names_both_files(
    kind: str, images: list[Picture], message: str
) -> None:
    with pytest.raises(InputError, match=message) as caught:
        resolved(images, **{kind: "refuse"})
    assert caught.value.exit_code == 3
    assert f"source.duplicates.{kind} to drop or keep" in str(caught.value)


def test_what_is_off_is_not_looked_for() -> None:
    images = [Picture(1), Picture(1), Picture(1, label=1), Picture(1, split=1)]
    report = resolved(images, **dict.fromkeys(ALL, "off")).report
    assert (report.found, report.pairs, report.compared) == ({}, (), 4)


def test_names_are_asked_for_only_where_something_is_found() -> None:
    def no_names(split: int, items: Sequence[int]) -> dict[int, str]:
        raise AssertionError(f"split {split} was asked for the names of {items}")

    report = resolve_duplicates(table_of([Picture(1), Picture(2)]), DuplicatesConfig(), no_names).report
    assert report.found == {"across_splits": 0, "across_labels": 0, "exact": 0}


def test_no_name_is_asked_for_that_is_not_shown() -> None:
    asked: dict[int, list[int]] = {}

    def names(split: int, items: Sequence[int]) -> dict[int, str]:
        asked[split] = list(items)
        return names_of(split, items)

    images = [Picture(1), Picture(2), Picture(3), Picture(2, split=1), Picture(4, split=1)]
    resolve_duplicates(table_of(images), DuplicatesConfig(), names)
    assert asked == {0: [2], 1: [1]}

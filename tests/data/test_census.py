"""The census: counts a class, head and tail, and what is bad."""

from __future__ import annotations

import uuid
from pathlib import Path

import pytest

from augment.data.census import Census, take_census
from augment.data.config import ImageConfig, SourceConfig
from augment.data.sources import Source, open_source
from augment.errors import InputError
from augment.objects import open_store
from tests.data.factory import class_folders, write_files

IMAGE = ImageConfig(size=16)
FILES = class_folders({"ape": 6, "bee": 2, "cow": 3})
DAMAGED = {
    **FILES,
    "ape/text.png": b"not an image",
    "bee/cut.png": FILES["bee/000.png"][:300],
    "cow/none.jpg": b"",
}


def source_of(files: dict[str, bytes], **config: object) -> Source:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    for key, data in files.items():
        store.put(key, data)
    return open_source(SourceConfig.model_validate({"uri": store.uri, **config}))


def test_a_census_counts_every_class_and_names_head_and_tail() -> None:
    census = take_census(source_of(FILES), image=IMAGE)
    assert census.counts.counts == (6, 2, 3)
    assert (census.head_class, census.tail_class, census.imbalance_ratio) == ("ape", "bee", 3.0)
    assert census.bad == ()
    assert not census.deep


def test_a_shallow_census_finds_what_names_and_sizes_tell() -> None:
    census = take_census(source_of(DAMAGED), image=IMAGE)
    assert census.counts.counts == (7, 3, 3)
    assert [item.name for item in census.bad] == ["cow/none.jpg"]


@pytest.mark.parametrize("threads", [1, 3])
def test_a_deep_census_counts_only_what_decodes(threads: int) -> None:
    seen: list[tuple[int, int]] = []
    source = source_of(DAMAGED)
    census = take_census(
        source,
        image=IMAGE,
        deep=True,
        threads=threads,
        progress=lambda done, total: seen.append((done, total)),
    )
    assert census.counts.counts == (6, 2, 3)
    assert {item.name: item.reason for item in census.bad} == {
        "cow/none.jpg": "is empty (0 bytes)",
        "ape/text.png": "is not a PNG, JPEG, WebP, BMP, TIFF or GIF image",
        "bee/cut.png": "is truncated",
    }
    assert census.deep
    assert seen == [(done, 13) for done in range(1, 14)]
    assert census.fingerprint == source.listing().fingerprint


def test_on_bad_fail_names_the_first_files_and_their_number() -> None:
    with pytest.raises(
        InputError, match=r"^1 image of .* cow/none\.jpg is empty \(0 bytes\).*on_bad=skip"
    ) as caught:
        take_census(source_of(DAMAGED, on_bad="fail"), image=IMAGE)
    assert caught.value.exit_code == 3
    with pytest.raises(InputError, match=r"^3 images of"):
        take_census(source_of(DAMAGED, on_bad="fail"), image=IMAGE, deep=True)
    many = {**FILES, **{f"ape/{index:03d}.txt": b"x" for index in range(2_000)}}
    with pytest.raises(InputError, match=r"2,000 images .*ape/004\.txt is no image.*; and 1,995 more"):
        take_census(source_of(many, on_bad="fail"), image=IMAGE)


def test_a_source_whose_images_all_fail_to_decode_is_an_input_error() -> None:
    with pytest.raises(InputError, match=r"no image of .* can be used: a/1\.png is not a PNG"):
        take_census(source_of({"a/1.png": b"x"}), image=IMAGE, deep=True)


def test_a_census_survives_its_json(tmp_path: Path) -> None:
    census = take_census(open_source(SourceConfig(uri=write_files(tmp_path, DAMAGED))), image=IMAGE)
    assert Census.model_validate_json(census.to_json()) == census

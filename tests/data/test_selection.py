"""Which rows a source is made of: no held-out row is ever trained on, whatever the layout."""

from __future__ import annotations

import pickle
import tempfile
import uuid
from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.data.census import take_census
from augment.data.config import SPLIT_WORDS, ImageConfig, SourceConfig, SplitConfig
from augment.data.sources import Source, open_held_out, open_source
from augment.errors import ConfigError, InputError
from tests.data.layouts import LAYOUTS, Row, put_all

FORMAT_OF = {"parquet-files": "parquet", "parquet-column": "parquet", "webdataset-files": "webdataset"}
FORMAT_OF |= {"webdataset-fields": "webdataset"}
THREE = [Row(b"1", "cat", "train"), Row(b"2", "dog", "train"), Row(b"3", "cat", "test")]


def source_of(layout: str, rows: list[Row], uri: str, **config: object) -> Source:
    put_all(uri, LAYOUTS[layout](rows))
    chosen = {"csv": "csv", "jsonl": "jsonl", "folder": "folder", **FORMAT_OF}[layout]
    return open_source(SourceConfig.model_validate({"uri": uri, "format": chosen, **config}))


def content(source: Source) -> Counter[tuple[bytes, str]]:
    """Every item's bytes and class name, read chunk by chunk."""
    listing = source.listing()
    items = [item for chunk in source.chunks() for item in source.read(chunk)]
    assert [item.item_index for item in items] == list(range(len(listing.labels_B)))
    assert [item.name for item in items] == list(source.names())
    assert not any(item.fault for item in items)
    names = [*(info.name for info in listing.classes), ""]
    return Counter((item.data, names[listing.labels_B[item.item_index]]) for item in items)


ROWS = st.lists(
    st.tuples(st.sampled_from(["cat", "dog", "eel"]), st.sampled_from(["train", "Test", "val", "dev"])),
    min_size=1,
    max_size=8,
).map(
    # The first row is one to learn from, in a class of its own: a source without any is an error.
    lambda pairs: (
        [Row(b"0", "ant", "train")]
        + [Row(b"%d" % index, label, split) for index, (label, split) in enumerate(pairs, start=1)]
    )
)


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=15)
@given(rows=ROWS)
def test_no_held_out_row_is_ever_trained_on_whatever_the_layout(layout: str, rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        source = source_of(layout, rows, folder)
        expected: dict[str, Counter[tuple[bytes, str]]] = {}
        learned = {row.label for row in rows if row.split == "train"}
        for row in rows:
            label = row.label if row.label in learned else ""
            expected.setdefault(SPLIT_WORDS[row.split.lower()], Counter())[row.data, label] += 1
        assert content(source) == expected.pop("train")
        held_out = source.held_out()
        assert {split: content(each) for split, each in held_out.items()} == expected
        assert all(each.listing().classes == source.listing().classes for each in held_out.values())


@pytest.mark.parametrize("layout", LAYOUTS)
@settings(max_examples=10)
@given(rows=ROWS)
def test_counting_finds_what_listing_finds(layout: str, rows: list[Row]) -> None:
    with tempfile.TemporaryDirectory() as folder:
        counted = source_of(layout, rows, folder).counts()
        source = open_source(open_source(SourceConfig(uri=folder)).config)
        listing = source.listing()
        assert counted.counts.classes == listing.classes
        assert sum(counted.counts.counts) == len(listing.labels_B)
        assert (counted.bad, counted.fingerprint) == (listing.bad, listing.fingerprint)
        for split, counts in counted.held_out.items():
            unlabelled = counted.held_out_unlabelled.get(split, 0)
            assert counts.total + unlabelled == len(source.held_out()[split].listing().labels_B)
        assert source.counts().counts == counted.counts


@pytest.mark.parametrize("layout", LAYOUTS)
def test_rows_without_splits_are_all_trained_on(layout: str, tmp_path: object) -> None:
    rows = [row._replace(split="") for row in THREE]
    source = source_of(layout, rows, str(tmp_path))
    assert sum(content(source).values()) == 3
    assert source.held_out() == {}


@pytest.mark.parametrize(
    "layout", [name for name in LAYOUTS if name not in ("parquet-files", "parquet-column")]
)
def test_every_layout_is_read_from_an_object_store_as_from_a_disk(layout: str, tmp_path: object) -> None:
    here = source_of(layout, THREE, str(tmp_path))
    there = source_of(layout, THREE, f"memory://{uuid.uuid4().hex}/deep")
    assert content(here) == content(there)
    assert here.listing().fingerprint == there.listing().fingerprint


@pytest.mark.parametrize("layout", LAYOUTS)
def test_every_layout_is_read_from_a_real_s3_server(layout: str, s3_uri: str, tmp_path: object) -> None:
    here, there = source_of(layout, THREE, str(tmp_path)), source_of(layout, THREE, s3_uri)
    assert content(there) == content(here)
    assert content(there.held_out()["test"]) == {(b"3", "cat"): 1}
    assert here.counts().fingerprint == there.counts().fingerprint
    assert here.counts().counts == there.counts().counts


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_split_that_is_not_known_is_an_error_that_names_it(layout: str, tmp_path: object) -> None:
    rows = [*THREE, Row(b"4", "cat", "fold3")]
    config = {"by": "folder"} if layout == "folder" else {}
    with pytest.raises(InputError, match=r"fold3.*source\.split"):
        source_of(layout, rows, str(tmp_path), split=SplitConfig(**config)).listing()
    uri = f"{tmp_path}/again"
    both = source_of(layout, rows, uri, split=SplitConfig(use=("train", "fold3"), **config))
    assert sum(content(both).values()) == 3
    assert set(both.held_out()) == {"test"}


def test_a_split_that_is_named_and_absent_is_an_error(tmp_path: object) -> None:
    with pytest.raises(InputError, match=r"no row of .* is marked 'extra'; there are test, train"):
        source_of("csv", THREE, str(tmp_path), split=SplitConfig(use=("train", "extra"))).listing()
    only_test = [row._replace(split="test") for row in THREE]
    with pytest.raises(InputError, match=r"is marked 'train'; there are test"):
        source_of("csv", only_test, f"{tmp_path}/test").counts()


def test_a_config_may_not_train_on_what_is_held_out() -> None:
    for name in ("test", "Validation", "dev"):
        with pytest.raises(ValueError, match="is held out: it is never trained on"):
            SplitConfig(use=("train", name))


def test_unlabelled_rows_are_bad_to_train_on_and_items_of_a_held_out_split(tmp_path: object) -> None:
    rows = [*THREE, Row(b"4", "", "train"), Row(b"5", "", "test")]
    for layout in ("csv", "jsonl", "parquet-column", "webdataset-files"):
        source = source_of(layout, rows, f"{tmp_path}/{layout}")
        assert len(source.listing().labels_B) == 2
        assert len(source.listing().bad) == 1
        assert content(source.held_out()["test"]) == {(b"3", "cat"): 1, (b"5", ""): 1}


def test_a_census_counts_held_out_rows_by_split(tmp_path: object) -> None:
    census = take_census(source_of("jsonl", THREE, str(tmp_path)), image=ImageConfig(size=16))
    assert census.counts.counts == (1, 1)
    assert {split: counts.counts for split, counts in census.held_out.items()} == {"test": (1, 0)}


def test_classes_are_renamed_merged_and_dropped_in_every_split(tmp_path: object) -> None:
    labels = {"cat": "pet", "dog": "pet", "eel": None}
    rows = [*THREE, Row(b"4", "eel", "train"), Row(b"5", "eel", "test"), Row(b"6", "fox", "train")]
    source = source_of("csv", rows, str(tmp_path), labels=labels)
    assert [(info.label, info.name) for info in source.listing().classes] == [(0, "pet"), (3, "fox")]
    assert content(source) == {(b"1", "pet"): 1, (b"2", "pet"): 1, (b"6", "fox"): 1}
    assert content(source.held_out()["test"]) == {(b"3", "pet"): 1}
    counts = source.counts()
    assert counts.dropped == {"eel": 1}
    assert counts.counts.counts == (2, 1)


def test_a_map_that_drops_everything_is_an_error(tmp_path: object) -> None:
    with pytest.raises(InputError, match=r"source\.labels drops all 2"):
        source_of("csv", THREE, str(tmp_path), labels={"cat": None, "dog": None}).counts()


def test_classes_of_one_name_at_several_uris_are_one_class(tmp_path: object) -> None:
    first = put_all(f"{tmp_path}/a", LAYOUTS["folder"]([Row(b"1", "cat", ""), Row(b"2", "dog", "")]))
    second = put_all(
        f"{tmp_path}/b", LAYOUTS["webdataset-files"]([Row(b"3", "ant", ""), Row(b"4", "dog", "")])
    )
    source = open_source(SourceConfig(uri=(first, second)))
    assert [(info.label, info.name) for info in source.listing().classes] == [
        (0, "ant"),
        (1, "cat"),
        (2, "dog"),
    ]
    assert content(source) == {(b"1", "cat"): 1, (b"2", "dog"): 1, (b"3", "ant"): 1, (b"4", "dog"): 1}
    assert source.names()[0] == f"{first}/cat/0.png"
    assert set(source.counts().etags) == {first, second}
    elsewhere, chunk = pickle.loads(pickle.dumps((source, source.chunks()[-1])))
    assert [item.data for item in elsewhere.read(chunk)] == [b"3", b"4"]


def test_a_glob_chooses_files(tmp_path: object) -> None:
    put_all(str(tmp_path), LAYOUTS["parquet-files"](THREE) | {"data/notes.txt": b"x"})
    source = open_source(SourceConfig(uri=f"{tmp_path}/data/train-*.parquet"))
    assert content(source) == {(b"1", "cat"): 1, (b"2", "dog"): 1}
    both = open_source(SourceConfig(uri=f"{tmp_path}/**/*.parquet"))
    assert set(both.held_out()) == {"test"}
    files = tuple(f"{tmp_path}/data/{split}-00000-of-00001.parquet" for split in ("train", "test"))
    assert set(open_held_out(SourceConfig(uri=files))) == {"test"}


def test_an_unknown_class_in_the_map_is_an_error_with_the_nearest_name(tmp_path: object) -> None:
    with pytest.raises(ConfigError, match=r"has no class 'cta'; did you mean 'cat'\?"):
        source_of("csv", THREE, str(tmp_path), labels={"cta": "x"}).counts()


def test_writing_a_file_anew_with_the_same_size_changes_the_etag_alone(s3_uri: str, tmp_path: object) -> None:
    for uri in (s3_uri, str(tmp_path)):
        before = source_of("folder", THREE, uri).counts()
        again = source_of("folder", [row._replace(data=b"x") for row in THREE], uri).counts()
        assert before.fingerprint == again.fingerprint
        assert before.etags[uri] != again.etags[uri]


@pytest.mark.parametrize("layout", ["folder", "parquet-column", "webdataset-files", "csv", "jsonl"])
@pytest.mark.parametrize("by", ["auto", "folder"])
def test_folders_that_are_named_outright_are_splits_as_they_are_below_one_root(
    layout: str, by: str, tmp_path: object
) -> None:
    uris = []
    for split, first in (("train", 0), ("test", 2)):
        rows = [Row(b"%d" % (first + at), label, "") for at, label in enumerate(("cat", "dog"))]
        put_all(f"{tmp_path}/{split}", LAYOUTS[layout](rows))
        beside = {"csv": "/lists/rows.csv", "jsonl": "/rows.jsonl"}.get(layout, "")
        uris.append(f"{tmp_path}/{split}{beside}")
    source = open_source(SourceConfig(uri=tuple(uris), split=SplitConfig(by=by)))
    assert content(source) == {(b"0", "cat"): 1, (b"1", "dog"): 1}
    assert content(source.held_out()["test"]) == {(b"2", "cat"): 1, (b"3", "dog"): 1}
    everything = open_source(SourceConfig(uri=tuple(uris), split=SplitConfig(by="none")))
    assert sum(content(everything).values()) == 4


def test_a_file_that_is_named_outright_has_the_split_of_its_folder(tmp_path: object) -> None:
    part = LAYOUTS["parquet-column"]([row._replace(split="") for row in THREE])["all.parquet"]
    put_all(str(tmp_path), {"train/part-0.parquet": part, "test/part-0.parquet": part})
    for names in (
        ("train/part-0.parquet", "test/part-0.parquet"),
        ("train/*", "test/*"),
        ("train", "test/*.parquet"),
    ):
        source = open_source(SourceConfig(uri=tuple(f"{tmp_path}/{name}" for name in names)))
        assert source.counts().counts.total == source.counts().held_out["test"].total == 3
    for name in ("test/part-0.parquet", "test/*.parquet", "test"):
        with pytest.raises(InputError, match="is marked 'train'; there are test"):
            open_source(SourceConfig(uri=f"{tmp_path}/{name}")).counts()


@pytest.mark.parametrize("names", [("train.parquet", "holdout.parquet"), ("a/train.parquet", "b")])
def test_of_several_uris_all_tell_a_split_or_none_does(names: tuple[str, str], tmp_path: object) -> None:
    part = LAYOUTS["parquet-column"]([row._replace(split="") for row in THREE])["all.parquet"]
    put_all(str(tmp_path), {names[0]: part, names[1] if "." in names[1] else f"{names[1]}/x.parquet": part})
    uris = tuple(f"{tmp_path}/{name}" for name in names)
    with pytest.raises(InputError, match=f"nothing tells the split of {uris[1]}, and {uris[0]} has splits"):
        open_source(SourceConfig(uri=uris)).counts()
    assert open_source(SourceConfig(uri=uris, split=SplitConfig(by="none"))).counts().counts.total == 6


@pytest.mark.parametrize(
    ("names", "twice"),
    [
        (("*.parquet", "part-0.parquet"), True),
        (("part-0.parquet", "part-0.parquet"), True),
        (("", "part-1.parquet"), True),
        (("*-0.parquet", "part-*.parquet"), True),
        (("", "more"), True),
        (("more/*", "**/part-2.parquet"), True),
        (("part-0.parquet", "part-1.parquet"), False),
        (("part-*.parquet", "more/*.parquet"), False),
        (("part-*.parquet", "more"), False),
        (("part-1.parquet", "part-1.parquet.parquet"), False),
    ],
)
def test_two_uris_that_choose_one_file_are_an_error(
    names: tuple[str, str], twice: bool, tmp_path: object
) -> None:
    part = LAYOUTS["parquet-column"]([row._replace(split="") for row in THREE])["all.parquet"]
    keys = ("part-0.parquet", "part-1.parquet", "part-1.parquet.parquet", "more/part-2.parquet")
    put_all(str(tmp_path), dict.fromkeys(keys, part))
    config = SourceConfig(uri=tuple(f"{tmp_path}/{name}".rstrip("/") for name in names))
    if twice:
        with pytest.raises(
            InputError, match=r"names .*/part-\d\.parquet twice, by .*: each of its rows would"
        ):
            open_source(config)
    else:
        assert open_source(config).counts().counts.total > 0


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_label_that_held_out_rows_alone_have_is_no_class_and_renumbers_none(
    layout: str, tmp_path: object
) -> None:
    rows = [*THREE, Row(b"4", "aardvark", "test"), Row(b"5", "aardvark", "test")]
    source = source_of(layout, rows, str(tmp_path))
    assert [(info.label, info.name) for info in source.listing().classes] == [(0, "cat"), (1, "dog")]
    assert content(source.held_out()["test"]) == {(b"3", "cat"): 1, (b"4", ""): 1, (b"5", ""): 1}
    counts = source.counts()
    assert (counts.held_out["test"].counts, counts.held_out_unlabelled) == ((1, 0), {"test": 2})
    census = take_census(source, image=ImageConfig(size=16))
    assert (census.bad, census.held_out_unlabelled) == ((), {"test": 2})


@pytest.mark.parametrize("layout", ["csv", "jsonl", "webdataset-files"])
def test_a_word_in_the_test_set_leaves_labels_that_are_integers_as_they_are(
    layout: str, tmp_path: object
) -> None:
    rows = [Row(b"1", "3", "train"), Row(b"2", "7", "train"), Row(b"3", "7", "test"), Row(b"4", "?", "test")]
    source = source_of(layout, rows, str(tmp_path))
    assert [info.label for info in source.listing().classes] == ([0, 1] if layout == "jsonl" else [3, 7])
    assert content(source.held_out()["test"]) == {(b"3", "7"): 1, (b"4", ""): 1}


def test_the_label_map_may_name_what_held_out_rows_alone_have(tmp_path: object) -> None:
    rows = [*THREE, Row(b"4", "tabby", "test"), Row(b"5", "eel", "test"), Row(b"6", "fox", "test")]
    source = source_of("csv", rows, str(tmp_path), labels={"tabby": "cat", "eel": None})
    assert content(source.held_out()["test"]) == {(b"3", "cat"): 1, (b"4", "cat"): 1, (b"6", ""): 1}


@pytest.mark.parametrize("layout", LAYOUTS)
def test_names_of_some_items_are_what_all_names_have(layout: str, tmp_path: object) -> None:
    source = source_of(layout, [*THREE, Row(b"4", "eel", "train")], str(tmp_path))
    names = list(source.names())
    assert source.names_of([2, 0]) == {0: names[0], 2: names[2]}
    assert source.names_of([]) == {}
    both = open_source(
        SourceConfig(
            uri=(
                f"{put_all(f'{tmp_path}/a', {'x/1.png': b'1'})}",
                put_all(f"{tmp_path}/b", {"x/2.png": b"2"}),
            )
        )
    )
    assert both.names_of([1]) == {1: f"{tmp_path}/b/x/2.png"}

"""Parquet sources: which rows are items of which class, whatever wrote the file."""

from __future__ import annotations

import pickle
import tempfile
from collections import Counter
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.data.config import SourceConfig, SplitConfig
from augment.data.sources import Source, open_source
from augment.errors import ConfigError, InputError
from augment.objects import open_store
from augment.types import BadImage, ClassInfo
from tests.data.factory import encoded, image_structs, picture, write_parquet

NAMES = ["cat", "dog", "eel"]


def source_at(uri: str | Path, **config: object) -> Source:
    return open_source(SourceConfig.model_validate({"uri": str(uri), "format": "parquet", **config}))


def read_all(source: Source) -> list[tuple[int, str, bytes]]:
    return [tuple(item)[:3] for chunk in source.chunks() for item in source.read(chunk)]


def test_class_label_metadata_names_every_class_even_one_without_images(tmp_path: Path) -> None:
    source = source_at(write_parquet(tmp_path / "a.parquet", pa.array([2, 0, 2]), names=NAMES))
    listing = source.listing()
    assert listing.classes == tuple(ClassInfo(label=label, name=name) for label, name in enumerate(NAMES))
    assert listing.labels_B.tolist() == [2, 0, 2]
    assert read_all(source) == [
        (row, f"a.parquet#{row} (img/{row}.png)", encoded(picture(seed=row))) for row in range(3)
    ]


def test_plain_integers_are_their_own_labels_and_names(tmp_path: Path) -> None:
    listing = source_at(write_parquet(tmp_path / "a.parquet", pa.array([30, -4, 30], pa.int8()))).listing()
    assert listing.classes == (ClassInfo(label=-4, name="-4"), ClassInfo(label=30, name="30"))
    assert listing.labels_B.tolist() == [1, 0, 1]


@pytest.mark.parametrize(
    "kind", [pa.string(), pa.large_string(), pa.dictionary(pa.int32(), pa.string())], ids=str
)
def test_strings_are_labelled_by_their_rank(tmp_path: Path, kind: pa.DataType) -> None:
    labels = pa.array(["b", "ä", "a", "b"]).cast(kind)
    listing = source_at(write_parquet(tmp_path / "a.parquet", labels)).listing()
    assert [(info.label, info.name) for info in listing.classes] == [(0, "a"), (1, "b"), (2, "ä")]
    assert listing.labels_B.tolist() == [1, 2, 0, 1]


@pytest.mark.parametrize(
    ("labels", "names", "bad"),
    [
        (pa.array([0, None, 1]), None, {1: "has no label (null)"}),
        (
            pa.array([0, 3, -1, 2]),
            NAMES,
            {1: "has the label 3, outside 0…2", 2: "has the label -1, outside 0…2"},
        ),
        (
            pa.array(["a", "", None]),
            None,
            {1: "has the label '', which names no class", 2: "has no label (null)"},
        ),
    ],
)
def test_a_row_without_a_class_is_bad_by_name_and_the_others_keep_their_images(
    tmp_path: Path, labels: pa.Array, names: list[str] | None, bad: dict[int, str]
) -> None:
    source = source_at(write_parquet(tmp_path / "a.parquet", labels, names=names, row_group_size=2))
    assert source.listing().bad == tuple(
        BadImage(name=f"a.parquet#{row}", reason=reason) for row, reason in bad.items()
    )
    good = [row for row in range(len(labels)) if row not in bad]
    named = [f"a.parquet#{row} (img/{row}.png)" for row in good]
    assert [name for _, name, _ in read_all(source)] == named == source.names()
    assert [index for index, _, _ in read_all(source)] == list(range(len(good)))


def test_images_may_be_plain_binary_or_a_struct_in_either_order(tmp_path: Path) -> None:
    structs = image_structs(3)
    data, paths = structs.field("bytes"), structs.field("path")
    swapped = pa.StructArray.from_arrays([paths, data], ["path", "bytes"])
    only_bytes = pa.StructArray.from_arrays([data], ["bytes"])
    for position, images in enumerate([data, data.cast(pa.large_binary()), swapped, only_bytes]):
        path = write_parquet(tmp_path / f"{position}.parquet", pa.array([0, 1, 0]), images)
        source = source_at(path)
        assert [image for _, _, image in read_all(source)] == data.to_pylist()
        own = [f" (img/{row}.png)" if images is swapped else "" for row in range(3)]
        assert source.names() == [f"{position}.parquet#{row}{own[row]}" for row in range(3)]


def test_a_null_image_is_an_item_with_no_bytes(tmp_path: Path) -> None:
    kind = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
    images = pa.array([{"bytes": None, "path": "gone.png"}, None, {"bytes": b"x", "path": None}], kind)
    source = source_at(write_parquet(tmp_path / "a.parquet", pa.array([0, 0, 0]), images))
    assert read_all(source) == [
        (0, "a.parquet#0 (gone.png)", b""), (1, "a.parquet#1", b""), (2, "a.parquet#2", b"x"),
    ]  # fmt: skip


def test_a_folder_of_files_is_read_in_the_order_of_keys_and_other_files_are_ignored(tmp_path: Path) -> None:
    for key, labels in {
        "data/b.parquet": [1],
        "data/a/z.parquet": [0, 2],
        "_temporary/x.parquet": [9],
    }.items():
        write_parquet(tmp_path / key, pa.array(labels))
    (tmp_path / "README.md").write_text("a card")
    source = source_at(tmp_path)
    assert source.listing().labels_B.tolist() == [0, 2, 1]
    assert [chunk.keys[0] for chunk in source.chunks()] == ["data/a/z.parquet", "data/b.parquet"]


def test_a_folder_may_be_named_like_a_file(tmp_path: Path) -> None:
    write_parquet(tmp_path / "spark.parquet" / "part-0.parquet", pa.array([0, 1]))
    assert len(source_at(tmp_path / "spark.parquet").listing().labels_B) == 2


def test_chunks_are_row_groups_and_cover_every_item_once(tmp_path: Path) -> None:
    labels = pa.array([0, 1, None, None, 2, 0, 1])
    source = source_at(write_parquet(tmp_path / "a.parquet", labels, row_group_size=2))
    assert [(chunk.first_index, chunk.count, chunk.row_group) for chunk in source.chunks()] == [
        (0, 2, 0), (2, 2, 2), (4, 1, 3),
    ]  # fmt: skip
    assert [index for index, _, _ in read_all(source)] == [0, 1, 2, 3, 4]


def test_a_missing_column_is_named_with_the_nearest_one_and_all_there_are(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", pa.array([0]))
    with pytest.raises(
        InputError, match=f"{path} has no column 'labels'; did you mean 'label'.*image, label"
    ):
        source_at(path, label_column="labels").listing()
    with pytest.raises(InputError, match=r"has no column 'jpg'.*set source\.image_column"):
        source_at(path, image_column="jpg").listing()


@pytest.mark.parametrize(
    ("config", "message"),
    [
        ({"image_column": "label"}, "column 'label' is int64; source.image_column must name one of encoded"),
        (
            {"label_column": "score"},
            "column 'score' is double; source.label_column must name one of integers",
        ),
    ],
)
def test_a_column_of_the_wrong_type_is_named_with_its_type(
    tmp_path: Path, config: dict[str, Any], message: str
) -> None:
    table = pa.table({"image": image_structs(1), "label": [1], "score": [0.5]})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message):
        source_at(tmp_path / "a.parquet", **config).listing()


@pytest.mark.parametrize("other", ["type", "names"])
def test_files_that_differ_in_schema_are_an_input_error_that_names_the_odd_one(
    tmp_path: Path, other: str
) -> None:
    write_parquet(tmp_path / "a.parquet", pa.array([0, 1]), names=NAMES)
    labels, names = (pa.array(["cat"]), None) if other == "type" else (pa.array([0]), NAMES[::-1])
    write_parquet(tmp_path / "b.parquet", labels, names=names)
    what = "label column: string here, int64 there" if other == "type" else "class names"
    with pytest.raises(InputError, match=rf"{tmp_path}/b\.parquet differs from a\.parquet in its {what}"):
        source_at(tmp_path).listing()


@pytest.mark.parametrize("damage", ["truncated", "text", "empty"])
def test_a_file_that_is_not_whole_is_bad_by_name_and_the_others_are_used(tmp_path: Path, damage: str) -> None:
    path = Path(write_parquet(tmp_path / "a.parquet", pa.array([0, 1])))
    write_parquet(tmp_path / "b.parquet", pa.array([1, 1]))
    path.write_bytes({"truncated": path.read_bytes()[:-20], "text": b"id,label\n" * 9, "empty": b""}[damage])
    listing = source_at(tmp_path).listing()
    reason = "is truncated or not Parquet: none of its rows can be read"
    assert listing.bad == (BadImage(name="a.parquet", reason=reason),)
    assert listing.labels_B.tolist() == [0, 0]
    with pytest.raises(InputError, match=r"nothing at .* can be read: a\.parquet is truncated"):
        source_at(path).listing()


def test_damaged_image_pages_are_an_input_error_that_names_the_file_and_spare_the_listing(
    tmp_path: Path,
) -> None:
    path = Path(write_parquet(tmp_path / "a.parquet", pa.array([0, 1]), compression="zstd"))
    start = pq.read_metadata(path).row_group(0).column(0).data_page_offset
    data = bytearray(path.read_bytes())
    data[start : start + 200] = bytes(200)
    path.write_bytes(data)
    source = source_at(path)
    assert source.listing().labels_B.tolist() == [0, 1]
    with pytest.raises(InputError, match=str(path)):
        read_all(source)


@pytest.mark.parametrize("text", ["not json", '{"info": 3}', '{"info": {"features": {"label": 3}}}'])
def test_metadata_that_cannot_be_read_is_an_input_error(tmp_path: Path, text: str) -> None:
    table = pa.table({"image": image_structs(1), "label": [0]}).replace_schema_metadata({"huggingface": text})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match="'huggingface' metadata cannot be read"):
        source_at(tmp_path / "a.parquet").listing()


def test_no_labelled_image_at_all_is_an_input_error(tmp_path: Path) -> None:
    path = write_parquet(tmp_path / "a.parquet", pa.array([None, None], pa.int64()))
    with pytest.raises(InputError, match=r"holds no labelled image: a\.parquet#0 has no label"):
        source_at(path).listing()
    with pytest.raises(InputError, match=r"holds no labelled image \(no rows\)"):
        source_at(write_parquet(tmp_path / "b.parquet", pa.array([], pa.int64()))).listing()


def test_what_is_not_there_is_an_input_error_that_names_it(tmp_path: Path) -> None:
    for uri in (tmp_path / "nowhere", tmp_path / "nowhere.parquet"):
        with pytest.raises(InputError, match=f"no .parquet file lies at {uri}"):
            source_at(uri).listing()


def test_a_store_without_column_reads_is_refused() -> None:
    open_store("memory://parquet-test").put("a.parquet", b"x")
    with pytest.raises(ConfigError, match="memory:// has no column-wise reads"):
        source_at("memory://parquet-test").listing()


def test_the_listing_reads_no_image_page(tmp_path: Path) -> None:
    noise = np.random.default_rng(0).bytes(4_000_000)
    images = pa.array([noise, noise[::-1]], pa.binary())
    path = Path(write_parquet(tmp_path / "a.parquet", pa.array([0, 1]), images, compression="none"))
    column = pq.read_metadata(path).row_group(0).column(0)
    data = bytearray(path.read_bytes())
    start = column.dictionary_page_offset or column.data_page_offset
    data[start : start + column.total_compressed_size] = bytes(column.total_compressed_size)
    path.write_bytes(data)
    source = source_at(path)
    assert source.listing().labels_B.tolist() == [0, 1]
    with pytest.raises(InputError):
        read_all(source)


def test_a_source_and_its_chunks_pickle_small_and_read_elsewhere(tmp_path: Path) -> None:
    source = source_at(write_parquet(tmp_path / "a.parquet", pa.array([0, 1, 0])))
    chunk = source.chunks()[0]
    assert len(pickle.dumps((source, chunk))) < 2_000
    elsewhere, task = pickle.loads(pickle.dumps((source, chunk)))
    assert list(elsewhere.read(task)) == list(source.read(chunk))


def test_what_hugging_face_datasets_writes_is_read_with_its_class_names(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    rows = {"image": [{"bytes": encoded(picture()), "path": "x.png"}] * 2, "label": [2, 0]}
    datasets.Dataset.from_dict(rows, features).to_parquet(str(tmp_path / "a.parquet"))
    source = source_at(tmp_path / "a.parquet")
    assert [info.name for info in source.listing().classes] == NAMES
    assert source.listing().labels_B.tolist() == [2, 0]
    assert read_all(source)[1] == (1, "a.parquet#1 (x.png)", encoded(picture()))


def test_parquet_on_s3_gives_the_same_listing_and_bytes_as_a_local_file(tmp_path: Path, s3_uri: str) -> None:
    local = tmp_path / "set"
    for name, labels in {"a.parquet": [0, 1], "b.parquet": [1, 1]}.items():
        path = write_parquet(local / name, pa.array(labels), names=NAMES)
        open_store(s3_uri).put(name, Path(path).read_bytes())
    for here, there in ((local, s3_uri), (local / "b.parquet", f"{s3_uri}/b.parquet")):
        assert source_at(here).listing().fingerprint == source_at(there).listing().fingerprint
        assert read_all(source_at(here)) == read_all(source_at(there))
    with pytest.raises(InputError, match=r"no \.parquet file lies at"):
        source_at(f"{s3_uri}/c.parquet").listing()


def test_public_test_rows_with_the_label_minus_one_are_held_out_and_unlabelled(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features({"image": datasets.Image(), "label": datasets.ClassLabel(names=NAMES)})
    image = {"bytes": encoded(picture()), "path": None}
    for split, labels in {"train": [2, 0], "test": [-1, -1, -1]}.items():
        rows = datasets.Dataset.from_dict({"image": [image] * len(labels), "label": labels}, features)
        rows.to_parquet(str(tmp_path / "data" / f"{split}-00000-of-00001.parquet"))
    source = source_at(tmp_path)
    assert source.listing().labels_B.tolist() == [2, 0]
    assert source.listing().bad == ()
    assert source.held_out()["test"].listing().labels_B.tolist() == [-1, -1, -1]
    assert source.counts().held_out["test"].total == 0


@pytest.mark.parametrize("kind", [pa.string(), pa.dictionary(pa.int8(), pa.string())], ids=str)
def test_a_column_of_splits_is_obeyed(tmp_path: Path, kind: pa.DataType) -> None:
    table = pa.table({"image": image_structs(4), "label": [0, 0, 1, None]})
    table = table.append_column("split", pa.array(["train", "Test", "train", "test"]).cast(kind))
    pq.write_table(table, tmp_path / "a.parquet", row_group_size=3)
    source = source_at(tmp_path)
    assert [index for index, _, _ in read_all(source)] == [0, 1]
    assert source.names() == ["a.parquet#0 (img/0.png)", "a.parquet#2 (img/2.png)"]
    assert source.held_out()["test"].listing().labels_B.tolist() == [0, -1]
    assert len(source_at(tmp_path, split=SplitConfig(by="none")).listing().labels_B) == 3


def test_a_class_label_column_of_splits_is_read_by_its_names(tmp_path: Path) -> None:
    datasets = pytest.importorskip("datasets")
    features = datasets.Features(
        {
            "image": datasets.Image(),
            "label": datasets.ClassLabel(names=NAMES),
            "split": datasets.ClassLabel(names=["train", "test"]),
        }
    )
    rows = {
        "image": [{"bytes": encoded(picture()), "path": None}] * 3,
        "label": [0, 1, 2],
        "split": [0, 1, 0],
    }
    datasets.Dataset.from_dict(rows, features).to_parquet(str(tmp_path / "a.parquet"))
    source = source_at(tmp_path)
    assert source.listing().labels_B.tolist() == [0, 2]
    assert source.held_out()["test"].listing().labels_B.tolist() == [1]


@pytest.mark.parametrize(
    ("splits", "config", "message"),
    [
        (["train", None], {}, r"a\.parquet has rows with no split \(null\) in 'split'"),
        (["train", "fold3"], {}, r"rows with the split 'fold3'"),
        ([1, 2], {}, r"column 'split' is int64; source\.split\.column must name one of text"),
        (
            ["train", "test"],
            {"by": "column", "column": "part"},
            r"has no column 'part'.*set source\.split\.column",
        ),
    ],
)
def test_a_column_of_splits_that_cant_be_understood_is_an_input_error(
    tmp_path: Path, splits: list[Any], config: dict[str, str], message: str
) -> None:
    table = pa.table({"image": image_structs(2), "label": [0, 1], "split": splits})
    pq.write_table(table, tmp_path / "a.parquet")
    with pytest.raises(InputError, match=message):
        source_at(tmp_path, split=SplitConfig.model_validate(config)).counts()


@given(
    labels=st.one_of(
        st.lists(st.none() | st.integers(-3, 5)),
        st.lists(st.none() | st.sampled_from([0, 2**63 - 1, -(2**63), 5_000])),
        st.lists(st.none() | st.sampled_from(["", "a", "b", "é"])),
    ),
    rows=st.integers(1, 4),
    encode=st.booleans(),
)
def test_labels_are_counted_as_python_counts_them(labels: list[Any], rows: int, encode: bool) -> None:
    column = pa.array(labels) if any(label is not None for label in labels) else pa.array(labels, pa.int64())
    with tempfile.TemporaryDirectory() as folder:
        images = pa.array([b"x"] * len(labels), pa.binary())
        column = column.dictionary_encode() if encode else column
        path = write_parquet(Path(folder) / "a.parquet", column, images, row_group_size=rows)
        good = [label for label in labels if label not in (None, "")]
        if not good:
            with pytest.raises(InputError, match="holds no labelled image"):
                source_at(path).counts()
            return
        counts = source_at(path).counts()
        found = dict(zip((info.name for info in counts.counts.classes), counts.counts.counts, strict=True))
        assert found == dict(Counter(map(str, good)))
        assert len(counts.bad) == len(labels) - len(good)
        listing = source_at(path).listing()
        assert [listing.classes[index].name for index in listing.labels_B] == [str(label) for label in good]
        assert (listing.fingerprint, listing.bad) == (counts.fingerprint, counts.bad)


def test_swapping_two_labels_changes_the_fingerprint(tmp_path: Path) -> None:
    images = pa.array([b"x"] * 4, pa.binary())
    paths = [
        write_parquet(tmp_path / str(index) / "a.parquet", pa.array(labels), images, compression="none")
        for index, labels in enumerate(([0, 1, 0, 1], [1, 0, 0, 1]))
    ]
    assert Path(paths[0]).stat().st_size == Path(paths[1]).stat().st_size
    one, other = (source_at(path).counts() for path in paths)
    assert one.counts == other.counts
    assert one.fingerprint != other.fingerprint


def test_a_test_sets_label_of_minus_one_is_no_class(tmp_path: Path) -> None:
    write_parquet(tmp_path / "train.parquet", pa.array([0, 1, 0]))
    write_parquet(tmp_path / "test.parquet", pa.array([-1, -1]))
    source = source_at(tmp_path)
    assert [info.label for info in source.listing().classes] == [0, 1]
    assert source.held_out()["test"].listing().labels_B.tolist() == [-1, -1]
    assert source.counts().held_out_unlabelled == {"test": 2}


def test_a_name_finds_the_row_whatever_path_the_image_has(tmp_path: Path) -> None:
    for name in ("a", "b"):
        write_parquet(tmp_path / f"{name}.parquet", pa.array([0, 1]))
    names = source_at(tmp_path).names()
    assert names == [f"{name}.parquet#{row} (img/{row}.png)" for name in "ab" for row in range(2)]

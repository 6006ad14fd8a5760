"""A shard's rows, bytes and key."""

from __future__ import annotations

import io
import json

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.store import shards
from augment.store.shards import (
    build_shard,
    held_spec,
    marks_of,
    parse_shard_key,
    sample_id,
    sample_ids,
    shard_key,
    shard_prefix,
    shard_schema,
)
from augment.types import ClassTarget, RowMarks, RunPlan, ShardPiece, ShardSpec
from tests.store.helpers import CLASSES, SHARDS, shard_bytes, tiny_run

HEX = "0123456789abcdef"
run_ids = st.text("0123456789abcdefghijklmnopqrstuvwxyz-", min_size=1, max_size=64)
digests = st.text(HEX, min_size=64, max_size=64)


@given(run_ids, st.integers(0, 10**12), digests)
def test_a_key_is_read_back_as_what_it_says(run_id: str, index: int, sha256: str) -> None:
    parsed = parse_shard_key(shard_key(run_id, index, sha256))
    assert parsed is not None
    assert (parsed.run_id, parsed.index, parsed.sha256) == (run_id, index, sha256)


@pytest.mark.parametrize(
    "key",
    [
        "data/run/000000.parquet",
        f"data/run/0000001-{'a' * 64}.parquet",  # a second spelling of shard 1
        f"data/RUN/000001-{'a' * 64}.parquet",
        f"data/run/000001-{'a' * 63}.parquet",
        f"data/run/000001-{'a' * 64}.parquet.tmp",
        f"data/run/000001-{'a' * 64}.parquet\n",
        f"other/run/000001-{'a' * 64}.parquet",
        f"data/run/sub/000001-{'a' * 64}.parquet",
        f"data/run/\u0661\u0661\u0661\u0661\u0661\u0661-{'a' * 64}.parquet",
    ],
)
def test_what_is_no_shard_key_is_not_taken_for_one(key: str) -> None:
    assert parse_shard_key(key) is None


def test_class_names_are_in_no_key() -> None:
    run = tiny_run(classes=(ClassTarget(label=0, name="../../etc/passwd", real=1, target=9),))
    assert shard_key(run.run_id, 0, "a" * 64) == f"{shard_prefix(run.run_id)}000000-{'a' * 64}.parquet"
    assert "etc" not in run.run_id


def test_the_same_plan_and_images_give_the_same_bytes() -> None:
    assert shard_bytes(tiny_run(), 1) == shard_bytes(tiny_run(), 1)


def test_a_shard_holds_what_its_spec_says() -> None:
    run = tiny_run()
    table = pq.read_table(io.BytesIO(shard_bytes(run, 1)))
    assert table["label"].to_pylist() == [1, 1, 1, 2]  # 7 samples of class 1, 4 a shard
    assert table["label_name"].to_pylist() == ["dog | wild"] * 3 + ["test"]
    assert table["sample_index"].to_pylist() == [4, 5, 6, 0]
    assert table["is_synthetic"].to_pylist() == [True] * 4
    assert table["seed"].to_pylist() == [7] * 4
    assert table["generator_id"].to_pylist() == ["ab" * 32] * 4
    assert set(table["digital_source_type"].to_pylist()) == {"trainedAlgorithmicMedia"}
    assert table["image"][0].as_py()["path"] == table["sample_id"][0].as_py() + ".png"
    assert table.schema.equals(shard_schema(run), check_metadata=True)


def test_sample_ids_are_unique_over_runs_classes_and_shards() -> None:
    runs = [tiny_run(), tiny_run(seed=8), tiny_run(image_format="webp"), tiny_run(channels=1)]
    ids = [
        identity
        for run in runs
        for index in range(SHARDS)
        for identity in sample_ids(run, run.plan.shard(index))
    ]
    assert len(set(ids)) == len(ids) == 4 * 11


@given(run_ids, st.integers(-(2**31), 2**31), st.integers(0, 2**40))
def test_a_sample_id_is_32_hex_digits(run_id: str, label: int, index: int) -> None:
    identity = sample_id(run_id, label, index)
    assert len(identity) == 32
    assert set(identity) <= set(HEX)


def test_images_lie_plain_and_uncompressed_and_scalars_as_zstd() -> None:
    columns = {
        column.path_in_schema: column
        for group in [pq.ParquetFile(io.BytesIO(shard_bytes(tiny_run(), 0))).metadata.row_group(0)]
        for column in (group.column(i) for i in range(group.num_columns))
    }
    image = columns.pop("image.bytes")
    assert image.compression == "UNCOMPRESSED"
    assert not image.has_dictionary_page
    assert not {"RLE_DICTIONARY", "PLAIN_DICTIONARY"} & set(image.encodings)
    assert not image.is_stats_set
    assert {column.compression for column in columns.values()} == {"ZSTD"}
    assert len(columns) == 12


def test_an_image_lies_in_the_file_as_it_was_encoded() -> None:
    images = [b"the first image's bytes", b"2", b"3", b"4"]
    run = tiny_run()
    assert images[0] in build_shard(run, run.plan.shard(0), images)


def test_rows_carry_how_they_were_made() -> None:
    run = made_by("classic")
    marks = [RowMarks("classic", 0, ("cat/1.png",)), RowMarks("classic", 2, ("cat/2.png", "cat/1.png"))] * 2
    table = pq.read_table(io.BytesIO(build_shard(run, run.plan.shard(0), [b"image"] * 4, marks)))
    assert table["recipe"].to_pylist() == ["classic"] * 4
    assert table["attempt"].to_pylist() == [0, 2, 0, 2]
    assert table["source_images"].to_pylist()[:2] == [["cat/1.png"], ["cat/2.png", "cat/1.png"]]
    assert table["generator_id"].to_pylist() == [None] * 4
    assert set(table["digital_source_type"].to_pylist()) == {"algorithmicallyEnhanced"}
    assert marks_of(table) == tuple(marks)


def made_by(recipe: str) -> RunPlan:
    classes = tuple(target.model_copy(update={"recipe": recipe}) for target in CLASSES)
    return tiny_run(classes=classes)


def test_a_run_of_the_first_schema_has_no_marks_and_is_the_generators() -> None:
    run = tiny_run().model_copy(update={"schema_version": 1})
    table = pq.read_table(io.BytesIO(build_shard(run, run.plan.shard(0), [b"image"] * 4)))
    assert "recipe" not in table.column_names
    assert table.schema.equals(shard_schema(run), check_metadata=True)
    assert marks_of(table) == (RowMarks("gan", 0),) * 4


def test_a_mark_that_is_none_is_named() -> None:
    run = tiny_run()
    table = pq.read_table(io.BytesIO(build_shard(run, run.plan.shard(0), [b"image"] * 4)))
    column = pa.array(["magic"] * 4, pa.string())
    with pytest.raises(ValueError, match="'magic'"):
        marks_of(table.set_column(table.column_names.index("recipe"), "recipe", column))


@st.composite
def gaps(draw: st.DrawFn) -> list[ShardPiece]:
    """Missing samples of `tiny_run`, as a manifest lists them."""
    missing = draw(st.sets(st.sampled_from([(1, index) for index in range(7)] + [(2, n) for n in range(4)])))
    pieces: list[ShardPiece] = []
    for class_index, index in sorted(missing):
        last = pieces[-1] if pieces else None
        if (
            last
            and last.class_index == class_index
            and last.first + last.count == index
            and draw(st.booleans())
        ):
            pieces[-1] = last.model_copy(update={"count": last.count + 1})
        else:
            pieces.append(ShardPiece(class_index=class_index, first=index, count=1))
    return pieces


@given(gaps(), st.sets(st.sampled_from([0, 1, 2])))
def test_a_shard_holds_its_samples_but_for_the_missing_and_the_revoked(
    missing: list[ShardPiece], without: set[int]
) -> None:
    plan = tiny_run().plan
    lacking = {(gap.class_index, gap.first + n) for gap in missing for n in range(gap.count)}
    for index in range(SHARDS):
        held = samples_of(held_spec(plan, index, without, missing))
        expected = [
            (class_index, sample)
            for class_index, sample in samples_of(plan.shard(index))
            if (class_index, sample) not in lacking and plan.classes[class_index].label not in without
        ]
        assert held == expected


def samples_of(spec: ShardSpec) -> list[tuple[int, int]]:
    return [(piece.class_index, piece.first + n) for piece in spec.pieces for n in range(piece.count)]


def test_row_groups_are_bounded_by_their_images(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(shards, "ROW_GROUP_BYTES", 10)
    run = tiny_run()
    data = build_shard(run, run.plan.shard(0), [b"12345", b"12345", b"1", b"123456789abcdef"])
    file = pq.ParquetFile(io.BytesIO(data))
    assert [file.metadata.row_group(i).num_rows for i in range(file.num_row_groups)] == [2, 1, 1]
    assert file.read()["sample_index"].to_pylist() == [0, 1, 2, 3]


def test_a_wrong_number_of_images_is_refused() -> None:
    run = tiny_run()
    with pytest.raises(ValueError, match="4 rows, not 1"):
        build_shard(run, run.plan.shard(0), [b"only one"])


def features(classes: tuple[ClassTarget, ...]) -> dict[str, dict[str, object]]:
    metadata = shard_schema(tiny_run(classes=classes)).metadata[b"huggingface"]
    declared: dict[str, dict[str, object]] = json.loads(metadata)["info"]["features"]
    return declared


def target(label: int, name: str) -> ClassTarget:
    return ClassTarget(label=label, name=name, real=1, target=2)


def test_labels_from_0_are_declared_as_classes_and_others_as_integers() -> None:
    declared = features((target(1, "b"), target(0, "a")))
    assert declared["image"] == {"_type": "Image"}
    assert declared["label"] == {"names": ["a", "b"], "_type": "ClassLabel"}
    for others in [(target(3, "a"), target(7, "b")), (target(0, "same"), target(1, "same"))]:
        assert features(others)["label"] == {"dtype": "int64", "_type": "Value"}


def test_every_column_is_declared() -> None:
    run = tiny_run()
    assert list(features(run.plan.classes)) == pa.schema(shard_schema(run)).names

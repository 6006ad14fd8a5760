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
    parse_shard_key,
    sample_id,
    scalar_columns,
    shard_key,
    shard_prefix,
    shard_schema,
)
from augment.types import ClassTarget
from tests.store.helpers import SHARDS, shard_bytes, tiny_run

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
        for identity in scalar_columns(run, run.plan.shard(index))["sample_id"]
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
    assert len(columns) == 9


def test_an_image_lies_in_the_file_as_it_was_encoded() -> None:
    images = [b"the first image's bytes", b"2", b"3", b"4"]
    run = tiny_run()
    assert images[0] in build_shard(run, run.plan.shard(0), images)


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

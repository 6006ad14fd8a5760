"""A shard: its columns, its Parquet bytes and its key.

Owns the output's schema. To add a column, add it to `shard_schema` and `scalar_columns`. Everything but the
images and a row's marks (its recipe, its attempt, its real images) follows from the run's plan, so a row's identity
never depends on who made it. Knows no store and no pixels: images come in encoded. The same plan, marks and images
give the same bytes (with the library versions that the plan pins): nothing here reads a clock, a host or a random
number.
"""

from __future__ import annotations

import hashlib
import json
import re
from bisect import bisect_right
from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from augment.types import AugmentPlan, RecipeName, RowMarks, RunPlan, ShardPiece, ShardSpec

__all__ = [
    "DIGITAL_SOURCE_TYPES",
    "ROW_GROUP_BYTES",
    "SOURCE_IMAGES",
    "ShardKey",
    "build_shard",
    "held_spec",
    "marks_of",
    "parse_shard_key",
    "planned_marks",
    "sample_id",
    "sample_ids",
    "scalar_columns",
    "shard_key",
    "shard_prefix",
    "shard_schema",
]

DIGITAL_SOURCE_TYPES: dict[RecipeName, str | None] = {
    "gan": "trainedAlgorithmicMedia",  # made by a trained model
    "classic": "algorithmicallyEnhanced",  # a real image, changed by an algorithm without training
    "smote": "compositeCapture",  # of several real images
    "duplicate": None,  # what it was in the source, where nobody said
}
"""IPTC's terms (https://cv.iptc.org/newscodes/digitalsourcetype) for what a recipe makes."""

SOURCE_IMAGES: dict[RecipeName, int] = {"gan": 0, "classic": 1, "duplicate": 1, "smote": 2}
"""Real images that a sample of a recipe names."""

ROW_GROUP_BYTES = 64 << 20  # of image bytes; dataset viewers read a whole row group at a time

_IMAGE_TYPE = pa.struct([("bytes", pa.binary()), ("path", pa.string())])
_SOURCES = pa.list_(pa.field("element", pa.string()))
_REPETITIVE = [
    "label", "label_name", "is_synthetic", "seed", "generator_id", "digital_source_type", "recipe", "attempt",
]  # fmt: skip
_DISTINCT = ["image.path", "sample_id", "sample_index", "source_images.list.element"]
_WRITER_OPTIONS: dict[str, Any] = {
    # A column missing from a per-column compression map would lie uncompressed: all are listed. Images are
    # compressed already; PLAIN and uncompressed, they can be read where they lie.
    "compression": {"image.bytes": "NONE"} | dict.fromkeys([*_REPETITIVE, *_DISTINCT], "ZSTD"),
    "use_dictionary": _REPETITIVE,
    "write_statistics": [*_REPETITIVE, *_DISTINCT],  # an image's minimum would only swell the footer
}


@dataclass(frozen=True)
class ShardKey:
    """What a shard's key says."""

    run_id: str
    index: int
    sha256: str


def shard_prefix(run_id: str) -> str:
    """Where a run's shards lie; nothing else does."""
    return f"data/{run_id}/"


def shard_key(run_id: str, index: int, sha256: str) -> str:
    """The key of shard `index` with the content `sha256` (64 hex digits)."""
    return f"{shard_prefix(run_id)}{index:06d}-{sha256}.parquet"


def parse_shard_key(key: str) -> ShardKey | None:
    """The parts of a shard's key, or None if it is not one."""
    match = re.fullmatch(r"data/([0-9a-z-]{1,64})/([0-9]{6,})-([0-9a-f]{64})\.parquet", key)
    if match is None:
        return None
    parsed = ShardKey(match[1], int(match[2]), match[3])
    return (
        parsed if shard_key(parsed.run_id, parsed.index, parsed.sha256) == key else None
    )  # one key per shard: no extra leading zeros


def sample_id(run_id: str, label: int, index: int) -> str:
    """32 hex digits that name sample `index` of class `label` in a run; no two samples share them.

    The run's id covers the plan, the generator, the augmentation and the encoding, so the same id means the
    same image.
    """
    return hashlib.sha256(f"{run_id}\x1f{label}\x1f{index}".encode()).hexdigest()[:32]


def sample_ids(run: RunPlan, spec: ShardSpec) -> list[str]:
    """`sample_id` of every row of `spec`, in order."""
    return [
        sample_id(run.run_id, run.plan.classes[piece.class_index].label, piece.first + offset)
        for piece in spec.pieces
        for offset in range(piece.count)
    ]


def shard_schema(run: RunPlan) -> pa.Schema:
    """Columns and types of every shard of `run`, with the metadata that makes Hugging Face show images."""
    fields = [
        ("image", _IMAGE_TYPE),
        ("label", pa.int64()),
        ("label_name", pa.string()),
        ("is_synthetic", pa.bool_()),
        ("sample_id", pa.string()),
        ("seed", pa.int64()),
        ("sample_index", pa.int64()),
        ("generator_id", pa.string()),
        ("digital_source_type", pa.string()),
    ]
    if run.schema_version > 1:
        fields += [("recipe", pa.string()), ("attempt", pa.int32()), ("source_images", _SOURCES)]
    schema = pa.schema(fields)
    info = {"info": {"features": _huggingface_features(schema, run.plan)}}
    return schema.with_metadata({"huggingface": json.dumps(info, ensure_ascii=False)})


def planned_marks(plan: AugmentPlan, spec: ShardSpec) -> tuple[RowMarks, ...]:
    """The marks of rows that are made as planned, at once and from no real image."""
    return tuple(
        RowMarks(plan.classes[piece.class_index].recipe, attempt=0)
        for piece in spec.pieces
        for _ in range(piece.count)
    )


def marks_of(table: pa.Table) -> tuple[RowMarks, ...]:
    """The marks of a shard's rows, as they are written there.

    A shard of a version before there were recipes has none of the columns: its rows are the generator's. Raises
    ValueError where a mark is none.
    """
    if "recipe" not in table.column_names:
        return (RowMarks("gan", attempt=0),) * table.num_rows
    columns = (table[name].to_pylist() for name in ("recipe", "attempt", "source_images"))
    marks = tuple(
        RowMarks(recipe, attempt, tuple(sources or ()))
        for recipe, attempt, sources in zip(*columns, strict=True)
    )
    for each in marks:
        if each.recipe not in DIGITAL_SOURCE_TYPES or each.attempt is None or each.attempt < 0:
            raise ValueError(
                f"a row is marked with the recipe {each.recipe!r} and the attempt {each.attempt}"
            )
    return marks


def scalar_columns(run: RunPlan, spec: ShardSpec, marks: Sequence[RowMarks]) -> dict[str, list[Any]]:
    """Every column but `image`, in row order: as the plan decides them, and each row's marks."""
    samples = [
        (run.plan.classes[piece.class_index], piece.first + offset)
        for piece in spec.pieces
        for offset in range(piece.count)
    ]
    return {
        "label": [target.label for target, _ in samples],
        "label_name": [target.name for target, _ in samples],
        "is_synthetic": [True] * len(samples),
        "sample_id": sample_ids(run, spec),
        "seed": [run.plan.seed] * len(samples),
        "sample_index": [index for _, index in samples],
        "generator_id": [run.generator_sha256 if each.recipe == "gan" else None for each in marks],
        "digital_source_type": [DIGITAL_SOURCE_TYPES[each.recipe] for each in marks],
        "recipe": [each.recipe for each in marks],
        "attempt": [each.attempt for each in marks],
        "source_images": [list(each.source_images) for each in marks],
    }


def held_spec(
    plan: AugmentPlan, index: int, without: Collection[int] = (), missing: Sequence[ShardPiece] = ()
) -> ShardSpec:
    """What shard `index` holds when the classes with the labels `without` are left out, and the samples `missing`.

    `missing` is as a manifest lists it: of all shards, ascending by class and index, without overlaps.
    """
    spec = plan.shard(index)
    kept = [piece for piece in spec.pieces if plan.classes[piece.class_index].label not in without]
    if missing:
        kept = [left for piece in kept for left in _left_of(piece, missing)]
    return spec.model_copy(update={"pieces": tuple(kept)})


def _left_of(piece: ShardPiece, missing: Sequence[ShardPiece]) -> Iterator[ShardPiece]:
    """The stretches of a piece between its missing samples."""
    begin, end = piece.first, piece.first + piece.count
    position = bisect_right(missing, (piece.class_index, begin), key=_place)
    for number in range(max(0, position - 1), len(missing)):
        gap = missing[number]
        if (gap.class_index, gap.first) >= (piece.class_index, end):
            break
        if gap.class_index != piece.class_index:
            continue
        if begin < gap.first:
            yield ShardPiece(class_index=piece.class_index, first=begin, count=gap.first - begin)
        begin = max(begin, gap.first + gap.count)
    if begin < end:
        yield ShardPiece(class_index=piece.class_index, first=begin, count=end - begin)


def _place(piece: ShardPiece) -> tuple[int, int]:
    return piece.class_index, piece.first


def build_shard(
    run: RunPlan, spec: ShardSpec, images: Sequence[bytes], marks: Sequence[RowMarks] | None = None
) -> bytes:
    """The Parquet bytes of one shard; `images` are encoded as `run.image_format`, in the spec's row order.

    Without `marks` the rows are as planned. Raises ValueError if the number of either is not the spec's.
    """
    if marks is None:
        marks = planned_marks(run.plan, spec)
    if not len(images) == len(marks) == spec.rows:
        raise ValueError(
            f"shard {spec.index} of run {run.run_id} has {spec.rows} rows, not {len(images)} images and "
            f"{len(marks)} marks"
        )
    schema = shard_schema(run)
    scalars = scalar_columns(run, spec, marks)
    sink = pa.BufferOutputStream()
    with pq.ParquetWriter(sink, schema, **_WRITER_OPTIONS) as writer:
        for start, stop in _row_groups(images):
            part = {name: values[start:stop] for name, values in scalars.items()}
            paths = [f"{name}.{run.image_format}" for name in part["sample_id"]]
            encoded: list[Any] = [pa.array(images[start:stop], pa.binary()), pa.array(paths, pa.string())]
            image = pa.StructArray.from_arrays(encoded, fields=list(_IMAGE_TYPE))
            columns = [image, *(pa.array(part[field.name], field.type) for field in list(schema)[1:])]
            writer.write_table(pa.Table.from_arrays(columns, schema=schema), row_group_size=stop - start)
    return bytes(sink.getvalue())


def _row_groups(images: Sequence[bytes]) -> Iterator[tuple[int, int]]:
    """Row ranges [start, stop) of at most ROW_GROUP_BYTES of images, at least one row each."""
    start, size = 0, 0
    for row, image in enumerate(images):
        if row > start and size + len(image) > ROW_GROUP_BYTES:
            yield start, row
            start, size = row, 0
        size += len(image)
    if start < len(images):
        yield start, len(images)


def _huggingface_features(schema: pa.Schema, plan: AugmentPlan) -> dict[str, Any]:
    """`datasets` features; the label is a ClassLabel where labels are 0 … K-1, which is all it can say."""
    features: dict[str, Any] = {
        field.name: [_value(pa.string())] if field.type == _SOURCES else _value(field.type)
        for field in schema
        if field.name != "image"
    }
    names = {target.label: target.name for target in plan.classes}
    if sorted(names) == list(range(len(names))) and len(set(names.values())) == len(names):
        features["label"] = {"names": [names[label] for label in sorted(names)], "_type": "ClassLabel"}
    return {"image": {"_type": "Image"}} | features


def _value(kind: pa.DataType) -> dict[str, str]:
    names = {pa.string(): "string", pa.int64(): "int64", pa.int32(): "int32", pa.bool_(): "bool"}
    return {"dtype": names[kind], "_type": "Value"}

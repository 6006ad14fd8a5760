"""Candidates that the gates refused, a few of each kind, kept for looking.

    _rejected/<run>/<index:06d>-<sha256 of the shard>.parquet

Owns this file. No reader of the dataset follows it, and nothing depends on it. Knows no gate and no pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

import pyarrow as pa
import pyarrow.parquet as pq

from augment.objects import ObjectStore

__all__ = ["RejectedRow", "put_rejected", "rejected_of", "rejected_prefix"]

_COLUMNS: dict[str, pa.DataType] = {
    "image": pa.binary(),
    "label": pa.int64(),
    "label_name": pa.string(),
    "sample_index": pa.int64(),
    "attempt": pa.int32(),
    "gate": pa.string(),
    "score": pa.float64(),
}
_SCHEMA = pa.schema(_COLUMNS)


@dataclass(frozen=True)
class RejectedRow:
    """One refused candidate: its encoded image, what it was for, and which gate refused it by what score."""

    image: bytes
    label: int
    label_name: str
    sample_index: int
    attempt: int
    gate: str
    score: float | None  # None where the gate compares samples with one another


def rejected_prefix(run_id: str) -> str:
    """Where a run's refused candidates lie; nothing else does."""
    return f"_rejected/{run_id}/"


def put_rejected(
    store: ObjectStore, run_id: str, index: int, shard_sha256: str, rows: Sequence[RejectedRow]
) -> None:
    """Store what was refused while shard `index` was made; nothing where nothing was."""
    if not rows:
        return
    columns = [[getattr(row, field.name) for row in rows] for field in _SCHEMA]
    arrays = [pa.array(values, field.type) for values, field in zip(columns, _SCHEMA, strict=True)]
    sink = pa.BufferOutputStream()
    pq.write_table(pa.Table.from_arrays(arrays, schema=_SCHEMA), sink)
    store.put_if_absent(
        f"{rejected_prefix(run_id)}{index:06d}-{shard_sha256}.parquet", bytes(sink.getvalue())
    )


def rejected_of(store: ObjectStore, run_id: str) -> Iterator[RejectedRow]:
    """All refused candidates that were kept of a run, shard by shard."""
    for stored in store.list(rejected_prefix(run_id)):
        for row in pq.read_table(pa.BufferReader(store.get(stored.key)), schema=_SCHEMA).to_pylist():
            yield RejectedRow(**row)

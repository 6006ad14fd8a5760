"""Parquet in a folder a class, for consumers that read single classes: Hive's `class=<URL-quoted name>`.

    data/class=dog%20%7C%20wild/000003-1.parquet     of shard 3, the rows with label 1

The key `class` is in no file, since pandas refuses a key that is in both; the files keep `label` and
`label_name`, which hold the class exactly. Few files are made where classes are few: a shard holds class
after class.
"""

from __future__ import annotations

import hashlib
import re
from collections.abc import Iterator, Mapping
from itertools import accumulate, groupby
from typing import Any
from urllib.parse import quote

from augment.errors import IntegrityError
from augment.store.layouts.contract import FileBytes, Layout, OpenedShard
from augment.store.shards import build_shard, marks_of, sample_ids
from augment.types import ShardSpec

__all__ = ["HIVE", "class_key"]

_LOADING = """\
import pyarrow.dataset
pyarrow.dataset.dataset(f"{root}/data", partitioning="hive")

import polars
polars.scan_parquet(f"{root}/data/**/*.parquet", hive_partitioning=True)
"""

_MOST_QUOTED = 200  # characters; a folder's name may have 255 bytes on most file systems
_NULL = "__HIVE_DEFAULT_PARTITION__"  # Hive's own word for a key that has no value


def class_key(name: str) -> str:
    """The value of the key `class`: the name, URL-quoted.

    A name that a folder cannot hold (empty, too long, or Hive's word for null) stands as its beginning and a
    hash; `label_name` has it in full.
    """
    quoted = quote(name, safe="")
    if quoted and len(quoted) <= _MOST_QUOTED and name != _NULL:
        return quoted
    lengths = accumulate(len(quote(character, safe="")) for character in name)
    kept = sum(length < _MOST_QUOTED - 17 for length in lengths)
    return f"{quote(name[:kept], safe='')}~{hashlib.sha256(name.encode()).hexdigest()[:16]}"


def _files(shard: OpenedShard) -> Iterator[FileBytes]:
    if shard.table["sample_id"].to_pylist() != sample_ids(shard.run, shard.spec):
        raise IntegrityError(
            f"shard {shard.spec.index} of run {shard.run.run_id} holds other rows than its plan"
        )
    images: list[Any] = shard.table.flatten()["image.bytes"].to_pylist()
    marks = marks_of(shard.table)
    first = 0
    for class_index, group in groupby(shard.spec.pieces, key=lambda piece: piece.class_index):
        target = shard.run.plan.classes[class_index]
        rows = ShardSpec(index=shard.spec.index, first_row=shard.spec.first_row + first, pieces=tuple(group))
        here = slice(first, first + rows.rows)
        data = build_shard(shard.run, rows, images[here], marks[here])
        # the label is in the name because two names may be one folder where case does not count
        yield FileBytes(
            f"data/class={class_key(target.name)}/{shard.number:06d}-{target.label}.parquet", data
        )
        first += rows.rows


def _unfinished_keys(class_names: Mapping[int, str]) -> tuple[str, ...]:
    keys = {f"data/class={class_key(name)}/unfinished-export.parquet" for name in class_names.values()}
    return tuple(sorted(keys))


HIVE = Layout(
    name="hive",
    files=_files,
    owns=re.compile(r"data/class=[A-Za-z0-9_.~%-]+/\d{6,}--?\d+\.parquet"),
    unfinished_key="data/class=unfinished-export/unfinished-export.parquet",
    also_unfinished=_unfinished_keys,
    records="parquet",
    data_files="data/*/*.parquet",
    loading=_LOADING,
)

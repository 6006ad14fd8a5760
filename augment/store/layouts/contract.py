"""What a layout is: how one committed shard becomes files, and where they lie below the target's root.

Owns the contract and the records that carry it. Knows no layout and no store. What a layout makes of a shard
depends on the shard alone, so that a copy which was killed is finished by making it again.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from functools import cached_property
from typing import Literal, NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from augment.types import RunPlan, ShardSpec

__all__ = ["ExportedFile", "FileBytes", "Layout", "OpenedShard", "Records"]

Records = Literal["parquet", "tars", "images"]
"""How records lie in data files: rows with columns, members of tars, or image files in class folders."""


class FileBytes(NamedTuple):
    """A file to write: its key below the target's root."""

    key: str
    data: bytes


class ExportedFile(NamedTuple):
    """A file that was written, and checked where it was found."""

    key: str
    size_bytes: int
    sha256: str


@dataclass(frozen=True)
class OpenedShard:
    """One committed shard in memory; its digest was checked."""

    number: int  # its position in the version, from 0
    total: int  # shards of the version
    run: RunPlan
    spec: ShardSpec  # the rows that it holds
    data: bytes

    @cached_property
    def table(self) -> pa.Table:
        """Its rows, all columns."""
        return pq.read_table(pa.BufferReader(self.data))


@dataclass(frozen=True)
class Layout:
    """How a version is laid out; every member is below the target's root."""

    name: str
    files: Callable[[OpenedShard], Iterator[FileBytes]]
    owns: re.Pattern[str]  # matches the whole key of every data file, and of no other
    unfinished_key: str  # lies among the data until all of it is there; whoever reads it as data fails
    records: Records
    data_files: str  # a glob of the data files, as `configs.data_files` of a dataset card takes it
    loading: str  # Python that reads the copy below `root`, for its card
    also_unfinished: Callable[[Mapping[int, str]], tuple[str, ...]] = (
        lambda class_names: ()
    )  # such keys in the folders that a reader of single classes would look at alone
    extras: Callable[[Mapping[int, str], Mapping[int, int]], tuple[FileBytes, ...]] = (
        lambda class_names, rows: ()
    )  # written at the end; from the name and the rows of every class, by label

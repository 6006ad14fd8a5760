"""A Parquet file's labels and splits, row group by row group: coded, counted, and not one of them a Python object.

Owns how fast a label column is counted, and in how little memory: batches of a row group are coded as small
integers against their own distinct values, then forgotten unless they are kept. Which values are classes is
parquet_columns' subject.

Axes: B = rows of a batch, then of a row group; V = distinct values of a batch.
"""

import hashlib
from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from augment.data.parquet_columns import Columns, SchemaError
from augment.data.scan import Label
from augment.types import canonical_json

__all__ = ["Coded", "GroupLabels", "Pair", "coded", "read_group"]

_BATCH_ROWS = 1 << 17
_NARROW = 1 << 12  # integers that span less are counted by their distance from the smallest

Pair = tuple[str | None, Label | None]
"""A value of the split column (None where there is none) and one of the label column."""


@dataclass(frozen=True)
class Coded:
    """A column as its distinct values and, per row, the position among them (`len(values)` for null)."""

    values: tuple[Label, ...]
    codes_B: npt.NDArray[np.integer[Any]]

    def with_null(self) -> tuple[Label | None, ...]:
        """The values, and None at the place that null's code points to."""
        return (*self.values, None)


@dataclass
class GroupLabels:
    """One row group: how many rows have which split and label, and, where asked for, each row's pair."""

    counts: Counter[Pair] = field(default_factory=Counter)
    faults: list[tuple[int, Label | None]] = field(default_factory=list)  # row of the group and its label
    digest: bytes = b""
    pairs: list[Pair] = field(default_factory=list)  # in the order of `pair_B`'s codes
    pair_B: npt.NDArray[np.int32] | None = None


def read_group(
    parquet: pq.ParquetFile, group: int, columns: Columns,
    *, keep: bool, is_fault: Callable[[str | None, Label | None], bool], where: str,
) -> GroupLabels:  # fmt: skip
    """The labels (and splits) of one row group; `is_fault` says which pairs' rows are to be named.

    Raises SchemaError for a label of more than 64 bits.
    """
    read, digest, position = GroupLabels(), hashlib.sha256(), 0
    kept, index_of = list[npt.NDArray[np.int32]](), dict[Pair, int]()
    names = [columns.label, *([columns.split] if columns.split else [])]
    for batch in parquet.iter_batches(
        batch_size=_BATCH_ROWS, row_groups=[group], columns=names, use_threads=False
    ):
        labels = coded(batch.column(batch.schema.get_field_index(columns.label)), where)
        splits = (
            coded(batch.column(batch.schema.get_field_index(columns.split)), where) if columns.split else None
        )
        digest.update(_digest(labels) + (_digest(splits) if splits else b""))
        pairs, pair_B = _paired(labels, splits)
        counted = np.bincount(pair_B, minlength=len(pairs))
        for code in np.flatnonzero(counted).tolist():
            read.counts[pairs[code]] += int(counted[code])
            if is_fault(*pairs[code]):
                rows = np.flatnonzero(pair_B == code) + position
                read.faults += [(row, pairs[code][1]) for row in rows.tolist()]
        if keep:
            for pair in pairs:
                index_of.setdefault(pair, len(index_of))
            kept.append(np.array([index_of[pair] for pair in pairs], dtype=np.int32)[pair_B])
        position += len(batch)
    read.digest = digest.digest()
    if keep:
        read.pairs = list(index_of)
        read.pair_B = np.concatenate(kept) if kept else np.empty(0, dtype=np.int32)
    read.faults.sort(key=lambda fault: fault[0])
    return read


def coded(column: Any, where: str) -> Coded:
    """An Arrow array of integers or text, dictionary-encoded or not, by its distinct values.

    Raises SchemaError for integers of more than 64 bits, and for bytes that are not text.
    """
    if pa.types.is_dictionary(column.type):
        return _coded_dictionary(column, where)
    if not pa.types.is_integer(column.type):
        return _coded_dictionary(column.dictionary_encode(), where)
    try:
        whole = column.cast(pa.int64())
    except pa.ArrowInvalid as error:
        raise SchemaError(f"{where}: a label does not fit into 64 bits ({error})") from error
    if not len(whole) - whole.null_count:
        return Coded((), np.zeros(len(whole), dtype=np.int64))
    smallest, largest = (pc.min_max(whole)[name].as_py() for name in ("min", "max"))
    if largest - smallest >= _NARROW:
        return _coded_dictionary(whole.dictionary_encode(), where)
    values = tuple(range(smallest, largest + 1))
    if whole.null_count:
        return Coded(values, _numpy(pc.subtract(whole, smallest).fill_null(len(values))))
    integers_B = _numpy(whole)  # Arrow imports pandas to subtract a number
    return Coded(values, integers_B - smallest if smallest else integers_B)


def _numpy(integers: Any) -> npt.NDArray[np.integer[Any]]:
    """An array without nulls, not copied. (Arrow's own way imports pandas, which takes longer than counting.)"""
    dtype = np.dtype(str(integers.type))
    return np.frombuffer(integers.buffers()[1], dtype)[integers.offset : integers.offset + len(integers)]


def _coded_dictionary(column: Any, where: str) -> Coded:
    try:
        values = column.dictionary.to_pylist()
    except UnicodeDecodeError as error:
        raise SchemaError(f"{where}: a label is not UTF-8 text ({error.reason})") from error
    codes = column.indices
    if codes.null_count:
        codes = codes.cast(pa.int64()).fill_null(len(values))
    codes_B = _numpy(codes)
    if None not in values:
        return Coded(tuple(values), codes_B)
    # A null may also stand among the dictionary's values.
    there = [value for value in values if value is not None]
    position = {value: index for index, value in enumerate(there)}
    of_code = np.array([position.get(value, len(there)) for value in [*values, None]], dtype=np.int64)
    return Coded(tuple(there), of_code[codes_B])


def _paired(labels: Coded, splits: Coded | None) -> tuple[list[Pair], npt.NDArray[np.integer[Any]]]:
    """All (split, label) pairs that can be, and each row's position among them."""
    if splits is None:
        return [(None, label) for label in labels.with_null()], labels.codes_B
    width = len(labels.values) + 1
    pairs = [(None if split is None else str(split), label) for split, label in _product(splits, labels)]
    return pairs, splits.codes_B.astype(np.int64) * width + labels.codes_B


def _product(splits: Coded, labels: Coded) -> Iterator[tuple[Label | None, Label | None]]:
    return ((split, label) for split in splits.with_null() for label in labels.with_null())


def _digest(column: Coded) -> bytes:
    """Of a batch's values and codes, both in the order in which the file has them."""
    narrow_B = column.codes_B.astype(np.min_scalar_type(len(column.values)), copy=False)
    header = canonical_json(column.values)
    return hashlib.sha256(header + hashlib.sha256(np.ascontiguousarray(narrow_B).data).digest()).digest()

"""Images in Parquet: one file, or every *.parquet file of a folder or glob, with a label column.

Owns which files and row groups are read, and when. A scan reads footers and the columns of labels and splits
alone; not one image byte is fetched for it. What columns mean is parquet_columns' subject, how labels are
counted parquet_labels'.
"""

import hashlib
import os
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from augment.data.config import SourceConfig
from augment.data.listing import Chunk
from augment.data.parquet_columns import (
    Columns,
    SchemaError,
    bytes_and_paths,
    classes_of,
    columns_of,
    fault_of_label,
    is_label,
)
from augment.data.parquet_labels import GroupLabels, Pair, read_group
from augment.data.places import EtagDigest, Place
from augment.data.published import placeless_name
from augment.data.scan import FoundClasses, Label, ReadImage, Scan
from augment.data.splits import split_of_word, splits_of_files, unknown_split
from augment.errors import InputError
from augment.objects import ObjectNotFoundError, StoredObject, filesystem_errors, filesystem_for
from augment.types import BadImage, canonical_json

__all__ = ["PARQUET_SUFFIX", "ParquetFormat"]

PARQUET_SUFFIX = ".parquet"
_READ_ROWS = 64  # images in memory at once, whatever the row group's size
_SCAN_THREADS = max(1, min(8, os.cpu_count() or 1))  # decoding a column is a CPU's work


@dataclass(frozen=True)
class _File:
    """A file that can be read: its footer, and the labels of its row groups."""

    key: str
    size: int
    columns: Columns
    split: str | None  # by the file's name
    group_rows: tuple[int, ...]
    groups: tuple[GroupLabels, ...]

    def split_of(self, value: str | None, config: SourceConfig) -> str:
        """The split of rows with this value in the split column; '' where rows have none."""
        if self.columns.split is None:
            return self.split or ""
        word = self.columns.split_word(value)
        split = split_of_word(word, config.split)
        if split is None:
            raise unknown_split(word, self.key, config.split)
        return split


class ParquetFormat:
    """Rows of Parquet files (see scan.Format), in the order of their keys."""

    shows_overwrites = True  # the files that hold the images are listed

    def __init__(self, place: Place, config: SourceConfig) -> None:
        self.place = place
        self.config = config
        self._files: list[_File] | None = None

    def __reduce__(self) -> tuple[type["ParquetFormat"], tuple[Place, SourceConfig]]:
        return ParquetFormat, (self.place, self.config)

    def scan(self, *, keep: bool) -> Scan:
        """See Format. InputError for a missing column, schemas that differ, or files that can't be read."""
        files, bad, etag = self._scanned_files(keep=keep)
        self._files = files if keep else None
        names = files[0].columns.class_names
        labelled = {
            (file.split_of(word, self.config), label)
            for file in files for group in file.groups for word, label in group.counts
        }  # fmt: skip
        found = classes_of(names, labelled, self.config.split)
        pairs, counts = self._pairs(files, found)
        for file in files:
            bad += self._unlabelled(file, names)
        digest = hashlib.sha256()
        for file in files:
            digest.update(
                canonical_json([file.key, file.size, [group.digest.hex() for group in file.groups]])
            )
        digest.update(canonical_json([[info.label, info.name] for info in found.classes]))
        return Scan(
            classes=found.classes,
            others=found.others,
            ranked=found.ranked,
            split_P=tuple(split for split, _ in counts),
            class_P=np.array([index for _, index in counts], dtype=np.int32),
            count_P=np.array(list(counts.values()), dtype=np.int64),
            bad=tuple(bad),
            fingerprint=digest.hexdigest(),
            etag=etag.hexdigest(),
            pair_B=_pair_of_rows(files, pairs) if keep else None,
        )

    def chunks(self, keep_B: npt.NDArray[np.bool_]) -> Iterator[Chunk]:
        """See Format: a row group each. A large one is still read in small batches."""
        first, start = 0, 0
        for file in self._kept_files():
            for group, rows in enumerate(file.group_rows):
                group_B = keep_B[start : start + rows]
                start += rows
                count = int(np.count_nonzero(group_B))
                if count:
                    skipped = tuple(np.flatnonzero(~group_B).tolist())
                    held_bytes = file.size * rows // sum(file.group_rows)
                    yield Chunk(
                        first, count, (file.key,),
                        row_group=group, skipped_rows=skipped, held_bytes=held_bytes,
                    )  # fmt: skip
                first += count

    def read(self, chunk: Chunk) -> Iterator[ReadImage]:
        """See Format. InputError naming the file if it is damaged or went away since it was listed."""
        (key,), group = chunk.keys, chunk.row_group or 0
        skipped, row = frozenset(chunk.skipped_rows), 0
        with self._opened(key) as file:
            first_row = sum(file.metadata.row_group(before).num_rows for before in range(group))
            columns = [self.config.image_column]
            for batch in file.iter_batches(batch_size=_READ_ROWS, row_groups=[group], columns=columns):
                for data, path in zip(*bytes_and_paths(batch.column(0)), strict=True):
                    if row not in skipped:
                        name, published = (
                            _row_name(key, first_row + row, own) for own in (path, _told(path))
                        )
                        yield ReadImage(name, data or b"", published=published)
                    row += 1

    def names(self, keep_B: npt.NDArray[np.bool_]) -> list[str]:
        """See Format: `file.parquet#row`, and the image's own `path` behind it where it has one."""
        return [_row_name(key, row, path) for key, row, path in self._rows_and_paths(keep_B)]

    def published_names(self, keep_B: npt.NDArray[np.bool_]) -> list[str]:
        """See Format: the `path` is of wherever the file was written, and may be absolute."""
        return [_row_name(key, row, _told(path)) for key, row, path in self._rows_and_paths(keep_B)]

    def _rows_and_paths(self, keep_B: npt.NDArray[np.bool_]) -> Iterator[tuple[str, int, str | None]]:
        """File, row in it and the image's own path, of each row of `keep_B`."""
        start = 0
        for file in self._kept_files():
            rows = sum(file.group_rows)
            yield from self._paths_in(file, keep_B[start : start + rows])
            start += rows

    # ---- files ----------------------------------------------------------------------------------------

    def _kept_files(self) -> list[_File]:
        if self._files is None:
            self.scan(keep=True)
        assert self._files is not None  # noqa: S101  # the scan keeps them
        return self._files

    @contextmanager
    def _opened(self, key: str, columns: Sequence[str] = ()) -> Iterator[pq.ParquetFile]:
        """The file; `columns` of text are read as dictionaries."""
        filesystem, root = filesystem_for(self.place.root)
        with (
            filesystem_errors(self.place.uri_of(key)),
            pq.ParquetFile(f"{root}/{key}", filesystem=filesystem, read_dictionary=list(columns)) as file,
        ):
            yield file

    def _scanned_files(self, *, keep: bool) -> tuple[list[_File], list[BadImage], EtagDigest]:
        """The files that can be read, with one schema, and those that cannot."""
        files, bad, etag = list[_File](), list[BadImage](), EtagDigest()
        objects = [item for item in self.place.objects() if _is_data_file(item.key)]
        if not objects:
            raise InputError(f"no {PARQUET_SUFFIX} file lies at {self.place.uri}; check source.uri")
        split_of = self._splits_by_name([item.key for item in objects])
        with ThreadPoolExecutor(_SCAN_THREADS) as pool:
            for item in objects:
                etag.add(item)
                scanned = self._scanned(item, split_of.get(item.key), pool, keep=keep)
                if isinstance(scanned, BadImage):
                    bad.append(scanned)
                    continue
                files.append(scanned)
                if difference := scanned.columns.difference(files[0].columns):
                    raise SchemaError(
                        f"{self.place.uri_of(item.key)} differs from {files[0].key} in {difference}; "
                        "the files of one source must have one schema"
                    )
        if not files:
            raise InputError(f"nothing at {self.place.uri} can be read: {bad[0].name} {bad[0].reason}")
        return files, bad, etag

    def _splits_by_name(self, keys: Sequence[str]) -> dict[str, str]:
        by = self.config.split.by
        if by not in ("auto", "file", "folder") or self.place.is_demo:
            return {}
        return splits_of_files(keys, self.config.split, self.place.uri, self.place.folders)

    def _scanned(
        self, item: StoredObject, split: str | None, pool: ThreadPoolExecutor, *, keep: bool
    ) -> _File | BadImage:
        """A file's footer and labels, or why none of its rows can be used."""
        where = self.place.uri_of(item.key)
        try:
            with self._opened(item.key) as parquet:
                columns = columns_of(parquet.schema_arrow, self.config, where)
                group_rows = tuple(
                    parquet.metadata.row_group(group).num_rows
                    for group in range(parquet.metadata.num_row_groups)
                )
            workers = min(_SCAN_THREADS, len(group_rows))
            shares = [range(first, len(group_rows), workers) for first in range(workers)]
            read = list(
                pool.map(lambda share: self._read_groups(item.key, share, columns, split, keep=keep), shares)
            )
        except (SchemaError, ObjectNotFoundError):
            raise
        except InputError:
            return BadImage(name=item.key, reason="is truncated or not Parquet: none of its rows can be read")
        by_group = {group: labels for each in read for group, labels in each.items()}
        groups = tuple(by_group[group] for group in range(len(group_rows)))
        return _File(item.key, item.size, columns, split, group_rows, groups)

    def _read_groups(
        self, key: str, groups: Sequence[int], columns: Columns, split: str | None, *, keep: bool
    ) -> dict[int, GroupLabels]:
        """Some row groups of a file, by one thread through a handle of its own."""
        config = self.config.split

        def is_fault(word: str | None, label: Label | None) -> bool:
            found = split_of_word(columns.split_word(word), config) if columns.split else split
            return (found is None or found in config.use) and not is_label(label, columns.class_names)

        where = self.place.uri_of(key)
        texts = [columns.label, *([columns.split] if columns.split else [])]
        with self._opened(key, texts) as parquet:
            return {
                group: read_group(parquet, group, columns, keep=keep, is_fault=is_fault, where=where)
                for group in groups
            }

    # ---- rows -----------------------------------------------------------------------------------------

    def _pairs(
        self, files: Sequence[_File], found: FoundClasses
    ) -> tuple[list[dict[Pair, int]], Counter[tuple[str, int]]]:
        """All (split, class) pairs with their rows; and, a file each, at which of them its own pairs are."""
        counts, positions = Counter[tuple[str, int]](), list[dict[Pair, int]]()
        place_of = dict[tuple[str, int], int]()
        for file in files:
            mapped = dict[Pair, int]()
            for group in file.groups:
                for (word, label), rows in group.counts.items():
                    pair = (file.split_of(word, self.config), found.class_of(label))
                    counts[pair] += rows
                    mapped[word, label] = place_of.setdefault(pair, len(place_of))
            positions.append(mapped)
        return positions, counts

    def _unlabelled(self, file: _File, names: Sequence[str] | None) -> Iterator[BadImage]:
        first_row = 0
        for rows, group in zip(file.group_rows, file.groups, strict=True):
            for row, label in group.faults:
                reason = fault_of_label(label, names)
                yield BadImage(name=_row_name(file.key, first_row + row), reason=reason)
            first_row += rows

    def _paths_in(self, file: _File, keep_B: npt.NDArray[np.bool_]) -> Iterator[tuple[str, int, str | None]]:
        """Of one file's rows; reads the `path` leaf alone."""
        paths: list[str | None] = [None] * len(keep_B)
        if not keep_B.any():
            return
        if file.columns.has_paths:
            with self._opened(file.key) as parquet:
                leaf = parquet.read(columns=[f"{self.config.image_column}.path"]).column(0)
                paths = pc.struct_field(leaf, "path").to_pylist()
        for row in np.flatnonzero(keep_B).tolist():
            yield file.key, row, paths[row]


def _pair_of_rows(files: Sequence[_File], positions: Sequence[dict[Pair, int]]) -> npt.NDArray[np.int32]:
    """Each row's pair, over all files."""
    parts = [np.empty(0, dtype=np.int32)]
    for file, mapped in zip(files, positions, strict=True):
        for group in file.groups:
            assert group.pair_B is not None  # noqa: S101  # it was read to be kept
            # A pair that no row has, as one value of a batch may be, needs no position.
            of_code = np.array([mapped.get(pair, -1) for pair in group.pairs], dtype=np.int32)
            parts.append(of_code[group.pair_B])
    return np.concatenate(parts)


def _is_data_file(key: str) -> bool:
    """A Parquet file; Hadoop's tools hide what starts with an underscore."""
    hidden = any(part.startswith("_") for part in key.split("/"))
    return key.lower().endswith(PARQUET_SUFFIX) and not hidden


def _told(path: str | None) -> str | None:
    """What published rows may tell of an image's own path."""
    return placeless_name(path) if path else None


def _row_name(key: str, row: int, path: str | None = None) -> str:
    """A path alone would not find the row: it may be in any file, or in several."""
    return f"{key}#{row} ({path})" if path else f"{key}#{row}"

"""Images in Parquet: one file, or every *.parquet file of a folder, with a label column.

Owns which files and row groups are read, and when. The listing reads footers and the label column alone;
not one image byte is fetched for it. What the columns mean is parquet_columns' subject.
"""

from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from functools import cached_property
from itertools import chain

import numpy as np
import numpy.typing as npt
import pyarrow.compute as pc
import pyarrow.parquet as pq

from augment.data.config import SourceConfig
from augment.data.demo import DEMO_SCHEME, demo_path
from augment.data.listing import Chunk, Listing, SourceItem, fingerprint_of
from augment.data.parquet_columns import (
    Columns,
    EncodedLabels,
    SchemaError,
    bytes_and_paths,
    class_indices,
    classes_of,
    columns_of,
    encoded_labels,
    fault_of_label,
)
from augment.errors import InputError
from augment.objects import ObjectNotFoundError, StoredObject, filesystem_errors, filesystem_for, open_store
from augment.types import BadImage

__all__ = ["PARQUET_SUFFIX", "ParquetSource"]

PARQUET_SUFFIX = ".parquet"
_READ_ROWS = 64  # images in memory at once, whatever the row group's size


@dataclass(frozen=True)
class _Location:
    """Where the files lie: the URI that keys are relative to, and the one file's key if it is one file."""

    root: str
    single_file: str | None


@dataclass(frozen=True)
class _ScannedFile:
    """A file's footer and label column."""

    file: StoredObject
    columns: Columns
    group_rows: tuple[int, ...]  # rows of each row group
    labels: EncodedLabels


@dataclass(frozen=True)
class _Scan:
    """All files together: what the listing, the chunks and the names are made from."""

    files: tuple[_ScannedFile, ...]
    labels_by_file: tuple[npt.NDArray[np.int32], ...]  # class index a row, -1 for a row that is no item
    listing: Listing


class ParquetSource:
    """Rows of Parquet files, in the order of their keys."""

    def __init__(self, config: SourceConfig, objects: Iterable[StoredObject] | None = None) -> None:
        """`objects`: the root's files, where a caller has listed them already."""
        self.config = config.model_copy(update={"format": "parquet"})
        self._objects = objects

    def __reduce__(self) -> tuple[type["ParquetSource"], tuple[SourceConfig]]:
        return ParquetSource, (self.config,)

    def listing(self) -> Listing:
        """See Source. InputError for a missing column, schemas that differ, or no usable row."""
        return self._scan.listing

    def names(self) -> list[str]:
        """Each item's `image.path` where the file has one, else `file.parquet#row`."""
        return list(chain.from_iterable(map(self._names_in, self._scan.files, self._scan.labels_by_file)))

    def chunks(self) -> tuple[Chunk, ...]:
        """See Source: a row group each. A large one is still read in small batches."""
        chunks, first = [], 0
        for scanned, labels_B in zip(self._scan.files, self._scan.labels_by_file, strict=True):
            groups = np.split(labels_B, np.cumsum(scanned.group_rows)[:-1]) if scanned.group_rows else []
            for group, group_labels_B in enumerate(groups):
                skipped = tuple(int(row) for row in np.flatnonzero(group_labels_B < 0))
                count = len(group_labels_B) - len(skipped)
                if count:
                    chunks.append(Chunk(first, count, (scanned.file.key,), group, skipped))
                first += count
        return tuple(chunks)

    def read(self, chunk: Chunk) -> Iterator[SourceItem]:
        """See Source. InputError naming the file if it is damaged or went away since it was listed."""
        (key,), group = chunk.keys, chunk.row_group or 0
        skipped, index, row = frozenset(chunk.skipped_rows), chunk.first_index, 0
        with self._opened(key) as file:
            first_row = sum(file.metadata.row_group(before).num_rows for before in range(group))
            columns = [self.config.image_column]
            for batch in file.iter_batches(batch_size=_READ_ROWS, row_groups=[group], columns=columns):
                for data, path in zip(*bytes_and_paths(batch.column(0)), strict=True):
                    if row not in skipped:
                        yield SourceItem(index, path or _row_name(key, first_row + row), data or b"")
                        index += 1
                    row += 1

    # ---- where the files lie --------------------------------------------------------------------------

    @cached_property
    def _location(self) -> _Location:
        uri = self.config.uri
        if uri.startswith(DEMO_SCHEME):
            uri = str(demo_path(uri))
        uri = uri.rstrip("/")
        if uri.lower().endswith(PARQUET_SUFFIX):
            parent, slash, name = uri.rpartition("/")
            parent = parent or slash or "."
            if any(item.key == name for item in open_store(parent).list(name)):
                return _Location(parent, name)
        return _Location(uri, None)  # maybe a folder whose name ends in .parquet, as Spark writes it

    def _files(self) -> list[StoredObject]:
        root, single = self._location.root, self._location.single_file
        if single is not None:
            return [item for item in open_store(root).list(single) if item.key == single]
        listed = open_store(root).list() if self._objects is None else self._objects
        self._objects = None
        files = [item for item in listed if _is_data_file(item.key)]
        if not files:
            raise InputError(f"no {PARQUET_SUFFIX} file lies at {self.config.uri}; check source.uri")
        return files

    @contextmanager
    def _opened(self, key: str) -> Iterator[pq.ParquetFile]:
        filesystem, root = filesystem_for(self._location.root)
        with (
            filesystem_errors(self._uri_of(key)),
            pq.ParquetFile(f"{root}/{key}", filesystem=filesystem) as file,
        ):
            yield file

    def _uri_of(self, key: str) -> str:
        return open_store(self._location.root).uri_of(key)

    # ---- what lies in them ----------------------------------------------------------------------------

    @cached_property
    def _scan(self) -> _Scan:
        files, bad = self._scanned_files()
        names = files[0].columns.class_names
        classes, index_of = classes_of(names, [scanned.labels for scanned in files])
        by_file = tuple(class_indices(scanned.labels, index_of) for scanned in files)
        for scanned, labels_B in zip(files, by_file, strict=True):
            for row in map(int, np.flatnonzero(labels_B < 0)):
                reason = fault_of_label(scanned.labels, row, names)
                bad.append(BadImage(name=_row_name(scanned.file.key, row), reason=reason))
        rows_B = np.concatenate(by_file)
        labels_B = rows_B[rows_B >= 0]
        if not len(labels_B):
            why = f": {bad[0].name} {bad[0].reason}" if bad else " (no rows)"
            raise InputError(f"{self.config.uri} holds no labelled image{why}")
        sizes = ((scanned.file.key, scanned.file.size) for scanned in files)
        fingerprint = fingerprint_of(sizes, classes, rows_B.astype("<i4").tobytes())
        return _Scan(tuple(files), by_file, Listing(classes, labels_B, tuple(bad), fingerprint))

    def _scanned_files(self) -> tuple[list[_ScannedFile], list[BadImage]]:
        """The files that can be read, with one schema, and those that cannot."""
        files, bad = list[_ScannedFile](), list[BadImage]()
        for file in self._files():
            scanned = self._scanned(file)
            if isinstance(scanned, BadImage):
                bad.append(scanned)
                continue
            files.append(scanned)
            if difference := scanned.columns.difference(files[0].columns):
                raise SchemaError(
                    f"{self._uri_of(file.key)} differs from {files[0].file.key} in {difference}; "
                    "the files of one source must have one schema"
                )
        if not files:
            raise InputError(f"nothing at {self.config.uri} can be read: {bad[0].name} {bad[0].reason}")
        return files, bad

    def _scanned(self, file: StoredObject) -> _ScannedFile | BadImage:
        """A file's footer and labels, or why none of its rows can be used."""
        where = self._uri_of(file.key)
        try:
            with self._opened(file.key) as parquet:
                columns = columns_of(parquet.schema_arrow, self.config, where)
                groups = range(parquet.metadata.num_row_groups)
                group_rows = tuple(parquet.metadata.row_group(group).num_rows for group in groups)
                labels = encoded_labels(parquet.read(columns=[self.config.label_column]).column(0), where)
        except (SchemaError, ObjectNotFoundError):
            raise
        except InputError:
            return BadImage(name=file.key, reason="is truncated or not Parquet: none of its rows can be read")
        return _ScannedFile(file, columns, group_rows, labels)

    def _names_in(self, scanned: _ScannedFile, labels_B: npt.NDArray[np.int32]) -> list[str]:
        """Names of one file's items; reads the `path` leaf alone."""
        paths: list[str | None] = [None] * len(labels_B)
        if scanned.columns.has_paths:
            with self._opened(scanned.file.key) as file:
                leaf = file.read(columns=[f"{self.config.image_column}.path"]).column(0)
                paths = pc.struct_field(leaf, "path").to_pylist()
        rows = map(int, np.flatnonzero(labels_B >= 0))
        return [paths[row] or _row_name(scanned.file.key, row) for row in rows]


def _is_data_file(key: str) -> bool:
    """A Parquet file that is not hidden; Hadoop's tools hide what starts with an underscore too."""
    hidden = any(part.startswith((".", "_")) for part in key.split("/"))
    return key.lower().endswith(PARQUET_SUFFIX) and not hidden


def _row_name(key: str, row: int) -> str:
    return f"{key}#{row}"

"""Read tasks: a chunk of the source, or a committed shard, and the rows of it that take part.

Owns how a task becomes decoded rows, and what reading some of them costs: whether they are scattered (see
order.py), and how much an open task holds. A task pickles small, knows its rows without reading any, and is
read whole or in part by whoever needs rows of it; what is shared by all tasks is in `Reading`.

Axes: B = rows of a task that take part, H = height, W = width, C = channels (1 or 3).
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Iterator, Mapping
from dataclasses import dataclass, replace
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from augment.data.config import ImageConfig
from augment.data.images import BadImageError, ImageLimits, decode_image
from augment.data.listing import Chunk, Source, SourceItem
from augment.errors import InputError, IntegrityError
from augment.mixing.order import SLICE_ROWS
from augment.store.decoding import decode_sample
from augment.store.reading import Dataset, read_shard
from augment.types import ImageShape, ShardReceipt

__all__ = ["MixedRow", "ReadTask", "Reading", "RealTask", "SyntheticTask"]

log = logging.getLogger("augment")


class MixedRow(NamedTuple):
    """One row of the mix, decoded."""

    image_CHW: npt.NDArray[np.uint8]
    label: int  # the source's, also of a synthetic row
    is_synthetic: bool
    name: str  # the sample id of a synthetic row, the source's name of a real one


@dataclass(frozen=True)
class Reading:
    """What every task is read with. Pickles without clients and credentials."""

    source: Source
    dataset: Dataset
    image: ImageConfig
    label_of: Mapping[str, int]  # the source's label by class name


@dataclass(frozen=True)
class RealTask:
    """A chunk of the source, and which of its items take part."""

    chunk: Chunk
    rows_B: npt.NDArray[np.int64]  # ascending positions in the chunk
    labels_B: npt.NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Items that take part; images that cannot be decoded are among them."""
        return len(self.rows_B)

    @property
    def is_scattered(self) -> bool:
        """Whether any items can be read at their own cost: not from a row group, which is read from its start."""
        return self.chunk.row_group is None

    @property
    def neighbours(self) -> int:
        """Items that had better be read together: of a tar, one range holds them."""
        return SLICE_ROWS if self.chunk.spans else 1

    def held_bytes(self, rows: int) -> int:
        """About what is held, encoded, while `rows` rows are read."""
        return self.chunk.held_bytes

    def read(self, reading: Reading, picked_B: npt.NDArray[np.int64]) -> Generator[MixedRow]:
        """The picked rows, of a row group in its own order: that is streamed.

        An image that cannot be decoded is left out and logged, or raises InputError, as source.on_bad says.
        """
        limits = ImageLimits.of(reading.source.config)
        for row, item in self._items(reading.source, picked_B):
            pixels_HWC = _decoded(item, reading, limits)
            if pixels_HWC is not None:
                yield MixedRow(_channels_first(pixels_HWC), int(self.labels_B[row]), False, item.name)

    def _items(self, source: Source, picked_B: npt.NDArray[np.int64]) -> Iterator[tuple[int, SourceItem]]:
        """Each picked row and its item, still encoded."""
        if self.is_scattered:
            # in a tar, one range for rows that lie together; elsewhere each item has a place of its own
            apart = np.diff(picked_B) != 1 if self.chunk.spans else np.zeros(len(picked_B) - 1, dtype=bool)
            for rows_R in np.split(picked_B, np.flatnonzero(apart) + 1):
                chunk = _part_of(self.chunk, self.rows_B[rows_R])
                yield from zip(rows_R.tolist(), source.read(chunk), strict=True)
            return
        row_of = {int(self.rows_B[row]): int(row) for row in picked_B}
        for item in source.read(self.chunk):
            row = row_of.pop(item.item_index - self.chunk.first_index, None)
            if row is not None:
                yield row, item
            if not row_of:
                return


def _part_of(chunk: Chunk, position_R: npt.NDArray[np.int64]) -> Chunk:
    """Some items of a chunk, by their positions in it, in that order; their item_index says nothing."""
    positions = position_R.tolist()
    return replace(
        chunk,
        count=len(positions),
        keys=tuple(chunk.keys[position] for position in positions),
        spans=tuple(chunk.spans[position] for position in positions) if chunk.spans else (),
    )


def _decoded(item: SourceItem, reading: Reading, limits: ImageLimits) -> npt.NDArray[np.uint8] | None:
    try:
        if item.fault:
            raise BadImageError(item.fault)
        return decode_image(item.data, reading.image, limits)
    except BadImageError as error:
        if reading.source.config.on_bad == "fail":
            raise InputError(f"{item.name} {error}; mend or remove it, or set source.on_bad=skip") from error
        log.warning("left out %s: %s", item.name, error)
        return None


@dataclass(frozen=True)
class SyntheticTask:
    """A committed shard, and which of its rows take part."""

    shard: ShardReceipt
    shape: ImageShape
    rows_B: npt.NDArray[np.int64]  # ascending positions in the shard

    @property
    def rows(self) -> int:
        """Rows that take part."""
        return len(self.rows_B)

    is_scattered = False
    neighbours = 1

    def held_bytes(self, rows: int) -> int:
        """About what is held, encoded, while `rows` rows are read."""
        return self.shard.size_bytes * rows // max(1, self.shard.rows)

    def read(self, reading: Reading, picked_B: npt.NDArray[np.int64]) -> Generator[MixedRow]:
        """The picked rows in the order of `picked_B`; they are held in memory, encoded.

        Raises IntegrityError if the shard is not what its manifest and its plan say.
        """
        table = self._picked(reading.dataset, picked_B)
        for row in range(table.num_rows):
            image = table["image"][row].as_py()
            pixels_HWC = decode_sample(image["bytes"], self.shape, image["path"])
            if self.shape != reading.image.shape:
                pixels_HWC = decode_image(image["bytes"], reading.image)
            label = reading.label_of[table["label_name"][row].as_py()]
            yield MixedRow(_channels_first(pixels_HWC), label, True, table["sample_id"][row].as_py())

    def _picked(self, dataset: Dataset, picked_B: npt.NDArray[np.int64]) -> pa.Table:
        data = read_shard(dataset.store, self.shard)
        table = pq.read_table(pa.BufferReader(data), columns=["image", "label_name", "sample_id"])
        if table.num_rows != self.shard.rows:
            where = dataset.store.uri_of(self.shard.key)
            raise IntegrityError(
                f"{where} has {table.num_rows} rows, not the {self.shard.rows} its manifest lists"
            )
        return table.take(self.rows_B[picked_B])


ReadTask = RealTask | SyntheticTask


def _channels_first(pixels_HWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(pixels_HWC.transpose(2, 0, 1))

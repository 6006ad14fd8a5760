"""Read tasks: a chunk of the source, or a committed shard, and the rows of it that take part.

Owns how a task becomes decoded rows. A task pickles small, knows its rows without reading any, and is read
whole or in part by whoever needs rows of it; what is shared by all tasks is in `Reading`.

Axes: B = rows of a task that take part, H = height, W = width, C = channels (1 or 3).
"""

from __future__ import annotations

import logging
from collections.abc import Generator, Mapping
from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from augment.data.config import ImageConfig
from augment.data.images import BadImageError, ImageLimits, decode_image
from augment.data.listing import Chunk, Source, SourceItem
from augment.errors import InputError, IntegrityError
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
    """A chunk of the source; all its items take part."""

    chunk: Chunk
    labels_B: npt.NDArray[np.int64]

    @property
    def rows(self) -> int:
        """Items; images that cannot be decoded are among them."""
        return self.chunk.count

    def read(self, reading: Reading, picked_B: npt.NDArray[np.int64]) -> Generator[MixedRow]:
        """The picked rows, in the source's own order: a chunk is streamed and never held whole.

        An image that cannot be decoded is left out and logged, or raises InputError, as source.on_bad says.
        """
        wanted, left = set(picked_B.tolist()), len(picked_B)
        limits = ImageLimits.of(reading.source.config)
        for item in reading.source.read(self.chunk):
            offset = item.item_index - self.chunk.first_index
            if offset not in wanted:
                continue
            pixels_HWC = _decoded(item, reading, limits)
            if pixels_HWC is not None:
                yield MixedRow(_channels_first(pixels_HWC), int(self.labels_B[offset]), False, item.name)
            left -= 1
            if not left:
                return


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

    def read(self, reading: Reading, picked_B: npt.NDArray[np.int64]) -> Generator[MixedRow]:
        """The picked rows in the order of `picked_B`; the shard is held in memory, encoded.

        Raises IntegrityError if the shard is not what its manifest and its plan say.
        """
        data = read_shard(reading.dataset.store, self.shard)
        table = pq.read_table(pa.BufferReader(data), columns=["image", "label_name", "sample_id"])
        if table.num_rows != self.shard.rows:
            where = reading.dataset.store.uri_of(self.shard.key)
            raise IntegrityError(
                f"{where} has {table.num_rows} rows, not the {self.shard.rows} its manifest lists"
            )
        for picked in picked_B.tolist():
            row = int(self.rows_B[picked])
            image = table["image"][row].as_py()
            pixels_HWC = decode_sample(image["bytes"], self.shape, image["path"])
            if self.shape != reading.image.shape:
                pixels_HWC = decode_image(image["bytes"], reading.image)
            label = reading.label_of[table["label_name"][row].as_py()]
            yield MixedRow(_channels_first(pixels_HWC), label, True, table["sample_id"][row].as_py())


ReadTask = RealTask | SyntheticTask


def _channels_first(pixels_HWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    return np.ascontiguousarray(pixels_HWC.transpose(2, 0, 1))

"""A committed dataset as a torch Dataset. The only file of this room that imports torch."""

from __future__ import annotations

from bisect import bisect_right
from collections import OrderedDict
from itertools import accumulate
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq
import torch

from augment.store.decoding import decode_sample
from augment.store.reading import read_shard
from augment.types import ImageShape, ShardReceipt

if TYPE_CHECKING:
    from augment.store.reading import Dataset

__all__ = ["ShardImages"]


class _Samples(NamedTuple):
    """One shard's columns that training needs."""

    images: Any  # a pyarrow column of struct<bytes, path>
    labels: npt.NDArray[np.int64]


class ShardImages(torch.utils.data.Dataset[tuple[torch.Tensor, int]]):
    """Map-style: item i is (uint8 image [C, H, W], label), in the dataset's row order.

    Shards are fetched when first touched and checked against their digests; the last few stay in memory,
    encoded. Loader workers each keep their own.
    """

    def __init__(self, dataset: Dataset, cached_shards: int) -> None:
        self._dataset = dataset
        self._shards: list[tuple[ShardReceipt, ImageShape]] = [
            (shard, run.plan.plan.image) for run in dataset.runs for shard in run.manifest.shards
        ]
        self._ends = list(accumulate(shard.rows for shard, _ in self._shards))
        self._cached_shards = max(1, cached_shards)
        self._cache: OrderedDict[int, _Samples] = OrderedDict()

    def __getstate__(self) -> dict[str, Any]:
        return self.__dict__ | {"_cache": OrderedDict()}  # a spawned worker fetches what it needs

    def __len__(self) -> int:
        return self._ends[-1] if self._ends else 0

    def __getitem__(self, index: int) -> tuple[torch.Tensor, int]:
        row = index + len(self) if index < 0 else index
        if not 0 <= row < len(self):
            raise IndexError(f"row {index} is outside the dataset's {len(self)} rows")
        position = bisect_right(self._ends, row)
        shard, shape = self._shards[position]
        samples = self._load(position)
        offset = row - (self._ends[position] - shard.rows)
        image = samples.images[offset].as_py()
        pixels_HWC = decode_sample(image["bytes"], shape, image["path"])
        return torch.from_numpy(pixels_HWC.transpose(2, 0, 1).copy()), int(samples.labels[offset])

    def _load(self, position: int) -> _Samples:
        if position in self._cache:
            self._cache.move_to_end(position)
            return self._cache[position]
        data = read_shard(self._dataset.store, self._shards[position][0])
        table = pq.ParquetFile(pa.BufferReader(data)).read(columns=["image", "label"])
        self._cache[position] = _Samples(table["image"], table["label"].to_numpy())
        if len(self._cache) > self._cached_shards:
            self._cache.popitem(last=False)
        return self._cache[position]

"""The first trial of a probe: real files of this source decoded, and scratch objects put into this store.

Owns what is read and written for it, and that nothing is left behind. Knows no torch and no Ray.

N = images, H, W, C = rows, columns, channels.
"""

import secrets
import time
from collections.abc import Iterator, Sequence

import numpy as np
import numpy.typing as npt

from augment.config import Config
from augment.data.image_hashes import hashes_of
from augment.data.images import BadImageError, ImageLimits, encode_images, fit_image, whole_image
from augment.data.listing import Source
from augment.data.sources import open_source
from augment.errors import InputError
from augment.objects import open_store
from augment.planning.forecast import ReadTrial
from augment.planning.slices import Slices, repeated
from augment.types import AugmentPlan
from pipelines.probe_records import ProbeOrder, SampleImages, peak_bytes, spread_order

__all__ = ["read_trial"]

_SLICE = 32  # images
_MOST_SAMPLE_BYTES = 64_000_000  # of pixels, kept for the other trials
_MOST_PUT_BYTES = 32_000_000
_ENCODED_SLICES = 64
_DECODE_SHARE = 0.6  # of the trial's time


def read_trial(order: ProbeOrder, submitted_s: float) -> tuple[ReadTrial, SampleImages]:
    """Decode, encode and put for `order.seconds`; what was decoded goes along.

    Raises InputError where no image can be read, ConfigError where the store can't be written to.
    """
    start_s = time.time() - submitted_s
    config = order.config
    decoding = _Decoding(config)
    decode_s = repeated(decoding.some, _DECODE_SHARE * order.seconds)
    if not decoding.kept:
        raise InputError(
            f"{config.source.where}: no image that was looked at can be read; try inspect --deep"
        )
    pixels_NHWC = np.stack(decoding.kept)
    encoded_bytes = _encoded(pixels_NHWC, np.array(decoding.class_index), order.plan, config)
    shard_rows = max(1, min(order.plan.shard_rows, order.plan.rows))
    put_bytes = max(1, min(_MOST_PUT_BYTES, int(encoded_bytes.a_unit.middle * shard_rows)))
    trial = ReadTrial(
        images=len(pixels_NHWC),
        decode_s=decode_s,
        encoded_bytes=encoded_bytes,
        put_s=_puts(config.output.uri, put_bytes, (1 - _DECODE_SHARE) * order.seconds),
        put_bytes=put_bytes,
        start_s=start_s,
        peak_bytes=peak_bytes(),
    )
    return trial, SampleImages(pixels_NHWC)


class _Decoding:
    """Images of a source, chunk after chunk from all over it, and from its start again when all were seen."""

    def __init__(self, config: Config) -> None:
        self._config, self._limits = config, ImageLimits.of(config.source)
        self._source = open_source(config.source)
        self._labels_B = self._source.listing().labels_B
        self._items, self._first_round = iter(_items(self._source)), True
        self._left = _MOST_SAMPLE_BYTES
        self.kept: list[npt.NDArray[np.uint8]] = []
        self.class_index: list[int] = []

    def some(self) -> float:
        """Decode the next images as an ingest does: how many were looked at."""
        for looked_at in range(_SLICE):
            item = next(self._items, None)
            if item is None:
                self._items, self._first_round = iter(_items(self._source)), False
                return max(1, looked_at)
            index, data = item
            self._look(index, data)
        return _SLICE

    def _look(self, index: int, data: bytes) -> None:
        image = self._config.image
        try:
            whole = whole_image(data, image.background, self._limits)
            pixels_HWC = fit_image(whole, image, self._limits)
        except BadImageError:
            return  # a run leaves it out too, and looking at it took its time
        if self._config.source.duplicates.looked_for:
            hashes_of(data, whole, perceptual=self._config.source.duplicates.near != "off")
        if self._first_round and pixels_HWC.nbytes <= self._left:
            self._left -= pixels_HWC.nbytes
            self.kept.append(pixels_HWC)
            self.class_index.append(int(self._labels_B[index]))


def _items(source: Source) -> Iterator[tuple[int, bytes]]:
    chunks = source.chunks()
    for number in spread_order(len(chunks)):
        for item in source.read(chunks[number]):
            if not item.fault:
                yield item.item_index, item.data


def _encoded(
    pixels_NHWC: npt.NDArray[np.uint8],
    class_index_N: npt.NDArray[np.int64],
    plan: AugmentPlan,
    config: Config,
) -> Slices:
    """Bytes of an encoded image, a slice being one image of each class, weighed by the samples that it gets."""
    own = {
        index: np.flatnonzero(class_index_N == index)
        for index, target in enumerate(plan.classes)
        if target.synthetic
    }
    own = {index: rows for index, rows in own.items() if len(rows)} or {0: np.arange(len(pixels_NHWC))}
    weight = {index: max(1, plan.classes[index].synthetic) for index in own}
    slices = []
    for number in range(min(_ENCODED_SLICES, max(map(len, own.values())))):
        rows = [int(rows[number % len(rows)]) for rows in own.values()]
        sizes = [len(data) for data in encode_images(pixels_NHWC[rows], config.output.image_format)]
        slices.append(_mean(sizes, list(weight.values())))
    return Slices(units=(1.0,) * len(slices), totals=tuple(slices))


def _mean(sizes: Sequence[int], weights: Sequence[int]) -> float:
    return sum(size * weight for size, weight in zip(sizes, weights, strict=True)) / sum(weights)


def _puts(uri: str, size: int, seconds: float) -> Slices:
    """Objects of `size` bytes put, timed one by one, and deleted whatever happens."""
    store, data = open_store(uri), secrets.token_bytes(size)
    prefix = f"_probe/{secrets.token_hex(8)}"
    keys: list[str] = []

    def put() -> float:
        keys.append(f"{prefix}/{len(keys)}")
        store.put_if_absent(keys[-1], data)
        if len(keys) > 1:
            store.delete(keys.pop(0))  # two at a time: a disk may be nearly full
        return 1

    try:
        return repeated(put, seconds)
    finally:
        store.delete_all(keys)

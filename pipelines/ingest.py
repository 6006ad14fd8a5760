"""Ray tasks: labelled images in storage → one block of decoded uint8 pixels in the object store.

Owns the decoding of a source on a cluster. A data set that fits in memory is decoded once and put into
the object store once, where every worker of a node reads it without a copy.

B = images of a chunk, H, W, C = rows, columns, channels.
"""

import hashlib
import json
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import compress
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray

from augment.data.census import refuse_bad
from augment.data.config import ImageConfig, SourceConfig
from augment.data.duplicates import DuplicateReport
from augment.data.image_hashes import hashes_of
from augment.data.images import BadImageError, ImageLimits, fit_image, whole_image
from augment.data.listing import Chunk, Source
from augment.errors import InputError
from augment.types import BadImage, ClassCounts
from pipelines.chunks import on_chunks
from pipelines.cluster import ray_errors
from pipelines.duplicates import compare_decoded, hash_table
from pipelines.progress import Progress

__all__ = ["DecodedImages", "ingest", "sample_images"]

Pixels = npt.NDArray[np.uint8]  # [B, H, W, C]
NO_ITEMS = np.empty(0, np.int64)


@dataclass(frozen=True, slots=True)
class DecodedImages:
    """Every usable image, decoded: references to uint8 [N, H, W, C] and to int64 class indices [N]."""

    pixels: ray.ObjectRef
    class_index: ray.ObjectRef
    counts: ClassCounts
    bad: tuple[BadImage, ...]  # those of the listing first
    sha256: str  # of pixels and class indices: what a model is trained on
    names: ray.ObjectRef  # what published rows call each image, a list of N texts
    duplicates: DuplicateReport | None = None  # None where nothing was compared


def ingest(source: Source, config: SourceConfig, image: ImageConfig, progress: Progress) -> DecodedImages:
    """Decode every image of `source` in parallel; their order is the source's own.

    Images that cannot be decoded are left out and named (`source.on_bad=skip`), or raise InputError
    (`fail`); those that are there twice are treated as source.duplicates says. Raises InputError where none
    is left.
    """
    listing = source.listing()
    hashed, decoded = on_chunks(
        _decode_chunk, (source, config, image), source, progress, tables=2, stage="decode", doing="decoding"
    )
    resolution = compare_decoded(source, image, hashed, progress)
    dropped, dropped_items = (resolution.dropped, resolution.dropped_items) if resolution else ((), NO_ITEMS)
    with progress.stage("decode"), ray_errors("decoding"):
        pixels, class_index, names, summary = _assemble.options(num_returns=4).remote(
            listing.labels_B, image, dropped_items, *decoded
        )
        counted, bad_json, digest = ray.get(summary)
    undecodable = (BadImage(name=name, reason=reason) for name, reason in json.loads(bad_json))
    bad = (*listing.bad, *undecodable, *dropped)
    counts = ClassCounts(
        classes=listing.classes, counts=tuple(counted.get(index, 0) for index in range(len(listing.classes)))
    )
    refuse_bad(bad, config)
    if not counts.total:
        first = f"; the first: {bad[0].name} {bad[0].reason}" if bad else ""
        raise InputError(f"{config.where}: no image can be read{first}")
    report = resolution.report if resolution else None
    return DecodedImages(pixels, class_index, counts, bad, digest, names, report)


def sample_images(images: DecodedImages, classes: Sequence[int], per_class: int) -> dict[int, Pixels]:
    """The first `per_class` images of each of these classes, by class index: uint8 [n, H, W, C]."""
    with ray_errors("decoding"):
        return ray.get(_sample.remote(images.pixels, images.class_index, tuple(classes), per_class))


def _decode_chunk(
    number: int, chunk: Chunk, source: Source, config: SourceConfig, image: ImageConfig
) -> tuple[pa.Table, pa.Table]:
    """A row of hashes; and one of the chunk's good images by index, their pixels end to end, and the bad ones."""
    pixels_BHWC = np.empty((chunk.count, image.size, image.size, image.channels), np.uint8)
    indices: list[int] = []
    names: list[str] = []
    hashes: list[npt.NDArray[Any]] = []
    bad: list[tuple[str, str]] = []
    limits, policy = ImageLimits.of(config), config.duplicates
    for item in source.read(chunk):
        if item.fault:
            bad.append((item.name, item.fault))
            continue
        try:
            whole = whole_image(item.data, image.background, limits)
            pixels_BHWC[len(indices)] = fit_image(whole, image, limits)
        except BadImageError as error:
            bad.append((item.name, str(error)))
            continue
        indices.append(item.item_index)
        names.append(item.published)
        if policy.looked_for:
            hashes.append(hashes_of(item.data, whole, perceptual=policy.near != "off"))
    return hash_table(indices, hashes), pa.table(
        {
            "number": pa.array([number], pa.int64()),
            "indices": pa.array([indices], pa.list_(pa.int64())),
            "pixels": pa.array([pixels_BHWC[: len(indices)].reshape(-1).data], pa.large_binary()),
            "names": pa.array([names], pa.list_(pa.string())),
            "bad": pa.array([json.dumps(bad)], pa.string()),
        }
    )


@ray.remote(num_cpus=1)
def _assemble(
    labels: npt.NDArray[np.int64], image: ImageConfig, dropped: npt.NDArray[np.int64], *tables: pa.Table
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64], list[str], tuple[dict[int, int], str, str]]:
    """All chunks as one array in the source's order, whatever order they were decoded in.

    Without the items `dropped`, which a policy leaves out though they are good.
    """
    rows = sorted((row for table in tables for row in _rows(table)), key=lambda row: row[0])
    size, channels = image.size, image.channels
    kept = [~np.isin(row[1], dropped) for row in rows]
    names = [name for row, keep in zip(rows, kept, strict=True) for name in compress(row[4], keep)]
    indices = np.concatenate([row[1][keep] for row, keep in zip(rows, kept, strict=True)] or [NO_ITEMS])
    pixels = np.empty((len(indices), size, size, channels), np.uint8)
    start = 0
    for (_, _, data, _, _), keep in zip(rows, kept, strict=True):
        block = np.frombuffer(data, np.uint8).reshape(-1, size, size, channels)
        stop = start + int(keep.sum())
        pixels[start:stop] = block if keep.all() else block[keep]
        start = stop
    class_index = labels[indices].astype(np.int64)
    digest = hashlib.sha256(class_index.tobytes())
    digest.update(pixels)
    values, counted = np.unique(class_index, return_counts=True)
    bad = [entry for row in rows for entry in row[3]]
    counts = dict(zip(values.tolist(), counted.tolist(), strict=True))
    return pixels, class_index, names, (counts, json.dumps(bad), digest.hexdigest())


def _rows(
    table: pa.Table,
) -> list[tuple[int, npt.NDArray[np.int64], memoryview, list[tuple[str, str]], list[str]]]:
    return [
        (
            table["number"][i].as_py(),
            np.asarray(table["indices"][i].values, dtype=np.int64),
            memoryview(table["pixels"][i].as_buffer()),
            json.loads(table["bad"][i].as_py()),
            table["names"][i].as_py(),
        )
        for i in range(table.num_rows)
    ]


@ray.remote(num_cpus=0)
def _sample(
    pixels: Pixels, class_index: npt.NDArray[np.int64], classes: tuple[int, ...], per_class: int
) -> dict[int, Pixels]:
    return {index: pixels[np.flatnonzero(class_index == index)[:per_class]] for index in classes}

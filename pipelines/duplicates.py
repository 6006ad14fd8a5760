"""Ray tasks: the hashes of decoded images, gathered and compared across splits.

Owns how hashes travel: workers hash what they decode, 41 bytes an image come to the driver, where they are
compared once; names come only for what is found. What is the same is augment.data.duplicates' subject.
"""

from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray

from augment.data.config import ImageConfig
from augment.data.deep_look import TRAINING_SPLIT, compare_splits, compared_splits
from augment.data.duplicates import DUPLICATE_KINDS, DuplicateReport, HashedSplit, Resolution, finding_text
from augment.data.image_hashes import HASH_DTYPE, hashes_of
from augment.data.images import BadImageError, ImageLimits, whole_image
from augment.data.listing import Chunk, Source
from pipelines.chunks import on_chunks
from pipelines.cluster import ray_errors
from pipelines.progress import Progress, log

__all__ = ["compare_decoded", "hash_table", "tell_duplicates"]

_NAMED_IN_LOG = 10  # findings of a kind


def hash_table(indices: Sequence[int], hashes: Sequence[npt.NDArray[Any]]) -> pa.Table:
    """One chunk's row: its good images' positions in the listing, and their hashes end to end.

    `hashes` is empty where nothing is compared.
    """
    packed = b"".join(image.tobytes() for image in hashes)
    return pa.table(
        {
            "indices": pa.array([indices], pa.list_(pa.int64())),
            "hashes": pa.array([packed], pa.large_binary()),
        }
    )


def compare_decoded(
    source: Source, image: ImageConfig, hashes: Sequence[ray.ObjectRef], progress: Progress
) -> Resolution | None:
    """Compare the training images, whose tables of `hashes` these are, with each other and with held-out ones.

    None where source.duplicates looks for nothing. Held-out images are decoded for this, and their pixels
    forgotten. What is found is logged; raises InputError where a policy refuses.
    """
    splits = compared_splits(source)
    if not splits:
        return None
    hashed = [_gathered(TRAINING_SPLIT, source, hashes)]
    for name, split in splits.items():
        if name != TRAINING_SPLIT:
            hashed.append(_gathered(name, split, _hashed_chunks(split, image, progress)))
    resolution = compare_splits(source, hashed)
    tell_duplicates(resolution.report)
    return resolution


def _gathered(name: str, source: Source, refs: Sequence[ray.ObjectRef]) -> HashedSplit:
    """The hashes of all chunks, in the order of the listing, whatever order they were made in."""
    with ray_errors("comparing"):
        rows = [row for table in ray.get(list(refs)) for row in _rows(table)]
    item_U = np.concatenate([indices for indices, _ in rows] or [np.empty(0, np.int64)])
    hashes_U = np.concatenate([hashes for _, hashes in rows] or [np.empty(0, HASH_DTYPE)])
    order_U = np.argsort(item_U, kind="stable")
    item_U, labels_B = item_U[order_U], source.listing().labels_B
    return HashedSplit(name, item_U, labels_B[item_U], hashes_U[order_U])


def _rows(table: pa.Table) -> list[tuple[npt.NDArray[np.int64], npt.NDArray[Any]]]:
    return [
        (
            np.array(table["indices"][row].values, dtype=np.int64),
            np.frombuffer(table["hashes"][row].as_buffer(), HASH_DTYPE).copy(),
        )
        for row in range(table.num_rows)
    ]


def _hashed_chunks(source: Source, image: ImageConfig, progress: Progress) -> list[ray.ObjectRef]:
    """Every image of a held-out split decoded and hashed, in parallel."""
    (tables,) = on_chunks(
        _hash_chunk, (source, image), source, progress, tables=1, stage="compare", doing="comparing"
    )
    return tables


def _hash_chunk(_number: int, chunk: Chunk, source: Source, image: ImageConfig) -> tuple[pa.Table]:
    limits, perceptual = ImageLimits.of(source.config), source.config.duplicates.near != "off"
    indices, hashes = list[int](), list[npt.NDArray[Any]]()
    for item in source.read(chunk):
        try:
            whole = whole_image(item.data, image.background, limits)
            hashes.append(hashes_of(item.data, whole, perceptual=perceptual))
        except BadImageError:
            continue  # a held-out image that nobody can read is nobody's copy
        indices.append(item.item_index)
    return (hash_table(indices, hashes),)


def tell_duplicates(report: DuplicateReport) -> None:
    """Log what was found, the first findings of each kind by name."""
    for kind in DUPLICATE_KINDS:
        count = report.found.get(kind, 0)
        if not count:
            continue
        leakage = "LEAKAGE: " if kind == "across_splits" else ""
        log.warning("%s%s (source.duplicates.%s)", leakage, finding_text(kind, count), kind)
        for pair in [pair for pair in report.pairs if pair.kind == kind][:_NAMED_IN_LOG]:
            log.warning(
                "  %s (%s) and %s (%s, %s)",
                pair.name, pair.class_name, pair.other, pair.other_split, pair.other_class,
            )  # fmt: skip

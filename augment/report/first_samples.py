"""The first few committed samples of each class of a run, decoded: for pictures, and to be measured.

Owns which rows these are; each shard is read at most once, and none that is not needed.

B = samples, H, W, C = rows, columns, channels.
"""

from __future__ import annotations

from collections import Counter, defaultdict
from collections.abc import Collection, Iterator
from dataclasses import dataclass
from typing import cast

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.parquet as pq

from augment.store.decoding import decode_sample
from augment.store.reading import CommittedRun, Dataset, read_shard
from augment.store.shards import held_spec, marks_of
from augment.types import AugmentPlan, RecipeName, ShardSpec

__all__ = ["Samples", "first_samples", "sample_blocks", "shown_classes"]

Pixels = npt.NDArray[np.uint8]  # [B, H, W, C]


@dataclass(frozen=True, slots=True)
class Samples:
    """Committed samples of one class: pixels uint8 [B, H, W, C], and the id of each."""

    pixels_BHWC: Pixels
    ids_B: tuple[str, ...]


def first_samples(
    dataset: Dataset, run: CommittedRun, most: int, classes: Collection[int] | None = None
) -> dict[int, Samples]:
    """At most `most` samples of each of these classes (None: all) that has any, by class index."""
    found: dict[int, list[Samples]] = defaultdict(list)
    for class_index, samples in sample_blocks(dataset, run, most, classes):
        found[class_index].append(samples)
    return {
        class_index: Samples(
            np.concatenate([one.pixels_BHWC for one in parts]),
            tuple(name for one in parts for name in one.ids_B),
        )
        for class_index, parts in found.items()
    }


def sample_blocks(
    dataset: Dataset,
    run: CommittedRun,
    most: int,
    classes: Collection[int] | None = None,
    *,
    recipe: RecipeName | None = None,
) -> Iterator[tuple[int, Samples]]:
    """The samples of `first_samples`, class index by class index and shard by shard: one shard is held at a time.

    With `recipe`, the first of the rows that were made by it. Raises IntegrityError where a shard is missing, is
    not what its manifest lists, or holds something that is no image.
    """
    plan, manifest = run.plan.plan, run.manifest
    taken: Counter[int] = Counter()
    for shard in manifest.shards:
        spec = held_spec(plan, shard.index, manifest.without, manifest.missing)
        rows_of = {
            index: rows
            for index, rows in _rows_by_class(spec).items()
            if taken[index] < most and (classes is None or index in classes)
        }
        if not rows_of:
            continue
        table = pq.ParquetFile(pa.BufferReader(read_shard(dataset.store, shard))).read()
        made_by = [mark.recipe for mark in marks_of(table)]
        for class_index, rows in rows_of.items():
            fitting = [row for row in rows if recipe in (None, made_by[row])][: most - taken[class_index]]
            if fitting:
                taken[class_index] += len(fitting)
                yield class_index, _decoded(table.select(["image", "sample_id"]).take(fitting), plan)


def _rows_by_class(spec: ShardSpec) -> dict[int, list[int]]:
    """The rows of a shard by class index, in order."""
    found: dict[int, list[int]] = defaultdict(list)
    row = 0
    for piece in spec.pieces:
        found[piece.class_index] += range(row, row + piece.count)
        row += piece.count
    return found


def _decoded(rows: pa.Table, plan: AugmentPlan) -> Samples:
    images = cast(list[dict[str, bytes]], rows["image"].to_pylist())
    names = cast(list[str], rows["sample_id"].to_pylist())
    pixels = [
        decode_sample(image["bytes"], plan.image, name) for image, name in zip(images, names, strict=True)
    ]
    return Samples(np.stack(pixels), tuple(names))


def shown_classes(plan: AugmentPlan, most: int) -> list[int]:
    """Class indices that pictures are made of: all, or of more than `most` the rarest and the largest, half each."""
    order = sorted(range(len(plan.classes)), key=lambda index: plan.classes[index].real)
    if len(order) > most:
        order = order[: most // 2] + order[-(most - most // 2) :]
    return sorted(order)

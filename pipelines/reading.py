"""Committed datasets, and mixes of real and synthetic rows, as Ray Datasets.

Found by `augment.open_dataset(uri).to_ray()` and `augment.open_balanced(…).to_ray()` as entry points.
"""

from collections.abc import Iterator
from itertools import islice
from typing import Any

import numpy as np
import ray
import ray.data

from augment.errors import ConfigError
from augment.mixing.balanced import Balanced
from augment.mixing.tasks import MixedRow
from augment.store.reading import Dataset

__all__ = ["balanced_to_ray", "to_ray"]

_MOST_BLOCKS = 64  # read tasks of a mix, unless they are given
_BATCH_ROWS = 256


def to_ray(dataset: Dataset) -> "ray.data.Dataset":
    """Exactly the committed shards of this version, as rows with the columns of the schema."""
    return ray.data.read_parquet(dataset.files)


def balanced_to_ray(
    mix: Balanced, *, epoch: int = 0, blocks: int | None = None, with_origin: bool = False
) -> "ray.data.Dataset":
    """One epoch of a mix: `image` (uint8 [C, H, W]) and `label`, with `is_synthetic` and `name` if asked for.

    Each of `blocks` tasks streams its part, so that what a worker holds does not grow with the data set.
    """
    parts = min(_MOST_BLOCKS, max(1, len(mix.tasks))) if blocks is None else blocks
    if parts < 1:
        raise ConfigError(f"blocks={blocks} is not at least 1")
    shared = ray.put(mix)  # once, not with every task
    tasks = ray.data.range(parts, override_num_blocks=parts)
    return tasks.map_batches(
        _read_parts,
        batch_size=1,
        fn_kwargs={"mix": shared, "parts": parts, "epoch": epoch, "with_origin": with_origin},
    )


def _read_parts(
    batch: dict[str, Any], mix: "Balanced | ray.ObjectRef", parts: int, epoch: int, with_origin: bool
) -> Iterator[dict[str, Any]]:
    opened = ray.get(mix) if isinstance(mix, ray.ObjectRef) else mix
    for part in batch["id"].tolist():
        rows = opened.read(epoch, part, parts)
        while some := list(islice(rows, _BATCH_ROWS)):
            yield _columns(some, with_origin)


def _columns(rows: list[MixedRow], with_origin: bool) -> dict[str, Any]:
    columns: dict[str, Any] = {
        "image": np.stack([row.image_CHW for row in rows]),
        "label": np.array([row.label for row in rows], dtype=np.int64),
    }
    if with_origin:
        columns["is_synthetic"] = np.array([row.is_synthetic for row in rows])
        columns["name"] = np.array([row.name for row in rows], dtype=object)
    return columns

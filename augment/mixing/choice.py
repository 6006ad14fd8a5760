"""How many synthetic rows of a class take part, and which.

Pure. The choice is nested: every sample has one rank, a hash of the seed and of what the sample is, and the
rows of the smallest ranks are taken, so that a higher ratio holds all rows of a lower one.

Axes: B = committed rows of a shard, in its order.
"""

from __future__ import annotations

import difflib
import math
from collections.abc import Mapping, Sequence
from fractions import Fraction

import numpy as np
import numpy.typing as npt

from augment.errors import ConfigError
from augment.seeds import stream_id, uniforms
from augment.types import RunPlan, ShardSpec

__all__ = ["Ratio", "chosen_rows", "ranks_of", "synthetic_counts"]

Ratio = float | Mapping[str, float] | None
"""Synthetic rows for every real row of a class: of all classes, or by class name; None is all."""


def synthetic_counts(ratio: Ratio, real: Mapping[str, int], committed: Mapping[str, int]) -> dict[str, int]:
    """Synthetic rows to take, by class name: ratio × real rows, rounded down, at most what is committed.

    A class that a mapping does not name takes part with its real rows alone. Raises ConfigError for a name
    that no class has, or a ratio that is negative or not a number.
    """
    if isinstance(ratio, Mapping):
        for name in ratio:
            if name not in real:
                near = difflib.get_close_matches(name, real, n=1)
                hint = f"; did you mean {near[0]!r}?" if near else ""
                raise ConfigError(f"ratio names class {name!r}, which the source does not have{hint}")
    counts = {}
    for name, images in real.items():
        there = committed.get(name, 0)
        wanted = ratio.get(name, 0.0) if isinstance(ratio, Mapping) else ratio
        counts[name] = there if wanted is None else min(there, _times(wanted, images, name))
    return counts


def _times(ratio: object, images: int, name: str) -> int:
    """Exact in decimals: 0.29 of 100 is 29, though 0.29 * 100 is a little less."""
    exact = _as_float(ratio)
    if not 0 <= exact < math.inf:
        raise ConfigError(f"ratio={ratio!r} of class {name!r} is not a number of at least 0")
    return math.floor(Fraction(repr(exact)) * images)


def _as_float(ratio: object) -> float:
    """A number as it is, and anything else, a text of digits or a truth value too, as nan."""
    if isinstance(ratio, bool) or not isinstance(ratio, int | float | np.integer | np.floating):
        return math.nan
    return float(ratio)


def ranks_of(run: RunPlan, spec: ShardSpec, seed: int) -> npt.NDArray[np.float64]:
    """Each row's rank in [0, 1), by seed, run, label and sample index: what its sample id is made of."""
    parts = [
        uniforms(
            seed,
            stream_id("mixing.choice", run.run_id, run.plan.classes[piece.class_index].label),
            piece.first,
            piece.count,
            1,
        )[:, 0]
        for piece in spec.pieces
    ]
    return np.concatenate(parts) if parts else np.empty(0)


def chosen_rows(
    names_by_shard: Sequence[npt.NDArray[np.int64]],
    ranks_by_shard: Sequence[npt.NDArray[np.float64]],
    counts: Sequence[int],
) -> list[npt.NDArray[np.int64]]:
    """Per shard, the rows that take part, ascending: of class c, the `counts[c]` of the smallest ranks.

    `names_by_shard` holds each row's class, numbered as in `counts`. Rows of equal rank go by their position.
    """
    sizes = [len(ranks_B) for ranks_B in ranks_by_shard]
    class_B = np.concatenate(names_by_shard) if sizes else np.empty(0, dtype=np.int64)
    ranks_B = np.concatenate(ranks_by_shard) if sizes else np.empty(0)
    taken_B = np.zeros(len(class_B), dtype=bool)
    by_class_B = np.lexsort((ranks_B, class_B))  # class after class, each by rank; stable
    bounds = np.searchsorted(class_B[by_class_B], np.arange(len(counts) + 1)).tolist()
    for first, end, count in zip(bounds[:-1], bounds[1:], counts, strict=True):
        taken_B[by_class_B[first : min(end, first + count)]] = True
    ends = np.cumsum(sizes)
    return [np.flatnonzero(taken_B[end - size : end]) for end, size in zip(ends.tolist(), sizes, strict=True)]

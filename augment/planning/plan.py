"""From counts to a plan: which samples are made, and in which shards.

Pure and deterministic: no clock, no host, no random number, so equal inputs give an equal `plan_id`. A plan
is a few numbers a class, however many samples it asks for; shards are computed when they are asked for.
"""

from collections.abc import Sequence

from augment.planning.config import BalanceConfig
from augment.planning.policy import targets, topped_up
from augment.types import AugmentPlan, ClassCounts, ExistingRows, ImageShape, RecipeName

__all__ = ["make_plan"]


def make_plan(
    counts: ClassCounts,
    balance: BalanceConfig,
    *,
    image: ImageShape,
    seed: int,
    shard_rows: int,
    batch_size: int,
    existing: Sequence[ExistingRows] = (),
    recipes: Sequence[RecipeName] | None = None,
) -> AugmentPlan:
    """The plan that brings `counts`, with what a dataset holds already, to the targets of `balance`, each class by its
    recipe (None: all `gan`).

    `batch_size` is part of the plan because it is part of the pixels: matrix libraries choose their
    kernels, and so the order of their sums, by the size of a batch. Every forward pass therefore has exactly
    `batch_size` samples, the last of a shard being padded, and a shard made again, alone or with others, is
    made of the same passes. `shard_rows` need not be a multiple of it; what the padding costs is counted by
    `augment.planning.cost`.

    Raises what `targets` and `topped_up` of augment.planning.policy raise.
    """
    return AugmentPlan(
        seed=seed,
        image=image,
        classes=topped_up(targets(counts, balance, recipes), existing),
        shard_rows=shard_rows,
        batch_size=batch_size,
    )

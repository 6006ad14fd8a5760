"""Config of the plan: how far each class is filled up, in imbalanced-learn's vocabulary; what it may cost."""

from typing import Literal

from pydantic import Field

from augment.types import ConfigModel

__all__ = ["BalanceConfig", "BudgetConfig", "CostConfig", "PricesConfig"]


class BalanceConfig(ConfigModel):
    """How many samples each class should end with."""

    strategy: Literal["auto", "minority", "not minority", "not majority", "all"] | dict[str, int] = "auto"
    """imbalanced-learn's `sampling_strategy`: `auto` = `not majority`, `minority` (the single
    smallest class), `not minority`, `all`, or a map from class name to its final total."""

    ratio: float = Field(default=1.0, gt=0, le=1)
    """A class is filled up to this share of the largest class; a class already above it is left
    alone. Not used with a map."""

    max_per_class: int | None = Field(default=None, ge=1)
    """Make at most this many synthetic samples of one class."""

    max_total: int | None = Field(default=None, ge=1)
    """Make at most this many synthetic samples in all; every class gives up the same share."""

    min_real: int = Field(default=20, ge=1)
    """A class with fewer real images is too small to learn from."""

    below_min_real: Literal["refuse", "skip", "generate"] = "refuse"
    """What to do with such a class: stop and name it (exit code 3), leave it as it is, or generate all
    the same."""


class PricesConfig(ConfigModel):
    """What hardware costs, in USD an hour; a job pays for what it holds, from its start to its end."""

    cpu: float | None = Field(default=None, ge=0)
    """Of one CPU of the cluster; `null`: not counted."""

    gpu: float | None = Field(default=None, ge=0)
    """Of one GPU that the job uses; `null`: not counted."""

    machine: float | None = Field(default=None, ge=0)
    """Of everything else together, or of the whole cluster where it is rented as one; `null`: not counted."""


class CostConfig(ConfigModel):
    """What a run costs."""

    prices: PricesConfig = PricesConfig()


class BudgetConfig(ConfigModel):
    """The most that a job may use, over all its commands until it has ended well; it then stops with exit code 5."""

    usd: float | None = Field(default=None, gt=0)
    """Dollars, by `cost.prices` and what the cluster holds."""

    hours: float | None = Field(default=None, gt=0)
    """Hours, each command's from its start. Training ends at its best snapshot in time for generating, and generating
    begins no shard any more; what is whole is kept."""

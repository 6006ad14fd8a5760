"""Config of the plan: how far each class is filled up, in imbalanced-learn's vocabulary."""

from typing import Literal

from pydantic import Field

from augment.types import ConfigModel

__all__ = ["BalanceConfig"]


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

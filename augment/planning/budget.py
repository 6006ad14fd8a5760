"""What a run may cost: from money and hours to seconds, and how they are shared out.

Pure: prices and hardware in, seconds out. Knows no clock, no stage and no cluster.
"""

import math

from augment.errors import ConfigError
from augment.planning.config import BudgetConfig, PricesConfig
from augment.types import Record

__all__ = ["Allowance", "Held", "allowance", "training_share", "usd_per_hour"]

SAFETY = 2.0  # generating takes so many times its estimate, at most: that is how good the estimate is
MOST_KEPT = 0.5  # of a budget, for generating


class Held(Record):
    """What a job holds from its first second to its last, whether it computes or not: so it is paid."""

    cpus: float
    gpus: float = 0.0


class Allowance(Record):
    """Seconds that a command may take, 0 or more, and the setting that says so."""

    seconds: float
    field: str  # "budget.hours=2"


def usd_per_hour(prices: PricesConfig, held: Held) -> float | None:
    """Price of an hour with all that is held; None where the config has no price for any of it."""
    priced = [
        number * price
        for number, price in ((held.cpus, prices.cpu), (held.gpus, prices.gpu), (1.0, prices.machine))
        if price is not None and number > 0
    ]
    return sum(priced) if priced else None


def allowance(
    budget: BudgetConfig, prices: PricesConfig, held: Held, *, spent_s: float = 0.0, spent_usd: float = 0.0
) -> Allowance | None:
    """How long a command may run with what it holds, after others of its job spent so much; None without a budget.

    Raises ConfigError where `budget.usd` can't be counted: nothing of what is held has a price above 0.
    """
    limits = []
    if budget.hours is not None:
        left_s = max(0.0, 3600 * budget.hours - spent_s)
        limits.append(Allowance(seconds=left_s, field=f"budget.hours={budget.hours:g}"))
    if budget.usd is not None:
        hourly = usd_per_hour(prices, held)
        if not hourly:
            raise ConfigError(
                f"budget.usd={budget.usd:g} can't be counted: the job holds {held.cpus:g} CPUs and {held.gpus:g} GPUs, "
                "and cost.prices says what none of them costs; set cost.prices.cpu, cost.prices.gpu or "
                "cost.prices.machine (USD an hour), or budget.hours"
            )
        left_usd = max(0.0, budget.usd - spent_usd)
        limits.append(Allowance(seconds=3600 * left_usd / hourly, field=f"budget.usd={budget.usd:g}"))
    return min(limits, key=lambda limit: limit.seconds, default=None)


def training_share(left_s: float, generating_s: float) -> float:
    """Seconds of `left_s` that training may take: the rest is kept for generating, which was estimated at
    `generating_s`. At least half of what is left, and never below 0.
    """
    if not math.isfinite(left_s):
        return left_s
    kept_s = min(MOST_KEPT * left_s, SAFETY * generating_s)
    return max(0.0, left_s - kept_s)

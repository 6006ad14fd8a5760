"""The suites by name. To add one, write its file and one entry of `SUITES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from augment.errors import ConfigError
from tests.benchmarks import gan, speed, store
from tests.benchmarks.measure import Comparison

__all__ = ["SUITES", "Suite", "find_suite"]


@dataclass(frozen=True, slots=True)
class Suite:
    """`comparisons(small, stack)` sets up what all measurements share; closing `stack` takes it away."""

    comparisons: Callable[[bool, ExitStack], list[Comparison]]
    repeats: int


SUITES: Mapping[str, Suite] = {
    "gan": Suite(gan.comparisons, gan.REPEATS),
    "speed": Suite(speed.comparisons, speed.REPEATS),
    "store": Suite(store.comparisons, store.REPEATS),
}


def find_suite(name: str) -> Suite:
    """The suite of that name; ConfigError with the names there are where there is none."""
    if name not in SUITES:
        raise ConfigError(f"SUITE={name} is no benchmark; there are {', '.join(SUITES)}")
    return SUITES[name]

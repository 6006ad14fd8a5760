"""The suites by name. To add one, write its file and one entry of `SUITES`."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import partial
from typing import Any

from augment.errors import ConfigError
from tests.benchmarks import census, gan, ingest, lift, scale, sizing, speed, startup, store, train
from tests.benchmarks.options import Options
from tests.benchmarks.rates import compare

__all__ = ["SUITES", "Suite", "find_suite"]

Suite = Callable[[Options], dict[str, Any]]
"""Prints its table; what it returns is stored as JSON."""

SUITES: Mapping[str, Suite] = {
    "census": partial(compare, census.comparisons, census.REPEATS),
    "gan": gan.run,
    "ingest": ingest.run,
    "lift": lift.run,
    "scale": scale.run,
    "sizing": sizing.run,
    "speed": partial(compare, speed.comparisons, speed.REPEATS),
    "startup": startup.run,
    "store": partial(compare, store.comparisons, store.REPEATS),
    "train": partial(compare, train.comparisons, train.REPEATS),
}


def find_suite(name: str) -> Suite:
    """The suite of that name; ConfigError with the names there are where there is none."""
    if name not in SUITES:
        raise ConfigError(f"SUITE={name} is no benchmark; there are {', '.join(SUITES)}")
    return SUITES[name]

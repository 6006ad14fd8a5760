"""Checks of what a caller of the mixing reader gives, so that a wrong value is named at the door."""

from __future__ import annotations

import numpy as np

from augment.errors import ConfigError

__all__ = ["check_whole"]


def check_whole(name: str, value: object, least: int) -> None:
    """ConfigError if `value` is not a whole number of at least `least`; `name` is the argument's."""
    if isinstance(value, bool) or not isinstance(value, int | np.integer) or value < least:
        raise ConfigError(f"{name}={value!r} is not a whole number of at least {least}")

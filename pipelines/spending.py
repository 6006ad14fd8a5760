"""What one command may use, and what it has used: the clock of its budget.

Owns when a budget is over and the words for it. How money becomes time is augment.planning.budget's; what a stage does
then is the stage's. Time is the wall clock's, since workers on other machines look at it too. Imports neither torch nor
Ray.
"""

import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

from augment.config import Config
from augment.errors import PartialError
from augment.gan.hardware import Hardware
from augment.planning.budget import Allowance, allowance, training_share
from pipelines.site import held_by

__all__ = ["Spending"]


class Spending:
    """A command's budget, from its start on; each command has it anew."""

    def __init__(self, config: Config, now_s: Callable[[], float] = time.time) -> None:
        self._config, self._now_s = config, now_s
        self._began_s = now_s()
        self._allowance: Allowance | None = None

    def begin(self, hardware: Hardware) -> None:
        """Count by what the cluster has; ConfigError where dollars can't be counted by it."""
        budget, prices = self._config.budget, self._config.cost.prices
        self._allowance = allowance(budget, prices, held_by(self._config, hardware))

    @property
    def ends_at(self) -> float | None:
        """When the budget is over, in seconds since 1970; None where there is none."""
        return None if self._allowance is None else self._began_s + self._allowance.seconds

    def training_ends_at(self, generating_s: float) -> float | None:
        """When training is to end, so that what it makes can still be generated with, in `generating_s` seconds."""
        if self.ends_at is None:
            return None
        now_s = self._now_s()
        return now_s + training_share(self.ends_at - now_s, generating_s)

    def refuse(self, step: str) -> None:
        """PartialError where the budget is over before `step` has begun."""
        if self._is_over and self._allowance is not None:
            raise PartialError(f"{self._allowance.field} is used up before {step}; {_GO_ON}")

    @contextmanager
    def told(self) -> Iterator[None]:
        """Where the body ends partly done and the budget is over, the error says that it is why."""
        try:
            yield
        except PartialError as error:
            if self._is_over and self._allowance is not None:
                raise PartialError(f"{self._allowance.field} is used up: {error}") from error
            raise

    @property
    def _is_over(self) -> bool:
        return self.ends_at is not None and self._now_s() >= self.ends_at


_GO_ON = "what is stored is kept, and the same command, with a budget of its own, goes on"

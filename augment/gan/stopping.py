"""A training that is asked to stop before its end: at which steps the ranks ask, and what they then raise.

Owns the pace of the question. Who asks, and what for (a machine that is taken away, a test), is the caller's; what is
kept before the stop is augment.gan.training's.
"""

from collections.abc import Callable

from augment.gan.replica import Replica

__all__ = ["ASK_EVERY_S", "Pulse", "StopAsker", "StoppedError"]

ASK_EVERY_S = 1.0
"""About so many seconds of training lie between two questions: of several ranks, each is a broadcast."""

Pulse = Callable[[int], bool]
"""Called on every rank before each step with its number: a sign of life. True on rank 0 asks the run to stop there."""


class StoppedError(Exception):
    """Raised on every rank alike before step `step`, once what was done is saved: the same run goes on from there."""

    def __init__(self, step: int) -> None:
        super().__init__(f"stopped before step {step}")
        self.step = step


class StopAsker:
    """Whether the ranks stop before a step: rank 0's word, asked for at the same steps on every rank."""

    def __init__(self, replica: Replica, pulse: Pulse) -> None:
        self._replica, self._pulse = replica, pulse
        self._every = 1  # until the run knows its speed

    def keep_pace(self, steps_per_s: float) -> None:
        """Ask every ASK_EVERY_S from now on. All ranks must give the same figure."""
        self._every = max(1, int(ASK_EVERY_S * steps_per_s))

    def stops_before(self, step: int) -> bool:
        """Give the sign of life; True, on all ranks alike, where the run is to stop before this step."""
        wanted = self._pulse(step)
        if self._replica.world_size > 1 and step % self._every:
            return False
        return self._replica.agree(lambda: wanted)

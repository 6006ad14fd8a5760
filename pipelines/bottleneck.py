"""Which stage held up a generation, and what to change: from what each shard's making took.

A stage that is slower than the generators holds them up in one of two ways: they wait, once the object store holds as
much as Ray lets it; or, where all that is left fits into the object store, they are done early, and the rest goes on
without them. Both are time in which they are not busy. Owns the sums, the arithmetic and the advice. Knows neither Ray nor
shards.
"""

from __future__ import annotations

import math
import time
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Literal

from pipelines.cluster import Device

__all__ = ["BUSY", "Finding", "Sampled", "Stored", "Tally", "find_bottleneck"]

Stage = Literal["generator", "encoding", "store", "overhead", "cores"]

BUSY = 0.95
"""Share of its time from which on a generator is held up by nothing but itself."""

HEARD_WITHIN_S = 1.0
"""What is heard of two shards came to pass so much closer together, or farther apart, at most."""


@dataclass(frozen=True, slots=True)
class Sampled:
    """Seconds of one shard in the first stage."""

    waited_s: float  # its generator had nothing to do before it
    sampling_s: float  # generator and gates


@dataclass(frozen=True, slots=True)
class Stored:
    """Seconds of one shard in the second stage."""

    encoding_s: float  # augmentation, encoding, Parquet
    putting_s: float  # until the store had it


@dataclass
class Tally:
    """What was heard of all shards, added up as it comes: a run may have any number of them."""

    now_s: Callable[[], float] = time.monotonic
    sampled: int = 0
    stored: int = 0
    waited_s: float = 0.0
    sampling_s: float = 0.0
    encoding_s: float = 0.0
    putting_s: float = 0.0
    _last_sampled_s: float = field(default=0.0, init=False)
    _last_stored_s: float = field(default=0.0, init=False)

    def add(self, heard: Sampled | Stored) -> None:
        """One shard more in one of the stages."""
        if isinstance(heard, Sampled):
            self.sampled += 1
            self.waited_s += heard.waited_s
            self.sampling_s += heard.sampling_s
            self._last_sampled_s = self.now_s()
        else:
            self.stored += 1
            self.encoding_s += heard.encoding_s
            self.putting_s += heard.putting_s
            self._last_stored_s = self.now_s()

    @property
    def trailing_s(self) -> float:
        """How long shards were still stored after the last one was sampled, but for what storing one takes anyway."""
        if not self.sampled or not self.stored:
            return 0.0
        one_s = (self.encoding_s + self.putting_s) / self.stored
        return max(0.0, self._last_stored_s - self._last_sampled_s - one_s - HEARD_WITHIN_S)


@dataclass(frozen=True, slots=True)
class Finding:
    """The stage that more of would have made the run faster, and what its user can do about it."""

    stage: Stage
    busy: float  # share of the generators' time in which they computed, 0 to 1
    message: str
    cpus: int | None = None  # that would keep the generators busy; None where they are no help


def find_bottleneck(
    tally: Tally, *, device: Device, actors: int, cpus: float, stage_cpus: float
) -> Finding | None:
    """What held up these shards; None of too few to tell.

    Each generator, and each shard that is being stored, holds `stage_cpus` of the cluster's `cpus`; where these would do,
    what is between the stages held up the generators. On a CPU both stages compute on the
    same cores, so that neither holds up the other: both are told.
    """
    if not tally.stored or tally.sampled < 2 * actors:
        return None
    spent_s = tally.sampling_s + tally.waited_s + actors * tally.trailing_s
    busy = tally.sampling_s / max(spent_s, 1e-9)
    if device == "cpu":
        return Finding("cores", busy, _of_cores(tally))
    if busy >= BUSY:
        return Finding(
            "generator",
            busy,
            f"the generator is the bottleneck ({busy:.0%} busy): more GPUs make this faster (generate.actors, "
            "a larger cluster), and nothing else does",
        )
    wanted = _cpus_wanted(tally, actors, stage_cpus)
    if wanted <= cpus:
        return Finding(
            "overhead",
            busy,
            f"what lies between shards is the bottleneck: the generator is {busy:.0%} busy, though {cpus:g} CPU(s) suffice "
            "to encode and store; larger shards (output.shard_rows), or nothing else on these machines",
        )
    if tally.putting_s > tally.encoding_s:
        return Finding(
            "store",
            busy,
            f"the store is the bottleneck: putting takes {tally.putting_s / tally.stored:.2g} s a shard and the generator "
            f"is {busy:.0%} busy; larger shards (output.shard_rows), a store in the cluster's region, or about {wanted} "
            "CPU(s) to put side by side",
            wanted,
        )
    return Finding(
        "encoding",
        busy,
        f"encoding is the bottleneck: the generator is {busy:.0%} busy; about {wanted} CPU(s) beside {actors} GPU(s) would "
        "keep it so, or output.image_format=png, which is quicker than webp",
        wanted,
    )


def _cpus_wanted(tally: Tally, actors: int, stage_cpus: float) -> int:
    """For the generators, and for as many shards as are to be stored at once while each generator makes one.

    What storing takes was measured with as many at once on each CPU as there will be then.
    """
    at_once = (tally.encoding_s + tally.putting_s) / max(tally.sampling_s, 1e-9) * actors
    return math.ceil(stage_cpus * (actors + at_once) - 1e-9)


def _of_cores(tally: Tally) -> str:
    shares = {"the generator": tally.sampling_s, "encoding": tally.encoding_s, "the store": tally.putting_s}
    total = max(sum(shares.values()), 1e-9)
    told = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in shares.items())
    return f"the cores' time went to {told}"

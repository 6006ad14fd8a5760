"""Which stage held up a generation, and what to change: from what each shard's making took.

Owns the arithmetic and the advice. Knows neither Ray nor shards.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from pipelines.cluster import Device

__all__ = ["BUSY", "Finding", "Sampled", "Stored", "find_bottleneck"]

Stage = Literal["generator", "encoding", "store", "cores"]

BUSY = 0.95
"""Share of its time from which on a generator is held up by nothing but itself."""


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


@dataclass(frozen=True, slots=True)
class Finding:
    """The stage that more of would have made the run faster, and what its user can do about it."""

    stage: Stage
    busy: float  # share of the generators' time in which they computed, 0 to 1
    message: str


def find_bottleneck(
    sampled: Sequence[Sampled], stored: Sequence[Stored], *, device: Device, actors: int
) -> Finding | None:
    """What held up these shards; None of too few to tell.

    On a CPU both stages compute on the same cores, so that neither holds up the other: both are told.
    """
    if not stored or len(sampled) < 2 * actors:
        return None
    waited, sampling = sum(each.waited_s for each in sampled), sum(each.sampling_s for each in sampled)
    encoding, putting = sum(each.encoding_s for each in stored), sum(each.putting_s for each in stored)
    busy = sampling / max(sampling + waited, 1e-9)
    if device == "cpu":
        return Finding("cores", busy, _of_cores(sampling, encoding, putting))
    if busy >= BUSY:
        return Finding(
            "generator",
            busy,
            f"the generator is the bottleneck ({busy:.0%} busy): more GPUs make this faster (generate.actors, "
            "a larger cluster), and nothing else does",
        )
    if putting > encoding:
        return Finding(
            "store",
            busy,
            f"the store is the bottleneck: putting takes {putting / len(stored):.2g} s a shard and the generator is "
            f"{busy:.0%} busy; larger shards (output.shard_rows), a store in the cluster's region, or more CPUs to put "
            "side by side",
        )
    wanted = (encoding + putting) / max(sampling, 1e-9) * actors
    return Finding(
        "encoding",
        busy,
        f"encoding is the bottleneck: the generator is {busy:.0%} busy; about {wanted:.3g} CPU(s) beside "
        f"{actors} GPU(s) would keep it so, or output.image_format=png, which is quicker than webp",
    )


def _of_cores(sampling: float, encoding: float, putting: float) -> str:
    total = max(sampling + encoding + putting, 1e-9)
    shares = {"the generator": sampling, "encoding": encoding, "the store": putting}
    told = ", ".join(f"{name} {seconds / total:.0%}" for name, seconds in shares.items())
    return f"the cores' time went to {told}"

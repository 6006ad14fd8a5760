"""From sizes that were measured to a billion images on many GPUs: straight lines, and where they meet a limit.

What the driver does for a shard costs the same whatever the shard holds, so each figure is a line over shards, through
the two largest sizes. What a GPU and an encoding core do is no figure of this machine: these rates are the planner's
(augment.planning.cost). Owns arithmetic and words. Measures nothing.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Any

from augment.planning.cost import DEFAULT_IMAGES_PER_S, bytes_per_image, encode_s_per_image
from augment.store.records import MAX_JSON_BYTES
from augment.types import ImageShape

__all__ = ["GPUS", "IMAGE", "IMAGES", "Line", "Reach", "extrapolated", "limits", "on_gpus"]

IMAGES = 1_000_000_000
IMAGE = ImageShape(size=256, channels=3)
FORMAT = "webp"
SHARD_ROWS = 2_000  # 0.4 GB of pixels
GPUS = (8, 64, 512, 4_096)

MOST_DRIVER_BYTES = 2e9
MOST_PLANNING_S = 30.0
MOST_READING_S = 5.0
S3_PUTS_A_SECOND = 3_500.0  # of one prefix, by Amazon's documentation, before S3 splits it


@dataclass(frozen=True, slots=True)
class Line:
    """`at_none + each · shards`."""

    at_none: float
    each: float

    @classmethod
    def through(cls, points: Sequence[tuple[float, float]]) -> Line:
        """Through the two points with the most shards; never falling, never below 0 at none."""
        (x0, y0), (x1, y1) = sorted(points)[-2:]
        each = max(0.0, (y1 - y0) / (x1 - x0))
        return cls(max(0.0, y1 - each * x1), each)

    def at(self, shards: float) -> float:
        """The value for so many shards."""
        return self.at_none + self.each * shards

    def reaches(self, limit: float) -> float:
        """The shards at which it does; infinite where it never does."""
        return max(0.0, limit - self.at_none) / self.each if self.each else float("inf")


@dataclass(frozen=True, slots=True)
class Reach:
    """One limit of a run, how near a billion images come to it, and where it is met."""

    what: str
    unit: str
    at_a_billion: float
    limit: float
    shards: float  # at which the limit is met

    @property
    def images(self) -> float:
        """At which it is met, in shards of SHARD_ROWS."""
        return self.shards * SHARD_ROWS


def extrapolated(
    simulated: Sequence[Mapping[str, Any]], paced: Sequence[Mapping[str, Any]]
) -> dict[str, Any]:
    """Both tables as JSON: of sizes as suite `scale` measures them, `paced` with shards of one row."""
    pace = Line.through([(size["shards"], size["seconds"]["generate"]) for size in paced])
    memory = Line.through([(size["shards"], 1e6 * size["driver_mb"]) for size in paced])
    return {
        "limits": [asdict(each) | {"images": each.images} for each in limits(simulated)],
        "gpus": [on_gpus(gpus, pace.each, memory) for gpus in GPUS],
        "driver_s_a_shard": pace.each,
        "driver_bytes_a_shard": memory.each,
    }


def limits(simulated: Sequence[Mapping[str, Any]]) -> list[Reach]:
    """What a run meets as it grows, nearest first."""
    shards = IMAGES / SHARD_ROWS

    def reach(what: str, unit: str, limit: float, values: list[float]) -> Reach:
        line = Line.through([(size["shards"], value) for size, value in zip(simulated, values, strict=True)])
        return Reach(what, unit, line.at(shards), limit, line.reaches(limit))

    def seconds(*steps: str) -> list[float]:
        return [sum(size["seconds"][step] for step in steps) for size in simulated]

    found = [
        reach("manifest", "bytes", MAX_JSON_BYTES, [size["manifest_bytes"] for size in simulated]),
        reach("driver's memory", "bytes", MOST_DRIVER_BYTES, [1e6 * size["driver_mb"] for size in simulated]),
        reach("planning", "s", MOST_PLANNING_S, seconds("plan", "what is missing")),
        reach("opening", "s", MOST_READING_S, seconds("open and list")),
    ]
    return sorted(found, key=lambda each: each.shards)


def on_gpus(gpus: int, driver_s_a_shard: float, driver_bytes: Line) -> dict[str, float]:
    """A billion images on so many: how long, and how busy everything beside the GPUs is.

    The driver holds what it knows of the shards of one pipeline; there is one after the other.
    """
    from pipelines.generate import shards_at_once

    images_a_second = gpus * DEFAULT_IMAGES_PER_S
    shards_a_second = images_a_second / SHARD_ROWS
    return {
        "gpus": gpus,
        "hours": IMAGES / images_a_second / 3600,
        "encoding_cores": images_a_second * encode_s_per_image(IMAGE, FORMAT),
        "written_bytes_a_second": images_a_second * bytes_per_image(IMAGE, FORMAT),
        "driver_bytes": driver_bytes.at(min(IMAGES / SHARD_ROWS, shards_at_once(gpus))),
        "driver_share": shards_a_second * driver_s_a_shard,  # 1: it can hand out no more
        "puts_share": shards_a_second / S3_PUTS_A_SECOND,
    }

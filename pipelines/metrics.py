"""What Prometheus may know of a run: one table of metrics, and a thin function for each.

Owns the names, kinds and labels, which deploy/monitoring is written in and tests compare. Ray carries what is
recorded here from any process of the cluster to its node's metrics port (`/metrics`, 8080 on Kubernetes), each
name with `ray_` before it. Knows no stage and measures nothing: callers say what they saw. Outside a cluster
every function does nothing, so a caller never has to ask.

What Ray 2.60 makes of it: a gauge is exported until its process ends, a counter until its node does, and the sum
of a histogram is an estimate from its buckets, so dashboards ask for quantiles and never for a mean.
"""

import time
from dataclasses import dataclass
from functools import cache
from typing import Literal

import ray
from ray.util.metrics import Counter, Gauge, Histogram

__all__ = [
    "METRICS",
    "MetricSpec",
    "SnapshotClock",
    "bytes_written",
    "gpu_idle_share",
    "images_per_second",
    "retried",
    "samples_accepted",
    "samples_rejected",
    "samples_ungated",
    "shard_seconds",
    "snapshot_age_seconds",
]

Kind = Literal["counter", "gauge", "histogram"]

SUFFIXES: dict[Kind, tuple[str, ...]] = {
    "counter": ("",),
    "gauge": ("",),
    "histogram": ("_bucket", "_sum", "_count"),
}


@dataclass(frozen=True, slots=True)
class MetricSpec:
    """One metric: what Prometheus calls it without `ray_`, and what tells its series apart."""

    name: str
    kind: Kind
    meaning: str
    labels: tuple[str, ...] = ()
    boundaries: tuple[float, ...] = ()  # upper ends of a histogram's buckets, in the name's unit

    @property
    def series(self) -> tuple[str, ...]:
        """The names that a query can use."""
        return tuple(f"ray_{self.name}{suffix}" for suffix in SUFFIXES[self.kind])


METRICS: dict[str, MetricSpec] = {
    spec.name: spec
    for spec in (
        MetricSpec(
            "augment_images_per_second",
            "gauge",
            "Images a second over all workers, since the stage last reported.",
            ("stage",),
        ),
        MetricSpec(
            "augment_samples_accepted_total",
            "counter",
            "Samples that passed every gate (all, in a run without gates) and are stored.",
            ("class",),
        ),
        MetricSpec(
            "augment_samples_ungated_total",
            "counter",
            "Stored samples that no gate judged: by why, their recipe's or the one that fills a shortfall.",
            ("class", "why"),
        ),
        MetricSpec(
            "augment_samples_rejected_total",
            "counter",
            "Generated samples that a gate refused.",
            ("class", "gate"),
        ),
        MetricSpec(
            "augment_shard_seconds",
            "histogram",
            "Seconds from a shard's pixels to its stored object.",
            boundaries=(0.5, 1, 2, 5, 10, 20, 60, 120, 300, 600, 1800),
        ),
        MetricSpec(
            "augment_retries_total",
            "counter",
            "Work that failed, could be tried again, and was.",
            ("stage",),
        ),
        MetricSpec(
            "augment_snapshot_age_seconds",
            "gauge",
            "Seconds of training since the newest snapshot was taken: what a lost worker costs.",
        ),
        MetricSpec(
            "augment_gpu_idle_share",
            "gauge",
            "Share of the time, 0 to 1, that a reserved GPU computed nothing since the stage last reported.",
            ("stage",),
        ),
        MetricSpec(
            "augment_bytes_written_total",
            "counter",
            "Bytes of shards put into the object store.",
        ),
    )
}
"""Every metric that a run exports, by name."""


def images_per_second(stage: str, rate: float) -> None:
    """A stage's rate over all of its workers, recorded by one of them."""
    _gauge("augment_images_per_second", rate, {"stage": stage})


def samples_accepted(class_name: str, count: int) -> None:
    """`count` more samples of a class are stored."""
    _count("augment_samples_accepted_total", count, {"class": class_name})


def samples_ungated(class_name: str, why: Literal["recipe", "shortfall"], count: int) -> None:
    """`count` more samples of a class are stored that no gate judged."""
    _count("augment_samples_ungated_total", count, {"class": class_name, "why": why})


def samples_rejected(class_name: str, gate: str, count: int) -> None:
    """`count` more samples of a class were refused by a gate."""
    _count("augment_samples_rejected_total", count, {"class": class_name, "gate": gate})


def shard_seconds(seconds: float) -> None:
    """One more shard is stored, `seconds` after its pixels were there."""
    if _is_exported():
        _histograms()["augment_shard_seconds"].observe(seconds)


def retried(stage: str, count: int = 1) -> None:
    """Something in a stage failed and is tried again."""
    _count("augment_retries_total", count, {"stage": stage})


def snapshot_age_seconds(age: float) -> None:
    """How old the newest snapshot is, in seconds; say it at each report, or it seems to stay young."""
    _gauge("augment_snapshot_age_seconds", age, {})


def gpu_idle_share(stage: str, share: float) -> None:
    """Share of the time, 0 to 1, that a stage's GPU waited since the last call."""
    _gauge("augment_gpu_idle_share", share, {"stage": stage})


def bytes_written(count: int) -> None:
    """`count` more bytes of shards are in the object store."""
    _count("augment_bytes_written_total", count, {})


class SnapshotClock:
    """Tells how long ago the newest snapshot was taken; before the first, how long ago training began."""

    def __init__(self) -> None:
        self._taken = time.monotonic()

    def restart(self) -> None:
        """A snapshot is taken now."""
        self._taken = time.monotonic()

    @property
    def age_seconds(self) -> float:
        """Seconds since then."""
        return time.monotonic() - self._taken


def _is_exported() -> bool:
    return ray.is_initialized()


def _gauge(name: str, value: float, labels: dict[str, str]) -> None:
    if _is_exported():
        _gauges()[name].set(value, tags=_in_ascii(labels))


def _count(name: str, count: int, labels: dict[str, str]) -> None:
    if count and _is_exported():  # Ray refuses to add nothing
        _counters()[name].inc(count, tags=_in_ascii(labels))


def _in_ascii(labels: dict[str, str]) -> dict[str, str]:
    """Ray 2.60 takes no other text in a tag: a class `ä` is told as `\\xe4`, as Python writes it."""
    return {name: value.encode("ascii", "backslashreplace").decode() for name, value in labels.items()}


# Ray's objects are made once a process, when first used: making them starts Ray's exporter.


@cache
def _counters() -> dict[str, Counter]:
    return {spec.name: Counter(spec.name, spec.meaning, spec.labels) for spec in _of_kind("counter")}


@cache
def _gauges() -> dict[str, Gauge]:
    return {spec.name: Gauge(spec.name, spec.meaning, spec.labels) for spec in _of_kind("gauge")}


@cache
def _histograms() -> dict[str, Histogram]:
    return {
        spec.name: Histogram(spec.name, spec.meaning, list(spec.boundaries), spec.labels)
        for spec in _of_kind("histogram")
    }


def _of_kind(kind: Kind) -> list[MetricSpec]:
    return [spec for spec in METRICS.values() if spec.kind == kind]

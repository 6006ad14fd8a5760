"""The table of metrics, and that Ray exports each under the name that dashboards ask for."""

from __future__ import annotations

import re
import time
import urllib.request

import pytest
import ray

from augment.sampling.filled import Filled
from augment.types import ClassLedger, SampleBlock, ShardLedger
from pipelines import metrics
from pipelines.commit_shards import _count
from pipelines.metrics import METRICS, MetricSpec, SnapshotClock
from tests.sampling.common import plan_of, run_of
from tests.store.helpers import pixels_of

# Units and suffixes as Prometheus's conventions have them: base units, `_total` for what only grows.
NAME = re.compile(r"augment_[a-z]+(_[a-z]+)*")


@pytest.mark.parametrize("spec", METRICS.values(), ids=METRICS)
def test_names_follow_prometheus_conventions(spec: MetricSpec) -> None:
    assert NAME.fullmatch(spec.name)
    assert spec.name.endswith("_total") == (spec.kind == "counter")
    assert spec.meaning.endswith(".")
    assert (spec.kind == "histogram") == bool(spec.boundaries)
    assert list(spec.boundaries) == sorted(set(spec.boundaries))


@pytest.mark.parametrize("spec", METRICS.values(), ids=METRICS)
def test_every_metric_has_its_function(spec: MetricSpec) -> None:
    functions = set(metrics.__all__) - {"METRICS", "MetricSpec", "SnapshotClock"}
    stem = spec.name.removeprefix("augment_").removesuffix("_total")
    assert stem in functions | {"retries"}
    assert len(functions) == len(METRICS)


def test_without_a_cluster_every_function_does_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(metrics.ray, "is_initialized", lambda: False)
    for kind in ("Counter", "Gauge", "Histogram"):
        monkeypatch.setattr(metrics, kind, None)  # making one would fail
    record_everything()


def test_a_snapshots_age_grows_and_starts_again(monkeypatch: pytest.MonkeyPatch) -> None:
    now = 100.0
    monkeypatch.setattr(metrics.time, "monotonic", lambda: now)
    clock = SnapshotClock()
    now = 130.0
    assert clock.age_seconds == 30.0
    clock.restart()
    now = 131.0
    assert clock.age_seconds == 1.0


def test_a_stored_shard_tells_samples_that_passed_from_those_that_no_gate_judged(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    told = list[tuple[object, ...]]()
    for name in ("samples_accepted", "samples_ungated", "samples_rejected"):
        monkeypatch.setattr(metrics, name, lambda *counted, name=name: told.append((name, *counted)))
    run = run_of(plan_of(("gan", 4), ("duplicate", 2)), max_attempts=2, on_shortfall="duplicate")
    ledger = ShardLedger(
        index=0,
        classes=(
            ClassLedger(label=5, accepted=3, fallback=1, drawn=4, refused={"label": 1}),
            ClassLedger(label=6, ungated=2),
        ),
    )
    spec = run.plan.shard(0)
    _count(run, Filled(SampleBlock(spec, pixels_of(run, spec), ()), ledger), 10, 1.0)
    assert [each for each in told if each[-1]] == [
        ("samples_accepted", "class 0", 3),
        ("samples_ungated", "class 0", "shortfall", 1),
        ("samples_rejected", "class 0", "label", 1),
        ("samples_ungated", "class 1", "recipe", 2),
    ]


def record_everything() -> None:
    """One call of each function."""
    metrics.images_per_second("train", 512.0)
    metrics.samples_accepted("lynx", 7)
    metrics.samples_accepted("lynx", 0)
    metrics.samples_rejected("lynx", "copy", 3)
    metrics.samples_ungated("lynx", "shortfall", 2)
    metrics.shard_seconds(4.0)
    metrics.retried("generate")
    metrics.snapshot_age_seconds(30.0)
    metrics.gpu_idle_share("generate", 0.25)
    metrics.bytes_written(1000)


@ray.remote(num_cpus=0.5)
class Recorder:
    """A worker that records, and lives for as long as its gauges are to be exported."""

    def record(self) -> None:
        record_everything()


Exported = dict[str, list[tuple[dict[str, str], float]]]


def scraped(port: int) -> Exported:
    """Our series at a node's metrics port, by name: labels and value; none while its agent is not up."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return {}
    found: Exported = {}
    for name, labels, value in re.findall(r"(?m)^(ray_augment_\w+)\{(.*)\} (\S+)$", text):
        found.setdefault(name, []).append((dict(re.findall(r'(\w+)="([^"]*)"', labels)), float(value)))
    return found


@pytest.mark.usefixtures("ray_and_s3")
def test_ray_exports_every_metric_under_the_name_and_labels_of_the_table() -> None:
    (node,) = ray.nodes()
    names = {series for spec in METRICS.values() for series in spec.series}
    recorder = Recorder.remote()
    ray.get(recorder.record.remote())
    exported: Exported = {}
    until = time.monotonic() + 120
    while not names <= exported.keys() and time.monotonic() < until:
        time.sleep(0.5)
        exported = scraped(node["MetricsExportPort"])
    ray.kill(recorder)

    assert exported.keys() == names
    for spec in METRICS.values():
        for series in spec.series:
            assert all({*spec.labels, "SessionName"} <= labels.keys() for labels, _ in exported[series])
    accepted = exported["ray_augment_samples_accepted_total"]
    assert [value for labels, value in accepted if labels["class"] == "lynx"] == [7]
    assert 512 in [value for _, value in exported["ray_augment_images_per_second"]]
    assert 1 in [value for _, value in exported["ray_augment_shard_seconds_count"]]

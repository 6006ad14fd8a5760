"""Suite `sizing`: what `augment plan --probe` foretells of a run, beside that run.

Owns the comparison: a probe, then `augment run` of the same config from nothing, both in fresh processes; the ratio
foretold ÷ seen of wall time, of each stage, of bytes and of memory. Memory is each process's own peak (VmHWM), by what
Ray calls the process.
"""

from __future__ import annotations

import os
import threading
import time
from collections.abc import Mapping
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from tests.benchmarks.measure import family, in_fresh_process, peak_kb
from tests.benchmarks.options import Options

__all__ = ["run"]

PROBE_S = 30.0
SMALL_PROBE_S = 5.0
_POLL_S = 0.2
_TITLES = {"training_worker": "ray::RayTrainWorker", "generator": "ShardSampler"}
_STAGES = {
    "decode": ("decode",),
    "judge": ("judge",),
    "train": ("train",),
    "gates": ("gates",),
    "generate": ("generate",),
    "fidelity and report": ("fidelity", "report", "look"),
}
"""What the forecast calls a stage, and the names of the stages that progress knows."""


def run(options: Options) -> dict[str, Any]:
    """Probe, run and compare; prints a table, and returns what it says."""
    with TemporaryDirectory(prefix="bench-") as place:
        parts = _config(Path(place), small=options.small)
        seconds = SMALL_PROBE_S if options.small else PROBE_S
        foretold = in_fresh_process(_foretell, parts, seconds)
        seen = in_fresh_process(_see, parts)
    rows = _compared(foretold, seen)
    print(f"{'':22}{'foretold':>12}{'low':>12}{'high':>12}{'seen':>12}{'ratio':>8}")
    for name, (interval, value) in rows.items():
        figures = "".join(f"{interval[bound]:>12,.4g}" for bound in ("middle", "low", "high"))
        print(f"{name:22}{figures}{value:>12,.4g}{interval['middle'] / value:>8.2f}")
    return {
        "probe_s": seconds,
        "rows": {
            name: {**interval, "seen": value, "ratio": interval["middle"] / value}
            for name, (interval, value) in rows.items()
        },
    }


def _config(place: Path, *, small: bool) -> dict[str, Any]:
    """The demo, shortened where only 'does it run?' is asked."""
    from augment.config import config_to_dict
    from tests.benchmarks.demo import demo_config

    parts = config_to_dict(demo_config())
    # What the preset chooses must stay open: what is written out counts as the user's.
    parts["model"], parts["train"] = {}, {"steps": 40 if small else 1_300}
    if small:
        parts["gates"] |= {"steps": 20}
        parts["balance"] |= {"max_total": 2_000}
    parts["output"] |= {"uri": str(place / "out")}
    parts["ray"] |= {"address": "local"}
    return parts


def _foretell(parts: dict[str, Any], seconds: float) -> dict[str, Any]:
    from augment.config import Config
    from augment.data.census import take_census
    from augment.data.sources import open_source
    from augment.types import canonical_json
    from pipelines.planning import plan_for
    from pipelines.progress import Progress
    from pipelines.sizing import measured_plan

    config = Config.model_validate_json(canonical_json(parts))
    counts = take_census(open_source(config.source), image=config.image).counts
    measured = measured_plan(config, plan_for(config, counts), counts, seconds, Progress("log"))
    found: dict[str, Any] = measured.forecast.model_dump(mode="json")
    return found | {"trials": measured.probed.trials()}


def _see(parts: dict[str, Any]) -> dict[str, Any]:
    """A whole run, its stages' seconds, its shards' bytes and its processes' peaks."""
    from augment.config import Config
    from augment.objects import open_store
    from augment.store.records import read_manifest
    from augment.types import canonical_json
    from pipelines.progress import Progress
    from pipelines.run import run as run_job

    config, progress = Config.model_validate_json(canonical_json(parts)), Progress("log")
    began_s = time.perf_counter()
    with _Peaks() as peaks:
        result = run_job(config, progress)
    wall_s = time.perf_counter() - began_s
    assert result.run_id is not None
    manifest = read_manifest(open_store(config.output.uri), result.run_id).record
    return {
        "wall_s": wall_s,
        "stages": dict(progress.seconds),
        "total_bytes": sum(shard.size_bytes for shard in manifest.shards),
        "rows": sum(shard.rows for shard in manifest.shards),
        "memory": peaks.bytes_by_role(),
        "ledger": [one.model_dump(mode="json") for one in result.ledger],
    }


def _compared(
    foretold: Mapping[str, Any], seen: Mapping[str, Any]
) -> dict[str, tuple[Mapping[str, float], float]]:
    """By name: the interval foretold, and what was seen; what was not seen is left out."""
    rows = {"wall time, s": (foretold["wall_s"], seen["wall_s"])}
    for stage in foretold["stages"]:
        took_s = sum(seen["stages"].get(name, 0.0) for name in _STAGES.get(stage["name"], ()))
        if took_s:
            rows[f"{stage['name']}, s"] = (stage["seconds"], took_s)
    rows["bytes a row"] = (foretold["bytes_per_image"], seen["total_bytes"] / seen["rows"])
    for role, peak in seen["memory"].items():
        if foretold["memory"].get(role) and peak:
            rows[f"{role.replace('_', ' ')}, bytes"] = (foretold["memory"][role], peak)
    return rows


class _Peaks:
    """Peak memory of this process, and of the largest of Ray's workers of each kind below it."""

    def __init__(self) -> None:
        self._peak_kb: dict[str, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> _Peaks:
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()

    def bytes_by_role(self) -> dict[str, int]:
        """By what the forecast calls them."""
        return {role: 1024 * peak for role, peak in self._peak_kb.items()}

    def _poll(self) -> None:
        while not self._done.wait(_POLL_S):
            self._note("driver", os.getpid())
            for pid in family(os.getpid()):
                title = _title(pid)
                for role, words in _TITLES.items():
                    if words in title:
                        self._note(role, pid)

    def _note(self, role: str, pid: int) -> None:
        self._peak_kb[role] = max(self._peak_kb.get(role, 0), peak_kb(pid) or 0)


def _title(pid: int) -> str:
    try:
        return Path(f"/proc/{pid}/cmdline").read_text(errors="replace")
    except (FileNotFoundError, ProcessLookupError):
        return ""

"""Suite `startup`: what a command costs before it does anything, and how soon a training trains.

Each command is a process of its own, as a shell starts it: CPU seconds of it and of every process that it waited for,
wall time, and how many modules it imports. `run` is of a finished run, which has nothing left to do and starts no Ray.
The first step is that of the demo's training: from the first line of a fresh interpreter to its report, with Ray's start,
the census, decoding, and the classifier that quality is measured with.
"""

from __future__ import annotations

import json
import os
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.measure import in_fresh_process
from tests.benchmarks.options import Options

__all__ = ["REPEATS", "first_step_s", "modules_of", "run", "spent_by"]

REPEATS = 5
HELP, PLAN, AGAIN, FIRST_STEP = "augment --help", "augment plan", "augment run, finished before", "first step"
STEPS = 4  # trained for the first one's sake

JOB: Mapping[str, Any] = {
    "name": "startup",
    "source": {"uri": "demo://fashion-mnist-lt"},
    "image": {"size": 28, "channels": 1},
    "model": {"width": 4, "max_width": 8, "latent_dim": 4, "embedding_dim": 2},
    "train": {"steps": STEPS, "batch_size": 8, "snapshot_every": STEPS, "log_every": 1, "evaluate_every": 0},
    "gates": {"enabled": False},
    "report": {"fidelity": False},
}
"""The demo's source, and as little work as a job can have."""

_COUNTED = """
import atexit, sys
from pathlib import Path
told = Path(sys.argv.pop(1))
atexit.register(lambda: told.write_text(str(len(sys.modules))))
from pipelines.cli import main
main()
"""


@dataclass(frozen=True, slots=True)
class Spent:
    """What one command took."""

    wall_s: float
    cpu_s: float


@dataclass(frozen=True, slots=True)
class StartRow:
    """One command over all repeats, medians; `promised` is the most it may take, in words."""

    name: str
    wall_s: float
    cpu_s: float | None
    modules: int | None
    promised: str


def run(options: Options) -> dict[str, Any]:
    """Measure and print."""
    repeats = options.repeats or (1 if options.small else REPEATS)
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        job = write_job(Path(place))
        announce("a run to be run again")
        refuse_ray(finished_run(job), started=True)
        commands = {
            HELP: (["--help"], "0.3 s of CPU"),
            PLAN: (["plan", "-c", str(job)], "1 s of CPU"),
            AGAIN: (["run", "-c", str(job), "--quiet"], "5 s, no Ray"),
        }
        refuse_ray(finished_run(job), started=False)
        rows = [
            row_of(name, arguments, promised, repeats, Path(place) / "modules")
            for name, (arguments, promised) in commands.items()
        ]
    announce("the demo's first training step")
    first_s = statistics.median(in_fresh_process(first_step_s) for _ in range(repeats))
    rows.append(StartRow(FIRST_STEP, first_s, None, None, ""))
    show(rows, repeats)
    return {"repeats": repeats, "rows": [asdict(row) for row in rows]}


def row_of(name: str, arguments: Sequence[str], promised: str, repeats: int, told: Path) -> StartRow:
    """One command, `repeats` times."""
    announce(name)
    spent = [spent_by(arguments) for _ in range(repeats)]
    return StartRow(
        name=name,
        wall_s=statistics.median(one.wall_s for one in spent),
        cpu_s=statistics.median(one.cpu_s for one in spent),
        modules=modules_of(arguments, told),
        promised=promised,
    )


# ---- commands -----------------------------------------------------------------------------------------


def spent_by(arguments: Sequence[str]) -> Spent:
    """`augment` with these arguments; RuntimeError where it fails."""
    began_s = time.perf_counter()
    process = subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *arguments],
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    _, status, usage = os.wait4(process.pid, 0)
    wall_s = time.perf_counter() - began_s
    process.returncode = os.waitstatus_to_exitcode(status)  # it is known, and not to be waited for again
    if process.returncode:
        raise RuntimeError(f"augment {' '.join(arguments)} ended with exit code {process.returncode}")
    return Spent(wall_s, usage.ru_utime + usage.ru_stime)


def modules_of(arguments: Sequence[str], told: Path) -> int:
    """How many modules `augment` with these arguments has imported when it ends; `told` is a file to be written."""
    command = [sys.executable, "-c", _COUNTED, str(told), *arguments]
    subprocess.run(command, stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL, check=True)
    return int(told.read_text())


def write_job(folder: Path) -> Path:
    """The job's config: JSON, which YAML is a superset of."""
    path = folder / "job.yaml"
    path.write_text(json.dumps({**JOB, "output": {"uri": str(folder / "out")}}), encoding="utf-8")
    return path


def finished_run(job: Path) -> Mapping[str, float]:
    """The run, to its end; seconds by stage."""
    command = [sys.executable, "-m", "pipelines.cli", "run", "-c", str(job), "--json", "--quiet"]
    done = subprocess.run(command, stdout=subprocess.PIPE, text=True, check=True)
    seconds: Mapping[str, float] = json.loads(done.stdout)["seconds"]
    return seconds


def refuse_ray(seconds: Mapping[str, float], *, started: bool) -> None:
    """RuntimeError unless Ray was `started`, or was not."""
    if ("cluster" in seconds) != started:
        raise RuntimeError(f"Ray was {'not ' if started else ''}started: {dict(seconds)}")


def first_step_s() -> float:
    """Seconds to the first report of the demo's training; nothing is imported before."""
    began_s = time.time()
    from augment.config import config_to_dict
    from tests.benchmarks.contenders import merged
    from tests.benchmarks.demo import demo_config
    from tests.benchmarks.whole_train import whole_train

    with tempfile.TemporaryDirectory(prefix="bench-") as output:
        changes = {"output": {"uri": output}, "train": {"steps": STEPS, "log_every": 1}}
        trained = whole_train(merged(config_to_dict(demo_config()), changes), "none")
    return trained.points[0].wall_s - began_s


# ---- shown --------------------------------------------------------------------------------------------


def announce(line: str) -> None:
    """On standard error: the table alone goes to standard output."""
    print(f"startup: {line}", file=sys.stderr)


def show(rows: Sequence[StartRow], repeats: int) -> None:
    """The table."""
    table = Table(title=f"medians of {repeats}", title_justify="left")
    for header in ("", "CPU", "wall", "modules", "at most"):
        table.add_column(header, justify="left" if header in ("", "at most") else "right")
    for row in rows:
        cpu = "" if row.cpu_s is None else f"{row.cpu_s:.2f} s"
        modules = "" if row.modules is None else f"{row.modules:,}"
        table.add_row(row.name, cpu, f"{row.wall_s:.2f} s", modules, row.promised)
    Console(width=None if sys.stdout.isatty() else 120).print(table)

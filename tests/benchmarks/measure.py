"""How a figure comes about: a fresh process a measurement, cases in turn (A B A B), medians and peak memory.

Owns the method and the records of a result. Knows no suite, and imports nothing heavy: what a measurement
needs, its own process loads.
"""

from __future__ import annotations

import multiprocessing
import os
import statistics
import threading
import time
from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ProcessPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, TypeVar

__all__ = [
    "Case",
    "Comparison",
    "Measurement",
    "Outcome",
    "Row",
    "family",
    "in_fresh_process",
    "measure_all",
    "peak_kb",
    "peak_memory_mb",
    "rows_of",
    "timed",
]

_MEMORY_POLL_S = 0.5
_ResultT = TypeVar("_ResultT")


@dataclass(frozen=True, slots=True)
class Outcome:
    """What one measured stretch did: `amount` of the comparison's unit in `seconds`.

    `apart` holds seconds that are not in `seconds` and are worth naming (start-up, say).
    """

    amount: float
    seconds: float
    apart: Mapping[str, float] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Case:
    """One contender. `run` pickles: it is called in a process of its own."""

    name: str
    run: Callable[[], Outcome]


@dataclass(frozen=True, slots=True)
class Comparison:
    """Contenders that do the same work; ratios are against each of `baselines`, by name."""

    name: str
    unit: str  # of Outcome.amount, in the plural
    cases: Sequence[Case]
    baselines: Sequence[str]


@dataclass(frozen=True, slots=True)
class Measurement:
    """One run of one case."""

    outcome: Outcome
    peak_mb: float

    @property
    def rate(self) -> float:
        """Units a second."""
        return self.outcome.amount / self.outcome.seconds


@dataclass(frozen=True, slots=True)
class Row:
    """One case over all repeats: the median rate with its extremes, and median memory."""

    comparison: str
    name: str
    unit: str
    rates: tuple[float, ...]
    ratios: dict[str, float]  # median rate ÷ that baseline's median rate; above 1 is faster
    seconds: float
    peak_mb: float
    apart: dict[str, float]

    @property
    def median(self) -> float:
        """Units a second."""
        return statistics.median(self.rates)

    def to_dict(self) -> dict[str, Any]:
        """Plain JSON values."""
        extremes = {"median": self.median, "min": min(self.rates), "max": max(self.rates)}
        return asdict(self) | {"unit": f"{self.unit}/s"} | extremes


def measure_all(comparison: Comparison, repeats: int, announce: Callable[[str], None]) -> list[Row]:
    """Every case `repeats` times, in turn, so that a machine that slows down slows all of them."""
    found: dict[str, list[Measurement]] = {case.name: [] for case in comparison.cases}
    for repeat in range(repeats):
        for case in comparison.cases:
            announce(f"{comparison.name}: {case.name} ({repeat + 1} of {repeats})")
            found[case.name].append(in_fresh_process(_measured, case.run))
    return rows_of(comparison, found)


def rows_of(comparison: Comparison, found: Mapping[str, Sequence[Measurement]]) -> list[Row]:
    """Medians, and ratios against the baselines."""
    medians = {name: statistics.median(one.rate for one in runs) for name, runs in found.items()}
    rows = []
    for case in comparison.cases:
        runs = found[case.name]
        apart = {name: [one.outcome.apart[name] for one in runs] for name in runs[0].outcome.apart}
        rows.append(
            Row(
                comparison=comparison.name,
                name=case.name,
                unit=comparison.unit,
                rates=tuple(one.rate for one in runs),
                ratios={
                    base: medians[case.name] / medians[base]
                    for base in comparison.baselines
                    if base != case.name
                },
                seconds=statistics.median(one.outcome.seconds for one in runs),
                peak_mb=statistics.median(one.peak_mb for one in runs),
                apart={name: statistics.median(values) for name, values in apart.items()},
            )
        )
    return rows


def in_fresh_process(function: Callable[..., _ResultT], *arguments: Any) -> _ResultT:
    """`function(*arguments)` in a new interpreter: no warm cache and no memory of whoever ran before."""
    with ProcessPoolExecutor(1, mp_context=multiprocessing.get_context("spawn")) as pool:
        return pool.submit(function, *arguments).result()


def _measured(run: Callable[[], Outcome]) -> Measurement:
    with peak_memory_mb() as memory:
        outcome = run()
    return Measurement(outcome, memory.total_mb)


class peak_memory_mb:  # reads as the context manager it is
    """Peak resident memory of this process and of every descendant seen meanwhile, in MB (10^6 bytes).

    The sum of each process's own peak (VmHWM): exact for one process; for several an upper bound, as the
    peaks need not coincide and pages that processes share count in each. getrusage's ru_maxrss would not do:
    it survives exec, so that a child starts at its parent's peak, and of descendants it knows the largest
    dead one only.
    """

    def __init__(self) -> None:
        self._peaks_kb: dict[int, int] = {}
        self._done = threading.Event()
        self._thread = threading.Thread(target=self._poll, daemon=True)

    def __enter__(self) -> peak_memory_mb:
        self._look()
        self._thread.start()
        return self

    def __exit__(self, *exception: object) -> None:
        self._done.set()
        self._thread.join()
        self._look()

    @property
    def total_mb(self) -> float:
        """The peak so far."""
        return sum(self._peaks_kb.values()) * 1024 / 1e6

    def _poll(self) -> None:
        while not self._done.wait(_MEMORY_POLL_S):
            self._look()

    def _look(self) -> None:
        for pid in family(os.getpid()):
            now_kb = peak_kb(pid)
            if now_kb is not None:
                self._peaks_kb[pid] = max(now_kb, self._peaks_kb.get(pid, 0))


def family(pid: int) -> list[int]:
    """A process and its descendants, as Linux's /proc has them."""
    try:
        children = [
            int(child)
            for task in Path(f"/proc/{pid}/task").iterdir()
            for child in (task / "children").read_text().split()
        ]
    except (FileNotFoundError, ProcessLookupError):
        return []  # it has ended
    return [pid, *(each for child in children for each in family(child))]


def peak_kb(pid: int) -> int | None:
    """A process's own peak of resident memory (VmHWM), in kB; None where it has ended."""
    try:
        status = Path(f"/proc/{pid}/status").read_text()
    except (FileNotFoundError, ProcessLookupError):
        return None
    for line in status.splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1])
    return None  # a zombie has no memory


def timed(action: Callable[[], object]) -> float:
    """Seconds that `action` takes."""
    started = time.perf_counter()
    action()
    return time.perf_counter() - started

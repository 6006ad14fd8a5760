"""The method of the benchmarks: medians, ratios, turns and memory. No test asserts a time."""

from __future__ import annotations

import importlib
import os
from functools import partial
from pathlib import Path

import pytest

from augment.errors import ConfigError
from tests.benchmarks.machine import machine_facts
from tests.benchmarks.measure import Case, Comparison, Measurement, Outcome, measure_all, rows_of
from tests.benchmarks.options import Options
from tests.benchmarks.rates import compare
from tests.benchmarks.suites import SUITES, find_suite

MEBIBYTE = 1 << 20


def outcome(amount: float) -> Outcome:
    """`amount` a second."""
    return Outcome(amount, 1.0, apart={"start": 2.0})


def hungry_outcome(mebibytes: int, child_mebibytes: int = 0) -> Outcome:
    """Uses memory here and, for longer than a look at it takes to come by, in a child process."""
    import subprocess
    import sys

    if child_mebibytes:
        hunger = f"import time; held = b'x' * {child_mebibytes * MEBIBYTE}; time.sleep(1.5)"
        subprocess.run([sys.executable, "-c", hunger], check=True)
    held = b"x" * (mebibytes * MEBIBYTE)
    return outcome(1.0 + len(held))


def found(*rates: float) -> list[Measurement]:
    return [Measurement(outcome(rate), peak_mb=10 * rate) for rate in rates]


def comparison(**cases: partial[Outcome]) -> Comparison:
    names = list(cases)
    return Comparison("work", "rows", [Case(name, cases[name]) for name in names], baselines=names[:1])


def test_a_row_holds_medians_and_extremes_and_the_ratio_of_medians() -> None:
    work = comparison(plain=partial(outcome, 1.0), ours=partial(outcome, 1.0))
    plain, ours = rows_of(work, {"plain": found(1, 2, 100), "ours": found(9, 5, 6)})
    assert (plain.median, plain.ratios) == (2, {})
    assert (ours.median, ours.ratios, ours.peak_mb, ours.apart) == (6, {"plain": 3.0}, 60, {"start": 2.0})
    row = ours.to_dict()
    assert (row["min"], row["max"], row["unit"]) == (5, 9, "rows/s")


def test_cases_take_turns_each_in_a_process_of_its_own() -> None:
    work = comparison(one=partial(pid_outcome), other=partial(pid_outcome))
    announced: list[str] = []
    rows = measure_all(work, 2, announced.append)
    assert announced == [
        "work: one (1 of 2)",
        "work: other (1 of 2)",
        "work: one (2 of 2)",
        "work: other (2 of 2)",
    ]
    pids = {rate for row in rows for rate in row.rates}
    assert len(pids) == 4
    assert os.getpid() not in pids


def pid_outcome() -> Outcome:
    return Outcome(os.getpid(), 1.0)


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="memory is read from Linux's /proc")
def test_peak_memory_counts_a_process_and_its_children() -> None:
    work = comparison(
        light=partial(hungry_outcome, 0),
        heavy=partial(hungry_outcome, 100),
        parent=partial(hungry_outcome, 0, 100),
    )
    light, heavy, parent = measure_all(work, 1, lambda line: None)
    assert heavy.peak_mb - light.peak_mb > 90
    assert parent.peak_mb - light.peak_mb > 90


def test_a_suite_of_comparisons_prints_its_table_and_returns_its_rows(
    capsys: pytest.CaptureFixture[str],
) -> None:
    options = Options(
        out=Path("unused"), small=True, repeats=1, idx=Path(), cells=None, judge=None, only=(), seeds=(),
        minutes=1,
    )  # fmt: skip
    comparisons = [comparison(plain=partial(outcome, 1.0), ours=partial(outcome, 3.0))]
    body = compare(lambda small, stack: comparisons, 5, options)
    assert body["repeats"] == 1
    assert [(row["name"], row["median"]) for row in body["rows"]] == [("plain", 1.0), ("ours", 3.0)]
    assert "3.00 × plain" in capsys.readouterr().out


def test_an_unknown_suite_is_an_error_that_names_those_there_are() -> None:
    with pytest.raises(
        ConfigError, match=r"SUITE=nosuch is no benchmark; there are .*gan, .*speed, startup, store, train"
    ):
        find_suite("nosuch")


def test_an_unknown_suite_ends_with_exit_code_2(capsys: pytest.CaptureFixture[str]) -> None:
    main = importlib.import_module("tests.benchmarks.__main__").main
    assert main([""]) == 2
    assert "speed, startup, store, train" in capsys.readouterr().err


@pytest.mark.skipif(not Path("/proc/cpuinfo").exists(), reason="read from Linux's /proc")
def test_machine_facts_name_versions_and_neither_host_nor_path() -> None:
    facts = machine_facts()
    assert {"cores", "python", "torch", "ray"} <= facts.keys()
    assert os.uname().nodename not in map(str, facts.values())
    assert not [value for value in map(str, facts.values()) if value.startswith("/")]


def test_every_suite_is_found_by_its_name() -> None:
    assert all(find_suite(name) is suite for name, suite in SUITES.items())

"""`python -m tests.benchmarks SUITE`: a table on standard output, and bench-SUITE.json beside it.

Owns the command line and the stored result. Knows nothing of what a suite measures.
"""

from __future__ import annotations

import argparse
import json
import sys
import time
from collections.abc import Sequence
from pathlib import Path

from augment.errors import AugmentError
from tests.benchmarks.machine import machine_facts
from tests.benchmarks.options import DEBIAN_IDX, Options
from tests.benchmarks.suites import find_suite

MINUTES = 20.0  # what a preset is promised to need on two cores
SEEDS = {"gan": (0, 1), "lift": (0, 1, 2, 3, 4)}
"""Of each contender or arm, where the command line names none."""


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one suite; the exit code."""
    parsed = vars(_parser().parse_args(arguments))
    name = parsed.pop("suite")
    parsed["seeds"] = parsed["seeds"] or SEEDS.get(name, (0,))
    options = Options(**parsed)
    machine, started = machine_facts(), time.monotonic()
    try:
        body = find_suite(name)(options)
    except AugmentError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    took_s = round(time.monotonic() - started, 1)
    result = {"suite": name, "small": options.small, "took_s": took_s, "machine": machine, **body}
    options.out.mkdir(parents=True, exist_ok=True)
    target = options.out / f"bench-{name}.json"
    target.write_text(json.dumps(result, indent=2, ensure_ascii=False) + "\n", encoding="utf-8")
    print(f"{target}, {took_s} s", file=sys.stderr)
    return 0


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks")
    parser.add_argument("suite", metavar="SUITE")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="where bench-SUITE.json is written")
    parser.add_argument("--repeats", type=_positive, help="measurements a row (default: the suite's own)")
    parser.add_argument("--small", action="store_true", help="little work: does it run? Not for figures")
    gan = parser.add_argument_group("suites gan and lift")
    gan.add_argument("--idx", type=Path, default=DEBIAN_IDX, help="folder of Fashion-MNIST's four IDX files")
    gan.add_argument(
        "--cells", type=Path, help="folder or tar file of cells, a folder a class: judge these too"
    )
    gan.add_argument(
        "--judge", type=Path, help="a classifier's file for Fashion-MNIST (default: fitted once)"
    )
    gan.add_argument(
        "--only", type=_names, default=(), help="contenders or arms, as NAME,NAME (default: all)"
    )
    gan.add_argument("--seeds", type=_seeds, help="as 0,1 (default: 0,1 of suite gan, 0 to 4 of suite lift)")
    gan.add_argument("--minutes", type=float, default=MINUTES, help="most of training, of each contender")
    gan.add_argument("--generator", type=Path, help="suite lift: a generator's file for Fashion-MNIST-LT")
    gan.add_argument("--cells-generator", type=Path, help="suite lift: one for the cells, as cut there")
    return parser


def _positive(text: str) -> int:
    if (value := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{value} is not above 0")
    return value


def _names(text: str) -> tuple[str, ...]:
    return tuple(text.split(","))


def _seeds(text: str) -> tuple[int, ...]:
    return tuple(int(seed) for seed in text.split(","))


if __name__ == "__main__":
    sys.exit(main())

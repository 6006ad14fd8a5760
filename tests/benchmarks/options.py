"""What the command line asks of a suite. Knows no suite."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path

__all__ = ["DEBIAN_IDX", "Options"]

DEBIAN_IDX = Path("/usr/share/datasets/fashion-mnist")
"""Where Debian's package dataset-fashion-mnist puts the four IDX files."""


@dataclass(frozen=True, slots=True)
class Options:
    """`small` is 'does it run?'. The fields from `idx` on are for suites `gan` and `lift` alone."""

    out: Path
    small: bool
    repeats: int | None
    idx: Path  # the folder of Fashion-MNIST's IDX files
    cells: Path | None  # a folder or a tar file of one folder a class
    judge: Path | None  # a classifier's file
    only: tuple[str, ...]  # contenders or arms; none stands for all
    seeds: tuple[int, ...]
    minutes: float  # of training, at most, of each contender
    generator: Path | None = None  # of Fashion-MNIST-LT, for suite `lift`
    cells_generator: Path | None = None  # of the cells as suite `lift` cuts them

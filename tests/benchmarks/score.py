"""`python -m tests.benchmarks.score FILE…`: generators' files, or samples, judged and shown in one table.

A FILE is a generator as `augment train` publishes it (.safetensors), or the samples of any other code: uint8
[N, H, W, C] as .npy, class after class in the data set's order, as many of each as the floor has.

Owns how samples come from a file. What their scores mean is `fidelity`'s.
"""

from __future__ import annotations

import argparse
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import torch

from augment.errors import AugmentError, ConfigError, InputError
from augment.gan.generator import frozen_generator
from augment.types import sha256_hex
from tests.benchmarks.fidelity import Judge, fitted_classifier, open_classifier
from tests.benchmarks.fidelity_tables import Line, class_table, contender_table, show
from tests.benchmarks.options import DEBIAN_IDX
from tests.benchmarks.real_images import Images, RealSets, cells, fashion

__all__ = ["main", "samples_of"]

SAMPLE_SEED = 0


def main(arguments: Sequence[str] | None = None) -> int:
    """Judge the files that the command line names; the exit code."""
    options = _parser().parse_args(arguments)
    try:
        real = fashion(options.idx) if options.cells is None else cells(options.cells)
        given = options.judge
        classifier = open_classifier(given) if given else fitted_classifier(real, options.out, _announce)
        judge = Judge(classifier, real)
        references = judge.references()
        lines = []
        for path in options.files:
            _announce(f"judging {path}")
            fidelity = judge(samples_of(path, real))
            lines.append(Line(path.stem, fidelity))
            if options.per_class:
                show(class_table(path.stem, references, fidelity))
    except AugmentError as error:
        print(f"error: {error}", file=sys.stderr)
        return error.exit_code
    show(contender_table(f"{real.name}; the judge's accuracy {judge.accuracy:.3f}", references, lines))
    return 0


def samples_of(path: Path, real: RealSets) -> Images:
    """As many samples of each class as the floor has; raises a user's error where the file does not fit."""
    class_index_N = np.repeat(np.arange(len(real.class_names)), real.samples_K)
    if path.suffix == ".npy":
        pixels_NHWC = np.load(path)
        if len(pixels_NHWC) != len(class_index_N):
            raise InputError(f"{path} holds {len(pixels_NHWC)} images instead of {len(class_index_N)}")
        return Images(pixels_NHWC, class_index_N)
    sample_index_N = np.concatenate([np.arange(n) for n in real.samples_K])
    data = path.read_bytes()
    with frozen_generator(
        data, sha256=sha256_hex(data), device=torch.device("cpu"), batch_size=256
    ) as generator:
        shape, classes = generator.info.image, len(generator.info.classes)
        if (shape, classes) != (real.test.shape, len(real.class_names)):
            raise ConfigError(
                f"{path} makes {classes} classes of {shape}, {real.name} has {len(real.class_names)} of "
                f"{real.test.shape}"
            )
        return Images(generator(SAMPLE_SEED, class_index_N, sample_index_N), class_index_N)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(prog="python -m tests.benchmarks.score")
    parser.add_argument("files", type=Path, nargs="+", metavar="FILE")
    parser.add_argument("--idx", type=Path, default=DEBIAN_IDX, help="folder of Fashion-MNIST's IDX files")
    parser.add_argument("--cells", type=Path, help="judge by these images instead: a folder, or a tar file")
    parser.add_argument("--judge", type=Path, help="a classifier's file (default: one is fitted, and kept)")
    parser.add_argument("--out", type=Path, default=Path("bench"), help="where the fitted judge is kept")
    parser.add_argument("--per-class", action="store_true", help="a table for each file as well")
    return parser


def _announce(line: str) -> None:
    print(line, file=sys.stderr)


if __name__ == "__main__":
    sys.exit(main())

"""Suite `gan`: how good the generators are that the presets make, and what each part of the engine adds.

Every contender is `augment train` on a long-tailed set, in a process of its own; what it generates is judged
class by class beside real images and copies of the training images. Hours in all: what is finished is found
again by the next call, so that a table can come from several sittings. With `--cells` the preset is tried on
those images too.

Owns which contenders meet on which data, and what is shown of it.
"""

from __future__ import annotations

import sys
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.contenders import Parts, contenders
from tests.benchmarks.options import Options

if TYPE_CHECKING:
    from tests.benchmarks.contest import Entry
    from tests.benchmarks.fidelity import Judge, References
    from tests.benchmarks.real_images import RealSets

__all__ = ["run"]

SMALL: Parts = {
    "model": {"backbone": "dcgan", "width": 4, "max_width": 8, "latent_dim": 4, "embedding_dim": 2},
    "train": {"steps": 4, "batch_size": 8, "log_every": 2, "snapshot_every": 4, "evaluate_every": 0},
}
"""What `--small` adds to every contender."""


def run(options: Options) -> dict[str, Any]:
    """Train what is missing, judge all, print a table a data set."""
    from tests.benchmarks.real_images import cells, fashion, small_fashion

    real = small_fashion() if options.small else fashion(options.idx)
    chosen = contenders(options.only)
    result = [_on_data(real, chosen, options.judge, options)]
    if options.cells is not None:
        result.append(_on_data(cells(options.cells), {"preset": {}}, None, options))
    return {"data": result}


def _on_data(
    real: RealSets, chosen: dict[str, Parts], judge_file: Path | None, options: Options
) -> dict[str, Any]:
    from tests.benchmarks.contest import Contest
    from tests.benchmarks.fidelity import Judge, fitted_classifier, open_classifier
    from tests.benchmarks.real_images import write_folder

    fitted = open_classifier(judge_file) if judge_file else fitted_classifier(real, options.out, _announce)
    judge = Judge(fitted, real)
    references = judge.references()
    with tempfile.TemporaryDirectory(prefix="bench-") as source:
        write_folder(real.training, Path(source))
        contest = Contest(
            real=real,
            judge=judge,
            source=Path(source),
            folder=options.out / "gan",
            minutes=options.minutes,
            extra=SMALL if options.small else {},
        )
        entries = [
            contest.entry(name, parts, seed, _announce)
            for seed in options.seeds
            for name, parts in chosen.items()
        ]
    entries.sort(key=lambda entry: list(chosen).index(entry.training.contender))
    _show(real, judge, references, entries)
    return {
        "name": real.name,
        "judge": {"accuracy": judge.accuracy, "sha256": judge.sha256},
        "references": references.model_dump(mode="json"),
        "contenders": [entry.model_dump(mode="json") for entry in entries],
    }


def _show(real: RealSets, judge: Judge, references: References, entries: list[Entry]) -> None:
    from tests.benchmarks.contest import engine_sha256
    from tests.benchmarks.fidelity_tables import class_table, contender_table, show

    engine = engine_sha256()
    title = f"{real.name}; the judge's accuracy {judge.accuracy:.3f}"
    if any(entry.training.engine_sha256 != engine for entry in entries):
        title += "; * by an engine other than today's"
    show(contender_table(title, references, [entry.line(engine) for entry in entries]))
    for entry in entries:
        if entry.training.contender == "preset" and entry.fidelity is not None:
            show(class_table(f"{real.name}: {entry.name}", references, entry.fidelity))


def _announce(line: str) -> None:
    print(line, file=sys.stderr)

"""One contender on one data set: trained in a fresh process, judged, pictured; each once, then found again.

    gan/<contender>-s<seed>-<digest>/training.json           what came of training, written last
                                     spec.json               every choice that decided it, the preset's too
                                     generator.safetensors
                                     samples.png             real images beside generated ones, a row a class
                                     score-<judge>.json

The digest is of the contender's config and of its data, not of our code: an entry by other code than today's
is marked in the table. Delete its folder to have it anew.

Owns these files. Knows neither which contenders there are nor what a score means.
"""

from __future__ import annotations

import shutil
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np

import augment.gan
from augment.errors import DivergenceError
from augment.report.contact_sheet import ContactRow, contact_sheet_png
from augment.types import Record, canonical_json, sha256_hex
from tests.benchmarks.contenders import Parts, merged
from tests.benchmarks.fidelity import Fidelity, Judge
from tests.benchmarks.fidelity_tables import Line
from tests.benchmarks.machine import machine_facts
from tests.benchmarks.measure import in_fresh_process, peak_memory_mb
from tests.benchmarks.real_images import Images, RealSets
from tests.benchmarks.score import samples_of

__all__ = ["Contest", "Entry", "TrainingRecord", "engine_sha256"]

PICTURED_REAL, PICTURED_GENERATED = 6, 12  # images of each class


class TrainingRecord(Record):
    """What one training took. `failure` is why there is no generator, where there is none."""

    contender: str
    seed: int
    engine_sha256: str
    machine: dict[str, str | int | float]
    failure: str | None
    steps: int = 0
    best_step: int | None = None  # the one that the generator is of; None where quality was not measured
    ended: str | None = None
    seconds: float = 0.0  # the start of the workers and measurements of quality included
    images_per_second: float = 0.0  # of the median report
    peak_mb: float = 0.0  # of all processes, Ray's too


class Entry(Record):
    """One contender's result."""

    training: TrainingRecord
    fidelity: Fidelity | None

    @property
    def name(self) -> str:
        """With its seed."""
        return f"{self.training.contender}, seed {self.training.seed}"

    def line(self, engine: str) -> Line:
        """Its line of the table; marked where `engine` is not the one that trained it."""
        training = self.training
        cost = {
            "steps": f"{training.best_step or training.steps:,} of {training.steps:,}",
            "train s": f"{training.seconds:,.0f}",
            "images/s": f"{training.images_per_second:,.0f}",
            "peak MB": f"{training.peak_mb:,.0f}",
        }
        mark = "" if training.engine_sha256 == engine else " *"
        return Line(self.name + mark, self.fidelity, cost, why=training.failure or "")


@dataclass(frozen=True, slots=True)
class Contest:
    """One data set, one judge, and where results lie. `extra` is added to every contender's config."""

    real: RealSets
    judge: Judge
    source: Path  # the training images, as write_folder leaves them
    folder: Path
    minutes: float
    extra: Parts

    def entry(self, contender: str, parts: Parts, seed: int, announce: Callable[[str], None]) -> Entry:
        """Its result: found, or made now."""
        config = merged(self._base(seed), parts, self.extra)
        digest = sha256_hex(canonical_json([config, self.real.training.sha256]))[:12]
        place = self.folder / f"{contender}-s{seed}-{digest}"
        if not (place / "training.json").is_file():
            announce(f"{self.real.name}: training {contender}, seed {seed}")
            self._train(contender, seed, config, place)
        training = TrainingRecord.model_validate_json((place / "training.json").read_bytes())
        return Entry(
            training=training, fidelity=None if training.failure else self._fidelity(place, announce)
        )

    def _base(self, seed: int) -> dict[str, Any]:
        """What the user of this data set would write whatever the contender, but for paths."""
        image, real = self.real.training.shape, self.real
        return {
            "seed": seed,
            "image": {"size": image.size, "channels": image.channels},
            "train": {
                "max_time": f"{self.minutes:g}m",
                "horizontal_flip": real.horizontal_flip,
                "vertical_flip": real.vertical_flip,
            },
        }

    def _train(self, contender: str, seed: int, config: dict[str, Any], place: Path) -> None:
        shutil.rmtree(place, ignore_errors=True)  # half a training's times would be no measurement
        place.mkdir(parents=True)
        machine, dataset = machine_facts(), place / "dataset"
        paths = {"source": {"uri": str(self.source)}, "output": {"uri": str(dataset)}}
        found = in_fresh_process(trained, merged(config, paths, {"ray": {"address": "local"}}), place)
        shutil.rmtree(dataset, ignore_errors=True)
        record = TrainingRecord(
            contender=contender, seed=seed, engine_sha256=engine_sha256(), machine=machine, **found
        )
        _write(place / "training.json", record.to_json())

    def _fidelity(self, place: Path, announce: Callable[[str], None]) -> Fidelity:
        path = place / f"score-{self.judge.sha256[:12]}.json"
        if not path.is_file():
            announce(f"{self.real.name}: judging {place.name}")
            generated = samples_of(place / "generator.safetensors", self.real)
            _write(place / "samples.png", _picture(self.real, generated, f"{self.real.name}: {place.name}"))
            _write(path, self.judge(generated).to_json())
        return Fidelity.model_validate_json(path.read_bytes())


def trained(config: dict[str, Any], place: Path) -> dict[str, Any]:
    """Train, leave spec and generator in `place`; the figures of a TrainingRecord."""
    from tests.benchmarks.whole_train import whole_train

    with peak_memory_mb() as memory:
        try:
            run = whole_train(config, "log")
        except DivergenceError as error:  # a contender's fate, not the benchmark's
            return {"failure": str(error)}
    _write(place / "spec.json", run.spec_json)
    _write(place / "generator.safetensors", run.generator)
    return {
        "failure": None,
        "steps": run.steps,
        "best_step": run.best_step,
        "ended": run.ended,
        "seconds": run.seconds,
        "images_per_second": run.images_per_second,
        "peak_mb": memory.total_mb,
    }


def engine_sha256() -> str:
    """Of the GAN room's sources: which code trained."""
    (room,) = map(Path, augment.gan.__path__)
    sources = sorted(room.rglob("*.py"))
    return sha256_hex(b"".join(str(path.relative_to(room)).encode() + path.read_bytes() for path in sources))


def _picture(real: RealSets, generated: Images, title: str) -> bytes:
    samples_K = real.samples_K
    return contact_sheet_png(
        [
            ContactRow(
                name=name,
                real_count=int(np.sum(real.training.class_index_N == index)),
                synthetic_count=int(samples_K[index]),
                real_BHWC=_first(real.training, index, PICTURED_REAL),
                synthetic_BHWC=_first(generated, index, PICTURED_GENERATED),
            )
            for index, name in enumerate(real.class_names)
        ],
        title,
    )


def _first(images: Images, index: int, most: int) -> np.ndarray:
    return images.pixels_NHWC[np.flatnonzero(images.class_index_N == index)[:most]]


def _write(path: Path, data: bytes) -> None:
    """Whole or not at all: a benchmark of hours is interrupted at some time."""
    unfinished = path.with_suffix(f"{path.suffix}.part")
    unfinished.write_bytes(data)
    unfinished.replace(path)

"""`augment train` from a config to a generator, as a user runs it, and what its curves say of its pace.

Owns how a benchmark runs it: in the calling process, with Ray started for it. Knows no suite.
"""

from __future__ import annotations

import statistics
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from augment.config import Config
from augment.objects import open_store
from augment.store.models import ModelFolder
from augment.types import canonical_json
from pipelines.progress import Progress, ProgressMode
from pipelines.run import train

__all__ = ["Point", "Trained", "whole_train"]


@dataclass(frozen=True, slots=True)
class Point:
    """One report of the training loop, as TensorBoard has it."""

    step: int
    wall_s: float
    images_per_second: float


@dataclass(frozen=True, slots=True)
class Trained:
    """What one run made."""

    generator: bytes
    spec_json: bytes  # the training's, every choice resolved
    steps: int
    best_step: int | None  # the one that the generator is of; None where quality was not measured
    ended: str | None
    seconds: float  # of training and of fitting what measures it, the start of workers included
    points: tuple[Point, ...]

    @property
    def images_per_second(self) -> float:
        """The median report's."""
        return statistics.median(point.images_per_second for point in self.points)

    def seconds_between(self, first_step: int, last_step: int) -> float:
        """Wall time from the one step's report to the other's."""
        at = {point.step: point.wall_s for point in self.points}
        return at[last_step] - at[first_step]


def whole_train(parts: dict[str, Any], progress_mode: ProgressMode) -> Trained:
    """Run `augment train` on a config of these sections; raises what it raises."""
    config, progress = Config.model_validate_json(canonical_json(parts)), Progress(progress_mode)
    model, _ = train(config, progress)
    folder = ModelFolder(open_store(config.output.uri), config.name)
    return Trained(
        generator=folder.store.get(model.key),
        spec_json=folder.artefact("training.json"),
        steps=model.steps,
        best_step=model.best_step,
        ended=model.ended,
        seconds=progress.seconds["train"] + progress.seconds.get("judge", 0.0),
        points=_points(folder),
    )


def _points(folder: ModelFolder) -> tuple[Point, ...]:
    from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        for stored in folder.store.list(f"{folder.root}/tensorboard/"):
            (Path(place) / stored.key.rsplit("/", 1)[1]).write_bytes(folder.store.get(stored.key))
        events = EventAccumulator(place, size_guidance={"scalars": 0})
        events.Reload()
        scalars = events.Scalars("images per second")
    return tuple(Point(one.step, one.wall_time, one.value) for one in scalars)

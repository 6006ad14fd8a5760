"""What decides a model: the record that a snapshot carries and a resume is held to. No torch here.

Owns the training's identity, and the words for how two differ. Knows nothing of how training goes.
"""

from collections.abc import Iterator, Mapping
from typing import Any

from pydantic import model_validator
from typing_extensions import Self

from augment.gan.config import ModelConfig, TrainConfig
from augment.types import ClassInfo, ImageShape, Record

__all__ = ["HOW_NOT_WHAT", "TrainingSpec"]

HOW_NOT_WHAT = frozenset(
    f"train.{field}"
    for field in (
        "workers",
        "device",
        "cpus_per_worker",
        "max_failures",
        "tf32",
        "compile",
        "start_from",
    )
)
"""Fields that decide where, how fast and how safely a model is made, not which model."""


class TrainingSpec(Record):
    """Everything that decides the weights; `classes` and `counts` run in step."""

    model: ModelConfig
    train: TrainConfig
    image: ImageShape
    classes: tuple[ClassInfo, ...]
    counts: tuple[int, ...]
    seed: int
    data_sha256: str
    start_sha256: str | None = None  # of the snapshot that fine-tuning starts from

    @model_validator(mode="after")
    def _classes_match_counts(self) -> Self:
        if len(self.classes) != len(self.counts):
            raise ValueError(f"{len(self.classes)} classes but {len(self.counts)} counts")
        return self

    def differences(self, other: "TrainingSpec") -> list[str]:
        """What `other` has otherwise, a line each: "train.gamma: 0.4 there, 1.0 here" (here: self).

        Fields that do not decide what the weights mean (workers, device, snapshots, logs) are not compared.
        """
        here, there = (dict(_leaves(spec.model_dump(mode="json"))) for spec in (self, other))
        return [
            f"{name}: {there.get(name, 'absent')} there, {here.get(name, 'absent')} here"
            for name in [*here, *(name for name in there if name not in here)]
            if name not in HOW_NOT_WHAT and here.get(name) != there.get(name)
        ]


def _leaves(value: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, Any]]:
    """Every field that is no record itself, by its dotted name."""
    for name, field in value.items():
        if isinstance(field, Mapping):
            yield from _leaves(field, f"{prefix}{name}.")
        else:
            yield f"{prefix}{name}", field

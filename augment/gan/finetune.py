"""Fine-tuning: another training's weights in a fresh state, its classes matched by what they are.

Owns the transfer. Knows no store, and nothing of how training goes on from there: step, optimisers and
what adapts begin anew, since another data set's moments and schedules say nothing here.

Most weights belong to no class and are taken over as they are. Those with a row a class (embeddings, gains
and biases of conditional norms, directions of a projection, an auxiliary classifier's last layer) go to the
class of the same name, wherever it now stands (a folder's labels move when a class is added). A new class gets the mean of the learned rows plus
its fresh row's deviation from the mean of the fresh ones: from the mean, the networks make and expect
something like an average of the known classes, near the data, where a fresh row alone may lie anywhere and
undo what was learned; and the deviation keeps new classes apart from the start.

K = classes.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import torch
from torch import Tensor, nn

from augment.errors import ConfigError, IntegrityError
from augment.gan.checkpoint import open_snapshot
from augment.gan.config import ModelConfig
from augment.gan.networks.heads import AuxiliaryHead
from augment.gan.spec import TrainingSpec
from augment.gan.state import TrainState

__all__ = ["Transfer", "start_from"]


@dataclass(frozen=True, slots=True)
class Transfer:
    """What was taken over: classes that both trainings have, that only this one has, and that only that had."""

    step: int  # of the other training, which the weights are from
    known: tuple[str, ...]
    new: tuple[str, ...]
    dropped: tuple[str, ...]

    def __str__(self) -> str:
        parts = [f"weights of step {self.step:,}, {len(self.known)} classes known"]
        parts += [
            f"{len(names)} {word} ({', '.join(names[:5])}{', …' if names[5:] else ''})"
            for word, names in (("new", self.new), ("left out", self.dropped))
            if names
        ]
        return ", ".join(parts)


@torch.no_grad()
def start_from(state: TrainState, files: Mapping[str, bytes]) -> Transfer:
    """Put the weights of another training's snapshot (generator, discriminator, average) into a fresh `state`.

    Copied into the tensors that are there, so that each keeps its memory format. Raises IntegrityError where
    the snapshot is damaged, ConfigError that names every field in which the networks differ.
    """
    summary, stored = open_snapshot(files)
    if differences := _network_differences(state.spec, summary.spec):
        raise ConfigError(
            "train.start_from needs the same networks and images, and these differ: "
            + "; ".join(differences)
            + ". Set them back, or train from the beginning"
        )
    match = _Match.of(summary.spec, state.spec)
    networks = {"generator": state.generator, "discriminator": state.discriminator, "ema": state.ema}
    for player, network in networks.items():
        by_class = set(_class_tables(network))
        for name, weight in network.named_parameters():
            earlier = _stored(stored, f"{player}.{name}")
            if name in by_class:
                earlier = match.rows(earlier, fresh_K=weight)
            if earlier.shape != weight.shape:
                raise IntegrityError(
                    f"{player}.{name} is {list(earlier.shape)} in the snapshot, and should be {list(weight.shape)}"
                )
            weight.copy_(earlier)
    return Transfer(summary.step, match.known, match.new, match.dropped)


@dataclass(frozen=True, slots=True)
class _Match:
    """`learned` are the earlier classes' rows by name; a class that had no images was not learned."""

    rows_before: int
    learned: Mapping[str, int]
    classes: tuple[str, ...]

    @classmethod
    def of(cls, earlier: TrainingSpec, spec: TrainingSpec) -> "_Match":
        rows = zip(earlier.classes, earlier.counts, strict=True)
        learned = {info.name: row for row, (info, count) in enumerate(rows) if count}
        return cls(len(earlier.classes), learned, tuple(info.name for info in spec.classes))

    @property
    def known(self) -> tuple[str, ...]:
        return tuple(name for name in self.classes if name in self.learned)

    @property
    def new(self) -> tuple[str, ...]:
        return tuple(name for name in self.classes if name not in self.learned)

    @property
    def dropped(self) -> tuple[str, ...]:
        return tuple(name for name in self.learned if name not in self.classes)

    def rows(self, earlier_K: Tensor, *, fresh_K: Tensor) -> Tensor:
        """[K, …]: known classes' rows as they were, and new ones near the mean of those learned."""
        if len(earlier_K) != self.rows_before:
            raise IntegrityError(f"the snapshot has {len(earlier_K)} rows for {self.rows_before} classes")
        earlier_K = earlier_K.to(fresh_K.device)
        mean = earlier_K[list(self.learned.values())].mean(0)
        rows_K = mean + (fresh_K - fresh_K.mean(0))
        for row, name in enumerate(self.classes):
            if name in self.learned:
                rows_K[row] = earlier_K[self.learned[name]]
        return rows_K


def _class_tables(network: nn.Module) -> Iterator[str]:
    """Names of the parameters with a row a class."""
    for name, module in network.named_modules():
        prefix = f"{name}." if name else ""
        if isinstance(module, nn.Embedding):
            yield f"{prefix}weight"
        elif isinstance(module, AuxiliaryHead):
            yield from (f"{prefix}classifier.{part}" for part in ("weight", "bias"))


def _stored(stored: Mapping[str, Tensor], name: str) -> Tensor:
    if name not in stored:
        raise IntegrityError(f"the snapshot lacks {name}")
    return stored[name]


def _network_differences(here: TrainingSpec, there: TrainingSpec) -> list[str]:
    """Fields that decide the networks' shapes and differ, a line each."""
    lines = []
    for section, one, other in (
        ("model", _network_fields(here.model), _network_fields(there.model)),
        ("image", here.image.model_dump(), there.image.model_dump()),
    ):
        lines += [
            f"{section}.{name}: {other[name]} there, {one[name]} here"
            for name in one
            if one[name] != other[name]
        ]
    return lines


def _network_fields(model: ModelConfig) -> dict[str, object]:
    """What a model's networks are built from."""
    return {**model.model_dump(exclude={"preset"}), "mapping_layers": model.resolved_mapping_layers}

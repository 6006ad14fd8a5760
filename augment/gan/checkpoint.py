"""A training state as named files, and back to the last bit.

Owns the snapshot's format: `state.safetensors` (both networks, the average, both Adams' moments, what adapts)
and `snapshot.json` (step, spec, what supervision remembers, and the digest of the other). Plain numbers and JSON: opening one runs no
code. Knows no store and no path.
"""

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import torch
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import Tensor, nn

from augment.errors import ConfigError, IntegrityError
from augment.gan.spec import TrainingSpec
from augment.gan.state import TrainState
from augment.gan.supervision import Watch
from augment.types import Record, sha256_hex

__all__ = [
    "STATE_FILE",
    "SUMMARY_FILE",
    "Capture",
    "SnapshotSummary",
    "capture",
    "dump",
    "open_snapshot",
    "read_summary",
    "restore",
]

STATE_FILE = "state.safetensors"
SUMMARY_FILE = "snapshot.json"
_ADAPTIVE = (
    "augment_probability",
    "lecam_real",
    "lecam_fake",
    "generator_loss_scale",
    "discriminator_loss_scale",
    "trend_3",
)


class SnapshotSummary(Record):
    """What snapshot.json says."""

    format_version: Literal[2] = 2
    step: int
    images_seen: int
    state_sha256: str
    spec: TrainingSpec
    watch: Watch


@dataclass(frozen=True)
class Capture:
    """A state's numbers at one moment, apart from the live ones: training may go on while `files` are made."""

    step: int
    images_seen: int
    spec: TrainingSpec
    watch: Watch
    tensors: Mapping[str, Tensor]

    def files(self) -> dict[str, bytes]:
        """The snapshot's files by name. Equal states give equal bytes."""
        data = save(dict(self.tensors))
        summary = SnapshotSummary(
            step=self.step,
            images_seen=self.images_seen,
            state_sha256=sha256_hex(data),
            spec=self.spec,
            watch=self.watch,
        )
        return {STATE_FILE: data, SUMMARY_FILE: summary.to_json()}


def capture(state: TrainState) -> Capture:
    """A copy of everything that goes on from here; takes as long as copying it takes.

    Rows of channels-last weights are put in order here and not in `files`, which another thread calls: a second thread
    that computes has OpenMP threads of its own, and where there are more of them than cores, those of the training
    sleep between any two operations (381 images/s instead of 514, on two cores) until that thread ends.
    """
    return Capture(
        step=state.step,
        images_seen=state.images_seen,
        spec=state.spec,
        watch=state.watch,
        tensors={
            name: tensor.detach().to("cpu", copy=True, memory_format=torch.contiguous_format)
            for name, tensor in _tensors(state)
        },
    )


def dump(state: TrainState) -> dict[str, bytes]:
    """The snapshot's files by name. Equal states give equal bytes."""
    return capture(state).files()


def read_summary(files: Mapping[str, bytes]) -> SnapshotSummary:
    """The summary of a snapshot; raises IntegrityError where it is missing or cannot be read."""
    if missing := {STATE_FILE, SUMMARY_FILE} - files.keys():
        raise IntegrityError(f"the snapshot lacks {', '.join(sorted(missing))}")
    try:
        return SnapshotSummary.model_validate_json(files[SUMMARY_FILE])
    except ValidationError as error:
        raise IntegrityError(f"{SUMMARY_FILE} cannot be read: {error}") from error


def open_snapshot(files: Mapping[str, bytes]) -> tuple[SnapshotSummary, dict[str, Tensor]]:
    """The summary of a snapshot and its tensors by name; raises IntegrityError where it is damaged."""
    summary = read_summary(files)
    if sha256_hex(files[STATE_FILE]) != summary.state_sha256:
        raise IntegrityError(f"{STATE_FILE} does not have the SHA-256 that {SUMMARY_FILE} names")
    return summary, load(files[STATE_FILE])


@torch.no_grad()
def restore(state: TrainState, files: Mapping[str, bytes]) -> None:
    """Put a snapshot into `state`, which must be of the same spec (`new_state` makes one).

    Every number is copied into the tensor that is already there, so that each keeps its memory format: a
    convolution over other strides may add in another order, and the run would not go on as it was.

    Raises IntegrityError where the snapshot is damaged, ConfigError where it is of another spec.
    """
    summary, stored = open_snapshot(files)
    if differences := state.spec.differences(summary.spec):
        raise ConfigError(
            "this snapshot is of another training: " + "; ".join(differences) + ". "
            "Set these back to go on with it, or start a new run"
        )
    if summary.step:
        _make_moments(state)
    else:
        _drop_moments(state)
    for name, tensor in _tensors(state):
        if name not in stored or stored[name].shape != tensor.shape:
            raise IntegrityError(
                f"the snapshot lacks {name} of shape {list(tensor.shape)}; it is another version's: start a new model"
            )
        tensor.copy_(stored[name])
    state.step, state.watch = summary.step, summary.watch


def _tensors(state: TrainState) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the state by its name in the file, the live one: copying into it restores it.

    Before the first step Adam has no moments; the file has none then either.
    """
    for player, network, adam in _players(state):
        for name, weight in network.named_parameters():
            yield f"{player}.{name}", weight
            for moment, value in adam.state[weight].items():
                yield f"{player}_adam.{name}.{moment}", value
    for name, weight in state.ema.named_parameters():
        yield f"ema.{name}", weight
    for name in _ADAPTIVE:
        yield f"adaptive.{name}", getattr(state, name)


def _make_moments(state: TrainState) -> None:
    """Adam's state as Adam itself makes it at its first step, to be copied into."""
    for _, network, adam in _players(state):
        for weight in network.parameters():
            adam.state[weight] = {
                "step": torch.zeros((), dtype=torch.float32, device=weight.device),
                "exp_avg": torch.zeros_like(weight, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(weight, memory_format=torch.preserve_format),
            }


def _drop_moments(state: TrainState) -> None:
    for _, _, adam in _players(state):
        adam.state.clear()


def _players(state: TrainState) -> tuple[tuple[str, nn.Module, torch.optim.Adam], ...]:
    return (
        ("generator", state.generator, state.generator_adam),
        ("discriminator", state.discriminator, state.discriminator_adam),
    )

"""A training state as named files, and back to the last bit.

Owns the snapshot's format: `state.safetensors` (both networks, the average, both Adams' moments) and
`snapshot.json` (step, spec, and the digest of the other). Plain numbers and JSON: opening one runs no
code. Knows no store and no path.
"""

from collections.abc import Iterator, Mapping
from typing import Literal

import torch
from pydantic import ValidationError
from safetensors.torch import load, save
from torch import Tensor, nn

from augment.errors import ConfigError, IntegrityError
from augment.gan.spec import TrainingSpec
from augment.gan.state import TrainState
from augment.types import Record, sha256_hex

__all__ = ["STATE_FILE", "SUMMARY_FILE", "SnapshotSummary", "dump", "read_summary", "restore"]

STATE_FILE = "state.safetensors"
SUMMARY_FILE = "snapshot.json"


class SnapshotSummary(Record):
    """What snapshot.json says."""

    format_version: Literal[1] = 1
    step: int
    images_seen: int
    state_sha256: str
    spec: TrainingSpec


def dump(state: TrainState) -> dict[str, bytes]:
    """The snapshot's files by name. Equal states give equal bytes."""
    data = save({name: tensor.cpu().contiguous() for name, tensor in _tensors(state)})
    summary = SnapshotSummary(
        step=state.step, images_seen=state.images_seen, state_sha256=sha256_hex(data), spec=state.spec
    )
    return {STATE_FILE: data, SUMMARY_FILE: summary.to_json()}


def read_summary(files: Mapping[str, bytes]) -> SnapshotSummary:
    """The summary of a snapshot; raises IntegrityError where it is missing or cannot be read."""
    if missing := {STATE_FILE, SUMMARY_FILE} - files.keys():
        raise IntegrityError(f"the snapshot lacks {', '.join(sorted(missing))}")
    try:
        return SnapshotSummary.model_validate_json(files[SUMMARY_FILE])
    except ValidationError as error:
        raise IntegrityError(f"{SUMMARY_FILE} cannot be read: {error}") from error


@torch.no_grad()
def restore(state: TrainState, files: Mapping[str, bytes]) -> None:
    """Put a snapshot into `state`, which must be of the same spec (`new_state` makes one).

    Every number is copied into the tensor that is already there, so that each keeps its memory format: a
    convolution over other strides may add in another order, and the run would not go on as it was.

    Raises IntegrityError where the snapshot is damaged, ConfigError where it is of another spec.
    """
    summary = read_summary(files)
    if sha256_hex(files[STATE_FILE]) != summary.state_sha256:
        raise IntegrityError(f"{STATE_FILE} does not have the SHA-256 that {SUMMARY_FILE} names")
    if differences := state.spec.differences(summary.spec):
        raise ConfigError(
            "this snapshot is of another training: " + "; ".join(differences) + ". "
            "Set these back to go on with it, or start a new run"
        )
    stored = load(files[STATE_FILE])
    _make_moments(state)
    for name, tensor in _tensors(state):
        tensor.copy_(stored[name])
    state.step = summary.step


def _tensors(state: TrainState) -> Iterator[tuple[str, Tensor]]:
    """Every tensor of the state by its name in the file, the live one: copying into it restores it."""
    for player, network, adam in _players(state):
        for name, weight in network.named_parameters():
            yield f"{player}.{name}", weight
            for moment, value in adam.state[weight].items():
                yield f"{player}_adam.{name}.{moment}", value
    for name, weight in state.ema.named_parameters():
        yield f"ema.{name}", weight


def _make_moments(state: TrainState) -> None:
    """Adam's state as Adam itself makes it at its first step, to be copied into."""
    for _, network, adam in _players(state):
        for weight in network.parameters():
            adam.state[weight] = {
                "step": torch.zeros((), dtype=torch.float32, device=weight.device),
                "exp_avg": torch.zeros_like(weight, memory_format=torch.preserve_format),
                "exp_avg_sq": torch.zeros_like(weight, memory_format=torch.preserve_format),
            }


def _players(state: TrainState) -> tuple[tuple[str, nn.Module, torch.optim.Adam], ...]:
    return (
        ("generator", state.generator, state.generator_adam),
        ("discriminator", state.discriminator, state.discriminator_adam),
    )

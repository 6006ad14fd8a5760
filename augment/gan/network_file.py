"""A trained network as one file that describes itself: safetensors with a JSON record in its header.

Owns what a generator's and a critic's file have in common: what they say of themselves, and the checks before
one is opened. Opening a file runs no code. Knows neither what a network is for nor where its file lies.
"""

import json
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, Literal, TypeVar

import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn
from typing_extensions import Self

from augment.errors import IntegrityError
from augment.gan.config import ModelConfig
from augment.gan.networks.layers import channels_last
from augment.gan.state import TrainState
from augment.types import ClassInfo, ImageShape, Record, sha256_hex

__all__ = ["NetworkFile", "NetworkInfo"]


class NetworkInfo(Record):
    """What a network's file says of itself, and of the training that it is from."""

    format_version: Literal[1] = 1
    model: ModelConfig
    image: ImageShape
    classes: tuple[ClassInfo, ...]
    counts: tuple[int, ...]
    seed: int
    steps: int
    kimg: float
    data_sha256: str

    @classmethod
    def of(cls, state: TrainState, **more: Any) -> Self:
        """Of a network of `state`; `more` are the fields that this kind of file has beside these."""
        spec = state.spec
        return cls(
            model=spec.model,
            image=spec.image,
            classes=spec.classes,
            counts=spec.counts,
            seed=spec.seed,
            steps=state.step,
            kimg=state.images_seen / 1000,
            data_sha256=spec.data_sha256,
            **more,
        )


InfoT = TypeVar("InfoT", bound=NetworkInfo)


@dataclass(frozen=True, slots=True)
class NetworkFile(Generic[InfoT]):
    """The file of one kind of network: its name in header and messages, its record, and how it is built."""

    kind: str
    info: type[InfoT]
    build: Callable[..., nn.Module]

    def to_bytes(self, network: nn.Module, info: InfoT) -> bytes:
        """The file. Equal weights and records give equal bytes."""
        weights = {name: weight.detach().cpu().contiguous() for name, weight in network.named_parameters()}
        return save(weights, metadata={self._key: info.to_json().decode()})

    def read_info(self, data: bytes) -> InfoT:
        """The record in a file's header; raises IntegrityError where it is none of this kind."""
        try:
            length = int.from_bytes(
                data[:8], "little"
            )  # safetensors: u64 header length, then the header as JSON
            header = json.loads(data[8 : 8 + length])
            return self.info.model_validate_json(header["__metadata__"][self._key])
        except (ValueError, KeyError, TypeError, ValidationError) as error:
            raise IntegrityError(f"not a {self.kind} file of this project: {error!r}") from error

    def open(self, data: bytes, *, sha256: str, device: torch.device) -> tuple[InfoT, nn.Module]:
        """The record and the network of a file: on `device`, in eval mode, without gradients.

        `sha256` (of `data`) is checked before anything is parsed. Raises IntegrityError where digest or
        format is not as expected.
        """
        if (found := sha256_hex(data)) != sha256:
            raise IntegrityError(
                f"the {self.kind}'s SHA-256 is {found}, expected {sha256}: refusing to open it"
            )
        info = self.read_info(data)
        network = self.build(info.model, info.image, len(info.classes), seed=info.seed)
        try:
            network.load_state_dict(load(data))
        except (SafetensorError, RuntimeError) as error:
            raise IntegrityError(f"the {self.kind}'s weights do not fit its header: {error}") from error
        return info, channels_last(network).eval().requires_grad_(False).to(device)

    @property
    def _key(self) -> str:
        return f"augment.{self.kind}"

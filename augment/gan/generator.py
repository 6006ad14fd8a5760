"""The trained generator as one file, and the one gate through which it is used.

Owns the file's format (safetensors with a JSON header: opening it runs no code) and inference: averaged
weights, eval mode, no gradient, float32. A sample's pixels are decided by (seed, label, index in its class)
and the weights: its latent comes from a counter-based stream, and the forward pass runs on tiles of one
fixed size, padded with zeros, on one CPU thread. Tile and thread are what makes pixels repeat: matrix
libraries choose the order of their sums by the size of the batch and the number of threads, and a sum in
another order may round to another gray level. Samples in parallel come from several processes.

B = samples, T = samples of one tile, D = latent, n = samples a class, K = classes.
"""

import itertools
import json
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import nn

from augment.errors import ConfigError, IntegrityError
from augment.gan.config import ModelConfig
from augment.gan.networks import build_generator
from augment.gan.networks.interface import Condition
from augment.gan.networks.layers import channels_last
from augment.gan.state import TrainState
from augment.seeds import normals, stream_id
from augment.types import AugmentPlan, ClassInfo, ImageShape, Record, SampleBlock, ShardSpec, sha256_hex

__all__ = [
    "FrozenGenerator",
    "GeneratorInfo",
    "export_generator",
    "frozen_generator",
    "read_info",
    "sample_grid",
]

_CPU_TILE = 32  # images a forward pass on a CPU, whatever `batch_size` says
_METADATA_KEY = "augment.generator"


class GeneratorInfo(Record):
    """What a generator's file says of itself."""

    format_version: Literal[1] = 1
    model: ModelConfig
    image: ImageShape
    classes: tuple[ClassInfo, ...]
    counts: tuple[int, ...]
    seed: int
    steps: int
    kimg: float
    data_sha256: str


def export_generator(state: TrainState) -> bytes:
    """The averaged generator as a file that describes itself. Equal states give equal bytes."""
    spec = state.spec
    info = GeneratorInfo(
        model=spec.model,
        image=spec.image,
        classes=spec.classes,
        counts=spec.counts,
        seed=spec.seed,
        steps=state.step,
        kimg=state.images_seen / 1000,
        data_sha256=spec.data_sha256,
    )
    weights = {name: weight.detach().cpu().contiguous() for name, weight in state.ema.named_parameters()}
    return save(weights, metadata={_METADATA_KEY: info.to_json().decode()})


def read_info(data: bytes) -> GeneratorInfo:
    """The header of a generator's file; raises IntegrityError where it is none of ours."""
    try:
        length = int.from_bytes(data[:8], "little")  # safetensors: u64 header length, then the header as JSON
        header = json.loads(data[8 : 8 + length])
        return GeneratorInfo.model_validate_json(header["__metadata__"][_METADATA_KEY])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise IntegrityError(f"not a generator file of this project: {error!r}") from error


class FrozenGenerator:
    """Samples by class and index; `frozen_generator` makes it. Reusable, but not by two threads at once."""

    def __init__(
        self, info: GeneratorInfo, network: nn.Module, device: torch.device, batch_size: int
    ) -> None:
        self.info = info
        self._network = network
        self._device = device
        self._tile = _CPU_TILE if device.type == "cpu" else batch_size

    def __call__(
        self, seed: int, class_index_B: npt.NDArray[np.int64], sample_index_B: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """Pixels uint8 [B, H, W, C] of the samples with these indices within their classes.

        A sample is the same alone, in any block and in any order, bit for bit on one kind of device.
        """
        z_BD = self.latents(seed, class_index_B, sample_index_B)
        with _one_cpu_thread():
            return _pixels(self._network, z_BD, class_index_B, tile=self._tile, device=self._device)

    def latents(
        self, seed: int, class_index_B: npt.NDArray[np.int64], sample_index_B: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """z_BD of these samples: a stream for each label, a row of it for each index."""
        z_BD = np.empty((len(class_index_B), self.info.model.latent_dim), dtype=np.float32)
        for run in _runs(class_index_B, sample_index_B):
            stream = stream_id("generate.latent", self.info.classes[class_index_B[run.start]].label)
            first, rows = int(sample_index_B[run.start]), run.stop - run.start
            z_BD[run] = normals(seed, stream, first, rows, self.info.model.latent_dim)
        return z_BD

    def generate_block(self, plan: AugmentPlan, shard: ShardSpec) -> SampleBlock:
        """The samples of one shard of `plan`, in the shard's order.

        Raises ConfigError where the plan's classes or image shape are not this generator's.
        """
        self._check(plan)
        class_index_B, sample_index_B = _samples_of(shard)
        pixels_BHWC = self(plan.seed, class_index_B, sample_index_B)
        return SampleBlock(
            pixels_BHWC=pixels_BHWC, class_index_B=class_index_B, sample_index_B=sample_index_B
        )

    def generate_row(self, plan: AugmentPlan, shard: ShardSpec, row: int) -> npt.NDArray[np.uint8]:
        """Pixels [H, W, C] of one row of a shard, by the same forward pass as in `generate_block`, and no other.

        Raises as `generate_block`.
        """
        self._check(plan)
        class_index_B, sample_index_B = _samples_of(shard)
        begin = row - row % self._tile
        tile = slice(begin, begin + self._tile)
        pixels: npt.NDArray[np.uint8] = self(plan.seed, class_index_B[tile], sample_index_B[tile])[
            row - begin
        ]
        return pixels

    def _check(self, plan: AugmentPlan) -> None:
        planned = tuple((target.label, target.name) for target in plan.classes)
        known = tuple((info.label, info.name) for info in self.info.classes)
        if planned != known:
            raise ConfigError(f"the plan's classes are {planned}, but the generator was trained on {known}")
        if plan.image != self.info.image:
            raise ConfigError(
                f"the plan asks for images of {plan.image}, the generator makes {self.info.image}"
            )


@contextmanager
def frozen_generator(
    data: bytes, *, sha256: str, device: torch.device, batch_size: int
) -> Iterator[FrozenGenerator]:
    """Open a file of `export_generator` for use: the one gate for inference.

    `sha256` (of `data`) is checked before anything is parsed. `batch_size` is how many images a forward pass
    takes on a GPU; a CPU has a tile of its own, so that it decides nothing there.

    Raises IntegrityError where digest or format is not as expected.
    """
    if (found := sha256_hex(data)) != sha256:
        raise IntegrityError(f"the generator's SHA-256 is {found}, expected {sha256}: refusing to open it")
    info = read_info(data)
    network = build_generator(info.model, info.image, len(info.classes), seed=info.seed)
    try:
        network.load_state_dict(load(data))
    except (SafetensorError, RuntimeError) as error:
        raise IntegrityError(f"the generator's weights do not fit its header: {error}") from error
    channels_last(network).eval().requires_grad_(False).to(device)
    # TensorFloat-32 would round the weights to 10 bits, and timing trials would pick kernels by chance.
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        yield FrozenGenerator(info, network, device, batch_size)


def sample_grid(state: TrainState, per_class: int, most_classes: int = 32) -> npt.NDArray[np.uint8]:
    """`per_class` samples of each of the first `most_classes` classes, from the averaged generator: uint8 [K, n, H, W, C].

    The latents are fixed by the spec's seed, so that grids of one run show the same samples growing up.
    """
    spec = state.spec
    classes = min(len(spec.classes), most_classes)
    z_BD = normals(spec.seed, stream_id("train.grid"), 0, classes * per_class, spec.model.latent_dim)
    class_index_B = np.repeat(np.arange(classes, dtype=np.int64), per_class)
    device = next(state.ema.parameters()).device
    pixels_BHWC = _pixels(state.ema, z_BD, class_index_B, tile=_CPU_TILE, device=device)
    return pixels_BHWC.reshape(classes, per_class, *pixels_BHWC.shape[1:])


def _samples_of(shard: ShardSpec) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Class index and sample index of every row."""
    counts = [piece.count for piece in shard.pieces]
    class_index_B = np.repeat(np.array([piece.class_index for piece in shard.pieces], np.int64), counts)
    sample_index_B = np.concatenate(
        [np.arange(piece.first, piece.first + piece.count, dtype=np.int64) for piece in shard.pieces]
    )
    return class_index_B, sample_index_B


def _runs(class_index_B: npt.NDArray[np.int64], sample_index_B: npt.NDArray[np.int64]) -> Iterator[slice]:
    """Stretches of one class with consecutive indices: each is one block of its latent stream."""
    breaks = (np.diff(class_index_B) != 0) | (np.diff(sample_index_B) != 1)
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(class_index_B)]
    return (slice(begin, end) for begin, end in itertools.pairwise(edges) if begin < end)


@contextmanager
def _one_cpu_thread() -> Iterator[None]:
    """Per call and not per generator: OpenMP keeps the number for the calling thread alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


@torch.inference_mode()
def _pixels(
    network: nn.Module,
    z_BD: npt.NDArray[np.float32],
    class_index_B: npt.NDArray[np.int64],
    *,
    tile: int,
    device: torch.device,
) -> npt.NDArray[np.uint8]:
    """Forward passes of exactly `tile` rows, the last one filled up with zeros; [-1, 1] → 0…255."""
    rows, padding = len(z_BD), -len(z_BD) % tile
    z = torch.from_numpy(np.pad(z_BD, ((0, padding), (0, 0)))).to(device)
    class_index = torch.from_numpy(np.pad(class_index_B, (0, padding))).to(device)
    blocks = []
    for z_TD, class_T in zip(torch.split(z, tile), torch.split(class_index, tile), strict=True):
        x_TCHW = network(z_TD, Condition(class_T)).image_BCHW
        pixels_TCHW = ((x_TCHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        blocks.append(pixels_TCHW.permute(0, 2, 3, 1).cpu())
    return torch.cat(blocks).contiguous().numpy()[:rows]

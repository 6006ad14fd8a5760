"""The trained generator as one file, and the one gate through which it is used.

Owns what is exported of it (the file's format is augment.gan.network_file's) and inference: averaged weights,
eval mode, no gradient, float32. A sample's pixels are decided by (seed, label, index in its class) and the
weights: its latent comes from a counter-based stream, and the forward pass runs on tiles of one fixed size and
on one CPU thread (augment.gan.tiles), since a sum in another order may round to another gray level.

B = samples, T = samples of one tile, D = latent, n = samples a class, K = classes.
"""

import itertools
import logging
from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from augment.errors import ConfigError
from augment.gan.memory import is_out_of_memory
from augment.gan.network_file import NetworkFile, NetworkInfo
from augment.gan.networks import build_generator
from augment.gan.networks.interface import Condition
from augment.gan.state import TrainState
from augment.gan.tiles import CPU_TILE, in_tiles, one_cpu_thread, repeatable_kernels
from augment.seeds import normals, stream_id
from augment.types import AugmentPlan

__all__ = [
    "FrozenGenerator",
    "GeneratorInfo",
    "export_generator",
    "frozen_generator",
    "read_info",
    "sample_grid",
]

log = logging.getLogger("augment")


class GeneratorInfo(NetworkInfo):
    """What a generator's file says of itself."""


_FILE = NetworkFile("generator", GeneratorInfo, build_generator)


def export_generator(state: TrainState) -> bytes:
    """The averaged generator as a file that describes itself. Equal states give equal bytes."""
    return _FILE.to_bytes(state.ema, GeneratorInfo.of(state))


def read_info(data: bytes) -> GeneratorInfo:
    """The header of a generator's file; raises IntegrityError where it is none of ours."""
    return _FILE.read_info(data)


class FrozenGenerator:
    """Samples by class and index; `frozen_generator` makes it. Reusable, but not by two threads at once."""

    def __init__(
        self, info: GeneratorInfo, network: nn.Module, device: torch.device, batch_size: int
    ) -> None:
        self.info = info
        self._network = network
        self._device = device
        self._tile = CPU_TILE if device.type == "cpu" else batch_size

    def __call__(
        self,
        seed: int,
        class_index_B: npt.NDArray[np.int64],
        sample_index_B: npt.NDArray[np.int64],
        attempt_B: npt.NDArray[np.int64] | None = None,
    ) -> npt.NDArray[np.uint8]:
        """Pixels uint8 [B, H, W, C] of the samples with these indices within their classes.

        `attempt_B` counts the candidates for a sample, from 0 (None: all 0). A candidate is the same alone, in any
        block and in any order, bit for bit on one kind of device: where memory runs out, they are drawn in halves.
        Raises ConfigError where it runs out again.
        """
        z_BD = self.latents(seed, class_index_B, sample_index_B, attempt_B)
        with one_cpu_thread():
            try:
                return self._draw(z_BD, class_index_B)
            except (MemoryError, RuntimeError) as error:
                if not is_out_of_memory(error):
                    raise
                reason = str(error).partition("\n")[0]
            log.warning("generate: out of memory (%s): %d samples are drawn in halves", reason, len(z_BD))
            return self._draw_halves(z_BD, class_index_B)

    def _draw(
        self, z_BD: npt.NDArray[np.float32], class_index_B: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        return _pixels(self._network, z_BD, class_index_B, tile=self._tile, device=self._device)

    def _draw_halves(
        self, z_BD: npt.NDArray[np.float32], class_index_B: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.uint8]:
        """In halves, after what the allocator keeps is given back: by the same tiles, so to the same bits."""
        if self._device.type == "cuda":
            torch.cuda.empty_cache()
        halves = zip(np.array_split(z_BD, 2), np.array_split(class_index_B, 2), strict=True)
        try:
            return np.concatenate([self._draw(*half) for half in halves])
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            raise ConfigError(
                f"a forward pass of {self._tile} samples does not fit in memory; lower generate.batch_size (which decides "
                "that on a GPU; the samples are another run's then), set generate.device=cpu, or train a model of less "
                f"model.width than {self.info.model.width}"
            ) from error

    def latents(
        self,
        seed: int,
        class_index_B: npt.NDArray[np.int64],
        sample_index_B: npt.NDArray[np.int64],
        attempt_B: npt.NDArray[np.int64] | None = None,
    ) -> npt.NDArray[np.float32]:
        """z_BD of these samples: a stream for each label and attempt, a row of it for each index."""
        if attempt_B is None:
            attempt_B = np.zeros_like(sample_index_B)
        z_BD = np.empty((len(class_index_B), self.info.model.latent_dim), dtype=np.float32)
        for run in _runs(class_index_B, sample_index_B, attempt_B):
            label, attempt = self.info.classes[class_index_B[run.start]].label, int(attempt_B[run.start])
            key = (label, attempt) if attempt else (label,)
            first, rows = int(sample_index_B[run.start]), run.stop - run.start
            stream = stream_id("generate.latent", *key)
            z_BD[run] = normals(seed, stream, first, rows, self.info.model.latent_dim)
        return z_BD

    def check(self, plan: AugmentPlan) -> None:
        """Raise ConfigError where a plan's classes or image shape are not this generator's."""
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
    info, network = _FILE.open(data, sha256=sha256, device=device)
    with repeatable_kernels():
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
    pixels_BHWC = _pixels(state.ema, z_BD, class_index_B, tile=CPU_TILE, device=device)
    return pixels_BHWC.reshape(classes, per_class, *pixels_BHWC.shape[1:])


def _runs(
    class_index_B: npt.NDArray[np.int64],
    sample_index_B: npt.NDArray[np.int64],
    attempt_B: npt.NDArray[np.int64],
) -> Iterator[slice]:
    """Stretches of one class and attempt with consecutive indices: each is one block of its latent stream."""
    breaks = (np.diff(class_index_B) != 0) | (np.diff(sample_index_B) != 1) | (np.diff(attempt_B) != 0)
    edges = [0, *(np.flatnonzero(breaks) + 1).tolist(), len(class_index_B)]
    return (slice(begin, end) for begin, end in itertools.pairwise(edges) if begin < end)


def _pixels(
    network: nn.Module,
    z_BD: npt.NDArray[np.float32],
    class_index_B: npt.NDArray[np.int64],
    *,
    tile: int,
    device: torch.device,
) -> npt.NDArray[np.uint8]:
    """uint8 [B, H, W, C]: [-1, 1] → 0…255."""

    def forward(z_TD: Tensor, class_T: Tensor) -> Tensor:
        x_TCHW: Tensor = network(z_TD, Condition(class_T)).image_BCHW
        pixels_TCHW = ((x_TCHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        return pixels_TCHW.permute(0, 2, 3, 1)

    return in_tiles(forward, z_BD, class_index_B, tile=tile, device=device)

"""The trained discriminator as one file, and the one gate through which it judges: the critic.

Owns what is exported of it and how it scores: the discriminator of the exported generator's own step, with its
weights as they are (it has no average), eval mode, no gradient, no augmentation, float32. A score is decided
by the image, its class and the weights alone, bit for bit (see augment.gan.tiles). What a score is good for is
not this file's.

Two things a score is not. It is no probability, and it compares within one class only: the relativistic loss
(Jolicoeur-Martineau 2019) and WGAN's look at differences r - f of real and generated images of the same class,
so that a constant added to all logits of a class changes neither loss nor gradient penalty, and training
leaves it anywhere. And a training image's score is no measure of real images: the discriminator has learned
these by heart (Brock et al. 2019, section 4.2: it is right about 98% of ImageNet's training images, and about
50 to 55% of the validation images).

B = images, T = images of one tile, H, W, C = rows, columns, channels.
"""

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor, nn

from augment.errors import InputError
from augment.gan.config import LossName
from augment.gan.network_file import NetworkFile, NetworkInfo
from augment.gan.networks import build_discriminator
from augment.gan.networks.interface import Condition
from augment.gan.state import TrainState
from augment.gan.tiles import CPU_TILE, in_tiles, one_cpu_thread, repeatable_kernels

__all__ = ["CriticInfo", "FrozenCritic", "export_critic", "frozen_critic", "read_critic_info"]

_GPU_TILE = 256


class CriticInfo(NetworkInfo):
    """What a critic's file says of itself."""

    loss: LossName  # that it minimised, which decides what a score means


_FILE = NetworkFile("critic", CriticInfo, build_discriminator)


def export_critic(state: TrainState) -> bytes:
    """The discriminator as a file that describes itself. Equal states give equal bytes.

    Of the state that the generator is exported from, so that the two are of one step.
    """
    return _FILE.to_bytes(state.discriminator, CriticInfo.of(state, loss=state.spec.train.loss))


def read_critic_info(data: bytes) -> CriticInfo:
    """The header of a critic's file; raises IntegrityError where it is none of ours."""
    return _FILE.read_info(data)


class FrozenCritic:
    """Scores of images by class; `frozen_critic` makes it. Reusable, but not by two threads at once."""

    def __init__(self, info: CriticInfo, network: nn.Module, device: torch.device) -> None:
        self.info = info
        self._network = network
        self._device = device
        self._tile = CPU_TILE if device.type == "cpu" else _GPU_TILE

    def __call__(
        self, pixels_BHWC: npt.NDArray[np.uint8], class_index_B: npt.NDArray[np.int64]
    ) -> npt.NDArray[np.float32]:
        """How real uint8 images look as ones of their class, float32 [B]: the logit, higher is more real.

        Comparable within a class; an `auxiliary` or unconditional discriminator does not look at the class. An
        image's score is the same alone, in any block and in any order, bit for bit on one kind of device.
        Raises InputError where the images or classes are not of the kind that it was trained on.
        """
        self._check(pixels_BHWC, class_index_B)
        with one_cpu_thread():
            return in_tiles(self._score, pixels_BHWC, class_index_B, tile=self._tile, device=self._device)

    def _score(self, pixels_THWC: Tensor, class_T: Tensor) -> Tensor:
        x_TCHW = pixels_THWC.permute(0, 3, 1, 2).float() / 127.5 - 1  # as training shows them
        logits_T: Tensor = self._network(x_TCHW, Condition(class_T)).logits_B
        return logits_T

    def _check(self, pixels_BHWC: npt.NDArray[np.uint8], class_index_B: npt.NDArray[np.int64]) -> None:
        size, channels, classes = self.info.image.size, self.info.image.channels, len(self.info.classes)
        if pixels_BHWC.dtype != np.uint8 or pixels_BHWC.shape[1:] != (size, size, channels):
            raise InputError(
                f"the critic scores uint8 images [B, {size}, {size}, {channels}], "
                f"not {pixels_BHWC.dtype} {list(pixels_BHWC.shape)}"
            )
        if class_index_B.shape != pixels_BHWC.shape[:1]:
            raise InputError(f"{len(pixels_BHWC)} images have {list(class_index_B.shape)} class indices")
        if len(class_index_B) and not 0 <= class_index_B.min() <= class_index_B.max() < classes:
            raise InputError(
                f"class indices go from {class_index_B.min()} to {class_index_B.max()}, "
                f"and the critic knows 0 to {classes - 1}"
            )


@contextmanager
def frozen_critic(data: bytes, *, sha256: str, device: torch.device) -> Iterator[FrozenCritic]:
    """Open a file of `export_critic` for use: the one gate for its scores.

    `sha256` (of `data`) is checked before anything is parsed. Raises IntegrityError where digest or format is
    not as expected.
    """
    info, network = _FILE.open(data, sha256=sha256, device=device)
    with repeatable_kernels():
        yield FrozenCritic(info, network, device)

"""The small classifier that arms are trained with by default: quick on one CPU core, and good at small images.

Owns the architecture and its initial weights. Max-pooling keeps what a stride drops. Four halvings of narrow layers
take two fifths of the time of three halvings of layers half as wide again, with nearly as many weights.

B = images, C = channels, H, W = rows, columns, K = classes.
"""

import itertools
import math
from collections.abc import Sequence

import torch
from torch import Tensor, nn

from augment.seeds import normals, stream_id
from augment.types import ImageShape

__all__ = ["SmallNetwork"]

_WIDTH = 16  # channels of the stem; the stages after it go up to 8 times as many
_STAGES = ((_WIDTH, 2 * _WIDTH), (2 * _WIDTH, 4 * _WIDTH, 4 * _WIDTH), (4 * _WIDTH, 8 * _WIDTH))
_LAST_RESOLUTION = 2  # larger images than 32 × 32 have as many more stems as they need to come there


class SmallNetwork(nn.Module):
    """Stems of one 3×3 convolution, stages of one, two and one, each halved by max-pooling down to 2 × 2; batch norm,
    ReLU, global mean, one linear layer. 136,000 weights for 32 × 32 gray images and ten classes.
    """

    def __init__(self, image: ImageShape, classes: int, *, seed: int) -> None:
        super().__init__()
        stems = max(1, math.ceil(math.log2(image.size / _LAST_RESOLUTION)) - len(_STAGES))
        stages = [(image.channels, _WIDTH), *[(_WIDTH, _WIDTH)] * (stems - 1), *_STAGES]
        layers: list[nn.Module] = []
        resolution = image.size
        with torch.random.fork_rng(devices=[]):  # for torch's own initial weights, which are replaced
            for channels in stages:
                layers += _convolutions(channels)
                # One pixel would leave batch norm without statistics where one row of a batch is real.
                if resolution > _LAST_RESOLUTION:
                    layers.append(nn.MaxPool2d(2, ceil_mode=True))
                    resolution = math.ceil(resolution / 2)
            self.body = nn.Sequential(*layers)
            self.head = nn.Linear(8 * _WIDTH, classes)
        self._initialise(seed)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits [B, K] of images in [-1, 1]."""
        logits_BK: Tensor = self.head(self.body(x_BCHW).mean((2, 3)))
        return logits_BK

    @torch.no_grad()
    def _initialise(self, seed: int) -> None:
        """He et al. 2015, eq. 10: variance 2 / fan-in before a ReLU."""
        for name, weight in self.named_parameters():
            if weight.ndim > 1:
                values = normals(seed, stream_id("lift.weights", name), 0, 1, weight.numel())
                fan_in = math.prod(weight.shape[1:])
                weight.copy_(torch.from_numpy(values).reshape(weight.shape) * math.sqrt(2 / fan_in))
        self.head.bias.zero_()


def _convolutions(channels: Sequence[int]) -> list[nn.Module]:
    """From each number of channels to the next."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(channels):
        layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
        layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return layers

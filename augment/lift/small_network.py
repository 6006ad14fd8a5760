"""The small classifier that arms are trained with by default: quick on one CPU core, and good at small images.

Owns the architecture and its initial weights. Max-pooling keeps what a stride drops: with the same steps it is a
point better on long-tailed Fashion-MNIST than the network of `augment.quality`, which is built to be looked
through.

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

_WIDTH = 24  # channels of the stem; the two stages after it have twice and four times as many
_LAST_RESOLUTION = 4  # of 32 × 32; larger images have as many more stems as they need to come there


class SmallNetwork(nn.Module):
    """Stems of one 3×3 convolution, two stages of two, each halved by max-pooling; batch norm, ReLU, global mean,
    one linear layer. 157,000 weights for 32 × 32 gray images and ten classes.
    """

    def __init__(self, image: ImageShape, classes: int, *, seed: int) -> None:
        super().__init__()
        halvings = max(3, math.ceil(math.log2(image.size / _LAST_RESOLUTION)))
        stems = [image.channels] + [_WIDTH] * (halvings - 2)
        with torch.random.fork_rng(devices=[]):  # for torch's own initial weights, which are replaced
            layers = [layer for pair in itertools.pairwise(stems) for layer in _stage(pair)]
            layers += _stage((_WIDTH, 2 * _WIDTH, 2 * _WIDTH))
            layers += _stage((2 * _WIDTH, 4 * _WIDTH, 4 * _WIDTH))
            self.body = nn.Sequential(*layers)
            self.head = nn.Linear(4 * _WIDTH, classes)
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


def _stage(channels: Sequence[int]) -> list[nn.Module]:
    """Convolutions from each number of channels to the next, then half the resolution, rounded up."""
    layers: list[nn.Module] = []
    for inputs, outputs in itertools.pairwise(channels):
        layers.append(nn.Conv2d(inputs, outputs, 3, padding=1, bias=False))
        layers += [nn.BatchNorm2d(outputs), nn.ReLU(inplace=True)]
    return [*layers, nn.MaxPool2d(2, ceil_mode=True)]

"""The small convolutional network that looks at the user's images: features, and a logit a class.

Owns the architecture in its two sizes, its initial weights, and the form in which it computes once it is fitted.
Knows neither how it is fitted nor how it is stored.

B = images, C = channels, H, W = pixels, F = features, K = classes.
"""

import copy
import math
from collections import OrderedDict
from typing import Literal, cast

import torch
from torch import Tensor, nn
from torch.nn.utils.fusion import fuse_conv_bn_eval

from augment.seeds import normals, stream_id
from augment.types import ImageShape

__all__ = ["FEATURES", "JudgeNetwork", "NetworkSize", "build_network", "for_inference"]

NetworkSize = Literal["full", "light"]

FEATURES = 128
_LAST_RESOLUTION = 4  # halve until no more pixels than this are left a side
_DEEP_RESOLUTION = 16  # from here on a second convolution a stage pays for itself
_STEM_CHANNELS = 16  # of the stages above that resolution, where each channel is dear
_CHANNELS: dict[NetworkSize, tuple[int, ...]] = {  # of the last stages
    "full": (32, 64, FEATURES),
    "light": (16, 32, FEATURES),
}


class JudgeNetwork(nn.Module):
    """3×3 convolutions of stride 2 with batch normalisation, global average pooling, one linear layer.

    At 16 pixels and below each stage has a second convolution. For 32×32: 32, 32 channels at 16 px, 64, 64
    at 8, 128, 128 at 4; 290,000 weights. `light` has half the channels in all but the last stage, and takes half
    the time.
    """

    def __init__(self, image: ImageShape, classes: int, size: NetworkSize = "full") -> None:
        super().__init__()
        self.stages = nn.Sequential(*_stages(image, _CHANNELS[size]))
        self.head = nn.Linear(FEATURES, classes)

    def forward(self, x_BCHW: Tensor) -> tuple[Tensor, Tensor]:
        """Pooled features [B, F], ≥ 0, and logits [B, K], of images in [-1, 1]."""
        features_BF = self.stages(x_BCHW).mean((2, 3))
        return features_BF, self.head(features_BF)


def build_network(image: ImageShape, classes: int, *, seed: int, size: NetworkSize = "full") -> JudgeNetwork:
    """A network with the initial weights of `seed`; torch's own generator is neither used nor moved."""
    with torch.random.fork_rng(devices=[]):  # for torch's own initial weights, which are replaced
        network = JudgeNetwork(image, classes, size)
    with torch.no_grad():
        for name, weight in network.named_parameters():
            if weight.ndim > 1:
                weight.copy_(_he_normal(name, weight.shape, seed))
        network.head.bias.zero_()
    return network.to(memory_format=torch.channels_last)  # as oneDNN and cuDNN compute without copying


def for_inference(network: JudgeNetwork) -> JudgeNetwork:
    """A frozen copy of a fitted network, each normalisation folded into its convolution: the same, and faster."""
    frozen = copy.deepcopy(network).eval().requires_grad_(False)
    for stage in frozen.stages:
        convolution = cast("nn.Conv2d", stage.convolution)
        stage.convolution = fuse_conv_bn_eval(convolution, cast("nn.BatchNorm2d", stage.normalisation))
        stage.normalisation = nn.Identity()
    return frozen.to(memory_format=torch.channels_last)


def _stages(image: ImageShape, channels: tuple[int, ...]) -> list[nn.Module]:
    resolutions = [math.ceil(image.size / 2)]
    while resolutions[-1] > _LAST_RESOLUTION:
        resolutions.append(math.ceil(resolutions[-1] / 2))
    stems = len(resolutions) - len(channels)  # below 0 where the image is too small for all of them
    widths = [_STEM_CHANNELS] * stems + list(channels[max(-stems, 0) :])
    layers: list[nn.Module] = []
    inputs: int = image.channels
    for resolution, width in zip(resolutions, widths, strict=True):
        layers.append(_convolution(inputs, width, stride=2))
        if resolution <= _DEEP_RESOLUTION:
            layers.append(_convolution(width, width, stride=1))
        inputs = width
    return layers


def _convolution(inputs: int, outputs: int, *, stride: int) -> nn.Module:
    return nn.Sequential(
        OrderedDict(
            convolution=nn.Conv2d(inputs, outputs, 3, stride=stride, padding=1, bias=False),
            normalisation=nn.BatchNorm2d(outputs),
            activation=nn.ReLU(inplace=True),
        )
    )


def _he_normal(name: str, shape: torch.Size, seed: int) -> Tensor:
    """He et al. 2015, eq. 10: variance 2 / fan-in before a ReLU."""
    fan_in = math.prod(shape[1:])
    values = normals(seed, stream_id("classifier.weights", name), 0, 1, math.prod(shape))
    return torch.from_numpy(values).reshape(shape) * math.sqrt(2 / fan_in)

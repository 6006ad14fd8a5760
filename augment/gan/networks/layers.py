"""The layers that every backbone is made of, with their initial weights, and the pyramid of resolutions.

Owns: He's initialisation, the activation, and which channels stand at which resolution. Knows no
backbone, no class label and no loss. There is no normalisation layer anywhere: R3GAN (Huang et al.
2024) shows that good initial weights and gradient penalties do without.
"""

import math
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from augment.errors import ConfigError
from augment.gan.config import ModelConfig

__all__ = [
    "Activation",
    "ChannelsLast",
    "Flatten",
    "Pyramid",
    "Unflatten",
    "channels_last",
    "conv",
    "down_conv",
    "linear",
    "up_conv",
    "upsample",
]

_SLOPE = 0.2
_HE_GAIN = math.sqrt(2 / (1 + _SLOPE**2))  # keeps the variance through a leaky ReLU (He et al. 2015, eq. 15)


class Activation(nn.LeakyReLU):
    """Leaky ReLU with slope 0.2 (Radford et al. 2016)."""

    def __init__(self) -> None:
        super().__init__(_SLOPE)


class ChannelsLast(nn.Module):
    """The same features, channels-last: behind the convolution that looks at the image.

    Of gray images that convolution's result has plain strides (see `channels_last`), and where the two
    formats meet, an activation's backward pass takes ten times as long on a CPU. Elsewhere it does nothing.
    """

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The same values."""
        return x_BCHW.contiguous(memory_format=torch.channels_last)


class Flatten(nn.Module):
    """[B, C, H, W] → [B, H·W·C], the order in which channels-last memory already lies: nothing is copied."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """One row of features an image."""
        return x_BCHW.permute(0, 2, 3, 1).flatten(1)


class Unflatten(nn.Module):
    """[B, H·W·C] → [B, C, H, W], channels-last; nothing is copied."""

    def __init__(self, shape_HWC: tuple[int, int, int]) -> None:
        super().__init__()
        self._shape_HWC = shape_HWC

    def forward(self, x_BF: Tensor) -> Tensor:
        """One feature map an image."""
        return x_BF.reshape(-1, *self._shape_HWC).permute(0, 3, 1, 2)


def linear(inputs: int, outputs: int, *, gain: float = _HE_GAIN) -> nn.Linear:
    """A fully connected layer; `gain` is the standard deviation that unit inputs come out with."""
    layer = nn.Linear(inputs, outputs)
    _initialise(layer, fan_in=inputs, gain=gain)
    return layer


def conv(inputs: int, outputs: int, *, kernel: int = 3, gain: float = _HE_GAIN) -> nn.Conv2d:
    """A convolution that keeps the resolution."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2)
    _initialise(layer, fan_in=inputs * kernel**2, gain=gain)
    return layer


def down_conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A 4×4 convolution of stride 2: half the resolution."""
    layer = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
    _initialise(layer, fan_in=inputs * 16, gain=_HE_GAIN)
    return layer


def up_conv(inputs: int, outputs: int, *, gain: float = _HE_GAIN) -> nn.ConvTranspose2d:
    """A 4×4 transposed convolution of stride 2: twice the resolution (Radford et al. 2016)."""
    layer = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
    _initialise(layer, fan_in=inputs * 4, gain=gain)  # 2×2 of the 4×4 taps meet in each output pixel
    return layer


def channels_last(network: nn.Module) -> nn.Module:
    """Let the convolutions' weights lie channels-last, as oneDNN and cuDNN compute without copying.

    Not those of a discriminator's look at gray images: one channel is the same bytes either way, but a
    double backward pass gives it plain strides, and DDP warns where a gradient's are not its weight's.
    """
    for layer in network.modules():
        gray_input = isinstance(layer, nn.Conv2d) and layer.in_channels == 1
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and not gray_input:
            layer.to(memory_format=torch.channels_last)
    return network


def upsample(x_BCHW: Tensor) -> Tensor:
    """Twice the resolution, bilinear."""
    return F.interpolate(x_BCHW, scale_factor=2.0, mode="bilinear", align_corners=False)


@torch.no_grad()
def _initialise(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, *, fan_in: int, gain: float) -> None:
    layer.weight.normal_(0.0, gain / math.sqrt(fan_in))
    if layer.bias is not None:
        layer.bias.zero_()


@dataclass(frozen=True, slots=True)
class Pyramid:
    """The resolutions of a network: `base` pixels a side, doubled `doublings` times.

    `channels[k]` stands after k halvings of the image for k ≥ 1, and `channels[0]` at full resolution:
    half of `width`, for those backbones that compute there.
    """

    base: int
    doublings: int
    channels: tuple[int, ...]

    @classmethod
    def of(cls, model: ModelConfig, size: int) -> "Pyramid":
        """The pyramid of images of `size` pixels a side, with the largest base of at most 8 pixels.

        Raises ConfigError where `size` is not a base of 4–8 pixels doubled at least once.
        """
        for doublings in range(1, 6):
            base, rest = divmod(size, 1 << doublings)
            if not rest and 4 <= base <= 8:
                return cls(base, doublings, tuple(_channels(model, k) for k in range(doublings + 1)))
        raise ConfigError(
            f"image.size={size}: no network can be built; it must be 4–8 doubled, such as 28, 32 or 64"
        )

    @property
    def base_shape(self) -> tuple[int, int, int]:
        """Height, width and channels at the lowest resolution."""
        return self.base, self.base, self.channels[-1]

    @property
    def base_features(self) -> int:
        """Numbers in one image's lowest-resolution feature map."""
        return math.prod(self.base_shape)

    @property
    def upward(self) -> list[tuple[int, int]]:
        """(channels before, channels after) of each doubling, from the base to full resolution."""
        return [(self.channels[k], self.channels[k - 1]) for k in range(self.doublings, 0, -1)]

    @property
    def downward(self) -> list[tuple[int, int]]:
        """(channels before, channels after) of each halving, from full resolution to the base."""
        return [(after, before) for before, after in reversed(self.upward)]


def _channels(model: ModelConfig, halvings: int) -> int:
    return min(model.max_width, max(1, model.width << halvings >> 1))

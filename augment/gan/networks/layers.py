"""The layers that every backbone is made of, with their initial weights.

Owns: He's initialisation, the activation, resampling, and how features lie in memory. Knows no backbone, no
class label and no loss. Nothing here normalises: R3GAN (Huang et al. 2024) shows that good initial weights
and gradient penalties do without.

B = samples, C = channels, F and G = features in a row, in and out.
"""

import math
from typing import TypeVar

import torch
from torch import Tensor, nn
from torch.nn import functional as F

__all__ = [
    "HE_GAIN",
    "Activation",
    "ChannelsLast",
    "Flatten",
    "Linear",
    "Unflatten",
    "Upsample",
    "channels_last",
    "conv",
    "down_conv",
    "linear",
    "matrix_product",
    "up_conv",
    "upsample",
]

_SLOPE = 0.2
_ALIGNMENT = 16  # numbers in the widest vector register
HE_GAIN = math.sqrt(2 / (1 + _SLOPE**2))
"""Keeps the second moment through a leaky ReLU (He et al. 2015, eq. 15)."""

Network = TypeVar("Network", bound=nn.Module)


class Activation(nn.LeakyReLU):
    """Leaky ReLU with slope 0.2 (Radford et al. 2016)."""

    def __init__(self) -> None:
        super().__init__(_SLOPE)


class Linear(nn.Linear):
    """A fully connected layer that gives a sample the same bits wherever it stands in the batch."""

    def forward(self, x_BF: Tensor) -> Tensor:
        """x·Wᵀ + b."""
        return matrix_product(x_BF, self.weight, self.bias)


def matrix_product(x_BF: Tensor, weight_GF: Tensor, bias_G: Tensor | None = None) -> Tensor:
    """x·Wᵀ + b, [B, G], each row with the same bits wherever it stands.

    Where rows begin off the vector registers' alignment, MKL sums each of them in an order of its own (seen
    for F not a multiple of 4 and G below 12). Zeros at the rows' ends bring every row to it.
    """
    excess = -x_BF.shape[1] % _ALIGNMENT
    if excess:
        x_BF, weight_GF = F.pad(x_BF, (0, excess)), F.pad(weight_GF, (0, excess))
    return F.linear(x_BF, weight_GF, bias_G)


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


class Upsample(nn.Module):
    """Twice the resolution, bilinear."""

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, C, H, W] → [B, C, 2H, 2W]."""
        return upsample(x_BCHW)


def upsample(x_BCHW: Tensor) -> Tensor:
    """Twice the resolution, bilinear."""
    return F.interpolate(x_BCHW, scale_factor=2.0, mode="bilinear", align_corners=False)


def linear(inputs: int, outputs: int, *, gain: float = HE_GAIN) -> Linear:
    """A fully connected layer; `gain` is the standard deviation that unit inputs come out with."""
    layer = Linear(inputs, outputs)
    _initialise(layer, fan_in=inputs, gain=gain)
    return layer


def conv(
    inputs: int, outputs: int, *, kernel: int = 3, groups: int = 1, bias: bool = True, gain: float = HE_GAIN
) -> nn.Conv2d:
    """A convolution that keeps the resolution."""
    layer = nn.Conv2d(inputs, outputs, kernel, padding=kernel // 2, groups=groups, bias=bias)
    _initialise(layer, fan_in=inputs // groups * kernel**2, gain=gain)
    return layer


def down_conv(inputs: int, outputs: int) -> nn.Conv2d:
    """A 4×4 convolution of stride 2: half the resolution."""
    layer = nn.Conv2d(inputs, outputs, 4, stride=2, padding=1)
    _initialise(layer, fan_in=inputs * 16, gain=HE_GAIN)
    return layer


def up_conv(inputs: int, outputs: int, *, gain: float = HE_GAIN) -> nn.ConvTranspose2d:
    """A 4×4 transposed convolution of stride 2: twice the resolution (Radford et al. 2016)."""
    layer = nn.ConvTranspose2d(inputs, outputs, 4, stride=2, padding=1)
    _initialise(layer, fan_in=inputs * 4, gain=gain)  # 2×2 of the 4×4 taps meet in each output pixel
    return layer


def channels_last(network: Network) -> Network:
    """Let the convolutions' weights lie channels-last, as oneDNN and cuDNN compute without copying.

    Not those of a discriminator's look at gray images: one channel is the same bytes either way, but a
    double backward pass gives it plain strides, and DDP warns where a gradient's are not its weight's.
    """
    for layer in network.modules():
        gray_input = isinstance(layer, nn.Conv2d) and layer.in_channels == 1
        if isinstance(layer, nn.Conv2d | nn.ConvTranspose2d) and not gray_input:
            layer.to(memory_format=torch.channels_last)
    return network


@torch.no_grad()
def _initialise(layer: nn.Linear | nn.Conv2d | nn.ConvTranspose2d, *, fan_in: int, gain: float) -> None:
    layer.weight.normal_(0.0, gain / math.sqrt(fan_in))
    if layer.bias is not None:
        layer.bias.zero_()

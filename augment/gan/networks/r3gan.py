"""The R3GAN backbone (Huang et al. 2024): residual bottlenecks without normalisation, bilinear resampling.

Owns the two bodies of `model.backbone: r3gan`, each the other's mirror: two blocks at every resolution,
between a learned basis that the latent weighs and one that the last features are weighed by. Residual ends
start at zero and the layers before them small, as Fixup has it (Zhang et al. 2019).

The paper's 3×3 convolutions are grouped, over twice the channels. Grouped ones are slow in the double
backward pass of R1 and R2 on a CPU; without `model.group_width` they are plain, over as many channels.

B = samples, W = mapped latent w, C = channels.
"""

import torch
from torch import Tensor, nn

from augment.errors import ConfigError
from augment.gan.networks.layers import HE_GAIN, Activation, ChannelsLast, Upsample, conv, linear
from augment.gan.networks.shells import Blueprint, LastToPicture, Synthesis, Trunk
from augment.gan.networks.styled import Chain, Residual

__all__ = ["synthesis", "trunk"]


class FromBasis(nn.Module):
    """w_BW → features [B, C, H, W]: a learned image of every channel, each as strong as w says."""

    def __init__(self, width: int, shape_HWC: tuple[int, int, int]) -> None:
        super().__init__()
        self.basis_HWC = nn.Parameter(torch.randn(shape_HWC))
        self.strength = linear(width, shape_HWC[-1], gain=1.0)

    def forward(self, w_BW: Tensor) -> Tensor:
        """Channels-last."""
        strength_BC: Tensor = self.strength(w_BW)
        return (strength_BC[:, None, None, :] * self.basis_HWC).permute(0, 3, 1, 2)


class ToBasis(nn.Module):
    """Features [B, C, H, W] → [B, C]: each channel's inner product with a learned image.

    The paper's depthwise convolution as large as its input, in float32.
    """

    def __init__(self, shape_HWC: tuple[int, int, int]) -> None:
        super().__init__()
        self.basis_HWC = nn.Parameter(torch.randn(shape_HWC) / shape_HWC[0])

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Of unit variance where x is."""
        return (x_BCHW.permute(0, 2, 3, 1) * self.basis_HWC).sum((1, 2))


def synthesis(blueprint: Blueprint) -> Synthesis:
    """The basis, then two bottlenecks at every resolution."""
    pyramid = blueprint.pyramid
    base = Chain(FromBasis(blueprint.w_width, pyramid.base_shape), *_blocks(blueprint, pyramid.channels[-1]))
    stages = [
        Chain(
            *blueprint.entry(level, before),
            *_mix(before, after),
            Upsample(),
            *_blocks(blueprint, after),
        )
        for level, (before, after) in enumerate(pyramid.upward, start=1)
    ]
    picture = LastToPicture(conv(pyramid.channels[0], blueprint.image.channels, kernel=1, gain=1.0))
    return Synthesis(base, stages, picture)


def trunk(blueprint: Blueprint) -> Trunk:
    """The mirror; halving is a 2×2 mean, which is what bilinear halving comes to."""
    pyramid = blueprint.pyramid
    features = 2 * pyramid.channels[-1]
    look = conv(blueprint.image.channels, pyramid.channels[0], kernel=1, gain=1.0)
    stages = [
        nn.Sequential(*_blocks(blueprint, before), nn.AvgPool2d(2), *_mix(before, after))
        for before, after in pyramid.downward
    ]
    end = nn.Sequential(
        *_blocks(blueprint, pyramid.channels[-1]),
        ToBasis(pyramid.base_shape),
        linear(pyramid.channels[-1], features, gain=1.0),
    )
    return Trunk(nn.Sequential(look, ChannelsLast()), stages, end, features)


def _blocks(blueprint: Blueprint, channels: int) -> list[Residual]:
    """Two bottlenecks: 1×1, 3×3 and 1×1 convolutions each."""
    group_width = blueprint.model.group_width
    inner = channels if group_width is None else 2 * channels
    groups = 1 if group_width is None else _groups(inner, group_width)
    # Fixup: L^(-1 / (2m - 2)), with L blocks of m = 3 layers, the last of which starts at zero
    gain = HE_GAIN * (2 * (blueprint.pyramid.doublings + 1)) ** -0.25
    return [
        Residual(
            conv(channels, inner, kernel=1, gain=gain),
            Activation(),
            conv(inner, inner, groups=groups, gain=gain),
            Activation(),
            conv(inner, channels, kernel=1, gain=0.0),
        )
        for _ in range(2)
    ]


def _groups(channels: int, group_width: int) -> int:
    groups, rest = divmod(channels, group_width)
    if rest:
        raise ConfigError(
            f"model.group_width={group_width} does not divide the {channels} channels of a 3×3 convolution; "
            f"with model.width and model.max_width multiples of it, it divides all of them"
        )
    return groups


def _mix(before: int, after: int) -> list[nn.Module]:
    return [conv(before, after, kernel=1, gain=1.0)] if before != after else []

"""The ResNet backbone (Miyato et al. 2018): residual blocks of two 3×3 convolutions, bilinear resampling.

Owns the two bodies of `model.backbone: resnet`, each the other's mirror. Residual ends start at zero.
"""

from torch import nn

from augment.gan.networks.layers import (
    Activation,
    ChannelsLast,
    Flatten,
    Unflatten,
    Upsample,
    conv,
    linear,
)
from augment.gan.networks.shells import Blueprint, LastToPicture, Synthesis, Trunk
from augment.gan.networks.styled import Chain, Residual

__all__ = ["synthesis", "trunk"]


def synthesis(blueprint: Blueprint) -> Synthesis:
    """A linear layer to base² × C, then a residual block at every resolution."""
    pyramid, norm = blueprint.pyramid, blueprint.norm
    base = Chain(
        linear(blueprint.w_width, pyramid.base_features, gain=1.0),
        Unflatten(pyramid.base_shape),
        _block(pyramid.channels[-1], *norm(0, pyramid.channels[-1])),
    )
    stages = [
        Chain(
            *blueprint.entry(level, before),
            conv(before, after, kernel=1, gain=1.0),  # mixing first costs a quarter and commutes
            Upsample(),
            _block(after, *norm(level, after)),
        )
        for level, (before, after) in enumerate(pyramid.upward, start=1)
    ]
    last = pyramid.channels[0]
    picture = LastToPicture(
        *norm(pyramid.doublings, last), Activation(), conv(last, blueprint.image.channels, gain=1.0)
    )
    return Synthesis(base, stages, picture)


def trunk(blueprint: Blueprint) -> Trunk:
    """The mirror; halving is a 2×2 mean, which is what bilinear halving comes to."""
    pyramid = blueprint.pyramid
    features = 2 * pyramid.channels[-1]
    entry = nn.Sequential(conv(blueprint.image.channels, pyramid.channels[0], gain=1.0), ChannelsLast())
    stages = [
        nn.Sequential(_block(before), nn.AvgPool2d(2), conv(before, after, kernel=1, gain=1.0))
        for before, after in pyramid.downward
    ]
    end = nn.Sequential(
        _block(pyramid.channels[-1]),
        Activation(),
        Flatten(),
        linear(pyramid.base_features, features),
        Activation(),
    )
    return Trunk(entry, stages, end, features)


def _block(channels: int, *norm: nn.Module) -> Residual:
    """Two 3×3 convolutions; `norm` stands behind the first, for behind the second it would undo the zero."""
    return Residual(conv(channels, channels), *norm, Activation(), conv(channels, channels, gain=0.0))

"""The DCGAN backbone (Radford et al. 2016): transposed convolutions up, strided convolutions down.

Owns the two bodies of `model.backbone: dcgan`, each the other's mirror. Batch normalisation is left out: a
sample must not depend on its neighbours in the batch. Nothing is computed at full resolution but the picture.

The generator ends in tanh, as every backbone's does: R3GAN does without it, but the plain black or white
background of object pictures lies on the edge of the range, which tanh reaches by saturating, where a linear
end leaves a haze (measured on Fashion-MNIST: half the Fréchet distance after 1,250 steps).
"""

from torch import nn

from augment.gan.networks.layers import (
    Activation,
    ChannelsLast,
    Flatten,
    Unflatten,
    conv,
    down_conv,
    linear,
    up_conv,
)
from augment.gan.networks.shells import Blueprint, LastToPicture, Synthesis, Trunk
from augment.gan.networks.styled import Chain

__all__ = ["synthesis", "trunk"]


def synthesis(blueprint: Blueprint) -> Synthesis:
    """A linear layer to base² × C, then [3×3 convolution, 4×4 transposed] a doubling."""
    pyramid, norm = blueprint.pyramid, blueprint.norm
    *doublings, (last, _) = pyramid.upward
    base = Chain(
        linear(blueprint.w_width, pyramid.base_features),
        Unflatten(pyramid.base_shape),
        *norm(0, pyramid.channels[-1]),
        Activation(),
    )
    stages = [
        Chain(
            *blueprint.entry(level, before),
            conv(before, before),
            *norm(level, before),
            Activation(),
            up_conv(before, after),
            *norm(level, after),
            Activation(),
        )
        for level, (before, after) in enumerate(doublings, start=1)
    ]
    picture = LastToPicture(
        *blueprint.entry(pyramid.doublings, last),
        conv(last, last),
        *norm(pyramid.doublings, last),
        Activation(),
        up_conv(last, blueprint.image.channels, gain=1.0),
    )
    return Synthesis(base, stages, picture)


def trunk(blueprint: Blueprint) -> Trunk:
    """[4×4 convolution of stride 2, 3×3] a halving, then a linear layer."""
    pyramid = blueprint.pyramid
    first, features = pyramid.channels[1], 2 * pyramid.channels[-1]
    entry = nn.Sequential(
        down_conv(blueprint.image.channels, first),
        ChannelsLast(),
        Activation(),
        conv(first, first),
        Activation(),
    )
    stages = [
        nn.Sequential(down_conv(before, after), Activation(), conv(after, after), Activation())
        for before, after in pyramid.downward[1:]
    ]
    end = nn.Sequential(Flatten(), linear(pyramid.base_features, features), Activation())
    return Trunk(entry, stages, end, features)

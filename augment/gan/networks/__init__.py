"""Backbones by name: to add one, write a file beside this one and one entry in `BACKBONES`.

A generator maps (z_BD, class_B, embedding_noise_BE or None) to float32 images x_BCHW in [-1, 1];
a discriminator maps (x_BCHW, class_B) to float32 logits_B. Every backbone can be built for every size of
`augment.data.config.IMAGE_SIZES`, for 1 or 3 channels, with or without classes.
"""

from collections.abc import Callable, Mapping
from dataclasses import dataclass

import torch
from torch import nn

from augment.gan.config import ModelConfig
from augment.gan.networks.dcgan import DCGANDiscriminator, DCGANGenerator
from augment.gan.networks.resnet import ResNetDiscriminator, ResNetGenerator
from augment.seeds import digest64
from augment.types import ImageShape

__all__ = ["BACKBONES", "Backbone", "build_discriminator", "build_generator"]

Builder = Callable[[ModelConfig, ImageShape, int], nn.Module]


@dataclass(frozen=True, slots=True)
class Backbone:
    """The two builders of a backbone: (model, image, number of classes) → module."""

    generator: Builder
    discriminator: Builder


BACKBONES: Mapping[str, Backbone] = {
    "dcgan": Backbone(DCGANGenerator, DCGANDiscriminator),
    "resnet": Backbone(ResNetGenerator, ResNetDiscriminator),
}


def build_generator(model: ModelConfig, image: ImageShape, classes: int, *, seed: int) -> nn.Module:
    """The generator with its initial weights, which `seed` alone decides."""
    return _seeded(BACKBONES[model.backbone].generator, "generator", model, image, classes, seed)


def build_discriminator(model: ModelConfig, image: ImageShape, classes: int, *, seed: int) -> nn.Module:
    """The discriminator with its initial weights, which `seed` alone decides."""
    return _seeded(BACKBONES[model.backbone].discriminator, "discriminator", model, image, classes, seed)


def _seeded(
    build: Builder, player: str, model: ModelConfig, image: ImageShape, classes: int, seed: int
) -> nn.Module:
    """Initial weights are the one draw that comes from torch's generator; the caller's is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(digest64("train.initial-weights", player, seed) >> 1)
        return build(model, image, classes)

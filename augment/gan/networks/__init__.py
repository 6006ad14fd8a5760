"""Backbones by name: to add one, write a file beside this one and one entry in `BACKBONES`.

A generator maps (z_BD, condition) to a `GeneratorOutput`, a discriminator (x_BCHW, condition, small pictures
or None) to a `Judgement`: see `interface`. Every backbone can be built for every size of
`augment.data.config.IMAGE_SIZES`, for 1 or 3 channels, with or without classes.
"""

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass

import torch

from augment.gan.config import ModelConfig
from augment.gan.networks import dcgan, r3gan, resnet, style
from augment.gan.networks.conditioning import LatentInput, class_parameters
from augment.gan.networks.interface import Condition, GeneratorOutput, Judgement
from augment.gan.networks.shells import Blueprint, Discriminator, Generator, Synthesis, Trunk
from augment.seeds import digest64
from augment.types import ImageShape

__all__ = [
    "BACKBONES",
    "Backbone",
    "Condition",
    "Discriminator",
    "Generator",
    "GeneratorOutput",
    "Judgement",
    "build_discriminator",
    "build_generator",
    "class_parameters",
]


@dataclass(frozen=True, slots=True)
class Backbone:
    """The bodies of the two networks."""

    synthesis: Callable[[Blueprint], Synthesis]
    trunk: Callable[[Blueprint], Trunk]


BACKBONES: Mapping[str, Backbone] = {
    "dcgan": Backbone(dcgan.synthesis, dcgan.trunk),
    "resnet": Backbone(resnet.synthesis, resnet.trunk),
    "r3gan": Backbone(r3gan.synthesis, r3gan.trunk),
    "style": Backbone(style.synthesis, resnet.trunk),
}


def build_generator(model: ModelConfig, image: ImageShape, classes: int, *, seed: int) -> Generator:
    """The generator with its initial weights, which `seed` alone decides.

    Raises ConfigError where `image.size`, `model.low_resolution` or `model.group_width` does not fit.
    """
    blueprint = Blueprint.of(model, image, classes)
    with _initial_weights("generator", seed):
        latent_input = LatentInput(model, classes)
        return Generator(latent_input, BACKBONES[model.backbone].synthesis(blueprint), blueprint)


def build_discriminator(model: ModelConfig, image: ImageShape, classes: int, *, seed: int) -> Discriminator:
    """The discriminator with its initial weights, which `seed` alone decides.

    Raises ConfigError where `image.size`, `model.low_resolution` or `model.group_width` does not fit.
    """
    blueprint = Blueprint.of(model, image, classes)
    with _initial_weights("discriminator", seed):
        return Discriminator(BACKBONES[model.backbone].trunk(blueprint), blueprint)


@contextmanager
def _initial_weights(player: str, seed: int) -> Iterator[None]:
    """Initial weights are the one draw that comes from torch's generator; the caller's is left alone."""
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(digest64("train.initial-weights", player, seed) >> 1)
        yield

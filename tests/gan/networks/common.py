"""Tiny networks of every kind that this folder's tests share."""

import torch
from torch.nn import functional as F

from augment.gan.config import ModelConfig
from augment.gan.networks import Condition, build_discriminator, build_generator
from augment.gan.networks.layers import channels_last
from augment.gan.networks.styled import Style
from augment.types import ImageShape

CLASSES, D, E = 3, 6, 3

VARIANTS = {
    **{name: {"backbone": name} for name in ("dcgan", "resnet", "r3gan", "style")},
    **{
        f"{name}, low resolution": {"backbone": name, "low_resolution": 8}
        for name in ("dcgan", "resnet", "r3gan", "style")
    },
    **{
        f"{name}, normalisation": {"backbone": name, "generator_conditioning": "normalisation"}
        for name in ("dcgan", "resnet")
    },
    "dcgan, normalisation, low resolution": {
        "backbone": "dcgan",
        "generator_conditioning": "normalisation",
        "low_resolution": 8,
    },
    "dcgan, mapping": {"backbone": "dcgan", "mapping_layers": 2},
    "r3gan, groups": {"backbone": "r3gan", "group_width": 2},
    "dcgan, concatenation": {"backbone": "dcgan", "discriminator_conditioning": "concatenation"},
    "resnet, auxiliary": {"backbone": "resnet", "discriminator_conditioning": "auxiliary"},
    "dcgan, projection and auxiliary": {"discriminator_conditioning": "projection+auxiliary"},
}
"""Model settings that together reach every layer there is."""


def build(settings, size=16, channels=1, seed=1):
    """(generator, discriminator) of a few channels."""
    sizes = {"width": 4, "max_width": 16, "latent_dim": D, "embedding_dim": E}
    model, image = ModelConfig(**sizes, **settings), ImageShape(size=size, channels=channels)
    return tuple(
        channels_last(make(model, image, CLASSES, seed=seed))
        for make in (build_generator, build_discriminator)
    )


def latents(count=5):
    """Latents and classes, the same each time."""
    z = torch.randn(count, D, generator=torch.Generator().manual_seed(0))
    return z, torch.arange(count) % CLASSES


def noise(*shape, seed=0):
    """Standard normal numbers, the same each time."""
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def style_of(w, class_index=None, strength=1.0):
    """What a layer is told of samples with these w."""
    class_index = torch.zeros(len(w), dtype=torch.long) if class_index is None else class_index
    return Style(w, Condition(class_index, strength=strength))


def wake(network):
    """Give every parameter that starts at zero some value, as training does."""
    generator = torch.Generator().manual_seed(3)
    with torch.no_grad():
        for parameter in network.parameters():
            if not parameter.any():
                parameter.copy_(0.3 * torch.randn(parameter.shape, generator=generator))
    return network


def loss_of(judgement):
    """A scalar to which everything that was judged contributes."""
    return sum(
        F.softplus(part).mean()
        for part in (judgement.logits_B, judgement.class_logits_BK, judgement.low_logits_B)
        if part is not None
    )

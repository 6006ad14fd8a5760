"""The one mutable thing: what a training run has come to.

Owns the networks, their average and the optimisers, and how they lie in memory. Knows neither how they
are updated nor how they are stored.
"""

from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import nn

from augment.gan.networks import build_discriminator, build_generator
from augment.gan.networks.layers import channels_last
from augment.gan.spec import TrainingSpec

__all__ = ["TrainState", "new_state", "resolve_precision"]


@dataclass(slots=True)
class TrainState:
    """`step` updates of each player are done. `ema` is the generator to use."""

    spec: TrainingSpec
    step: int
    generator: nn.Module
    discriminator: nn.Module
    ema: nn.Module
    generator_adam: torch.optim.Adam
    discriminator_adam: torch.optim.Adam

    @property
    def images_seen(self) -> int:
        """Real images shown to the discriminator so far."""
        return self.step * self.spec.train.batch_size


def new_state(spec: TrainingSpec, device: torch.device) -> TrainState:
    """The state before the first step: initial weights from the spec's seed, on `device`.

    Weights lie channels-last, and Adam's moments, which are made from them, lie alike.
    """
    classes = len(spec.classes)
    networks = (
        build_generator(spec.model, spec.image, classes, seed=spec.seed),
        build_discriminator(spec.model, spec.image, classes, seed=spec.seed),
    )
    generator, discriminator = (channels_last(network).to(device) for network in networks)
    return TrainState(
        spec=spec,
        step=0,
        generator=generator,
        discriminator=discriminator,
        ema=deepcopy(generator).eval().requires_grad_(False),
        generator_adam=_adam(generator, spec),
        discriminator_adam=_adam(discriminator, spec),
    )


def resolve_precision(
    precision: Literal["auto", "fp32", "bf16"], device: torch.device
) -> Literal["fp32", "bf16"]:
    """What `auto` means on `device`: bf16 where its arithmetic is native (emulated, it is slower)."""
    if precision != "auto":
        return precision
    if device.type == "cuda":
        native = torch.cuda.get_device_capability(device) >= (8, 0)
    else:
        native = device.type == "cpu" and _cpu_has_bf16()
    return "bf16" if native else "fp32"


def _cpu_has_bf16() -> bool:
    return torch.cpu._is_avx512_bf16_supported() or torch.cpu._is_amx_tile_supported()


def _adam(network: nn.Module, spec: TrainingSpec) -> torch.optim.Adam:
    """Adam (Kingma & Ba 2015) with β1 = 0 (R3GAN), as one fused kernel."""
    return torch.optim.Adam(
        network.parameters(), lr=spec.train.learning_rate, betas=(0.0, spec.train.beta2), fused=True
    )

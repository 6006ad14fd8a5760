"""The one mutable thing: what a training run has come to.

Owns the networks, their average, the optimisers and what adapts on the way, and how they lie in memory.
Knows neither how they are updated nor how they are stored.
"""

from collections.abc import Mapping
from copy import deepcopy
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn

from augment.gan.loss_scale import new_loss_scale
from augment.gan.networks import Discriminator, Generator, build_discriminator, build_generator
from augment.gan.networks.layers import channels_last
from augment.gan.networks.pyramid import Pyramid
from augment.gan.spec import TrainingSpec
from augment.gan.supervision import Trend, Watch

__all__ = ["HALF", "Precision", "TrainState", "new_state", "resolve_precision"]


Precision = Literal["fp32", "bf16", "fp16"]

HALF: Mapping[Precision, torch.dtype | None] = {"fp32": None, "bf16": torch.bfloat16, "fp16": torch.float16}
"""What the networks' convolutions compute in under autocast."""


@dataclass(slots=True)
class TrainState:
    """`step` updates of each player are done. `ema` is the generator to use.

    The small tensors adapt to what the discriminator does: ADA's probability, LeCam's anchors, fp16's loss
    scales, and `trend_3`, running averages of its overfitting sign and its logits. They stay on the device, so
    that no step waits for them.
    """

    spec: TrainingSpec
    step: int
    watch: Watch
    generator: Generator
    discriminator: Discriminator
    ema: Generator
    generator_adam: torch.optim.Adam
    discriminator_adam: torch.optim.Adam
    augment_probability: Tensor
    lecam_real: Tensor
    lecam_fake: Tensor
    generator_loss_scale: Tensor
    discriminator_loss_scale: Tensor
    trend_3: Tensor

    @property
    def trend(self) -> Trend:
        """`trend_3` by name; waits for the device."""
        sign, real, fake = self.trend_3.tolist()
        return Trend(overfitting_sign=sign, real_logit=real, fake_logit=fake)

    @property
    def images_seen(self) -> int:
        """Real images shown to the discriminator so far."""
        return self.step * self.spec.train.batch_size

    @property
    def total_steps(self) -> int:
        """Steps of the whole run, as far as is known."""
        return self.watch.planned_steps or self.spec.train.budget_steps

    @property
    def low_side(self) -> int | None:
        """Pixels a side of UTLO's low-resolution pictures; None where it is off."""
        if self.spec.model.low_resolution is None:
            return None
        pyramid = Pyramid.of(self.spec.model, self.spec.image.size)
        return pyramid.base << pyramid.level_of(self.spec.model.low_resolution)


def new_state(spec: TrainingSpec, device: torch.device) -> TrainState:
    """The state before the first step: initial weights from the spec's seed, on `device`.

    Weights lie channels-last, and Adam's moments, which are made from them, lie alike.
    """
    classes = len(spec.classes)
    generator = build_generator(spec.model, spec.image, classes, seed=spec.seed)
    discriminator = build_discriminator(spec.model, spec.image, classes, seed=spec.seed)
    channels_last(generator).to(device)
    channels_last(discriminator).to(device)
    return TrainState(
        spec=spec,
        step=0,
        watch=Watch(),
        generator=generator,
        discriminator=discriminator,
        ema=deepcopy(generator).eval().requires_grad_(False),
        generator_adam=_adam(generator, spec),
        discriminator_adam=_adam(discriminator, spec),
        augment_probability=torch.zeros((), device=device),
        lecam_real=torch.zeros((), device=device),
        lecam_fake=torch.zeros((), device=device),
        generator_loss_scale=new_loss_scale(device),
        discriminator_loss_scale=new_loss_scale(device),
        trend_3=torch.zeros(3, device=device),
    )


def resolve_precision(precision: Literal["auto", "fp32", "bf16", "fp16"], device: torch.device) -> Precision:
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

"""Suite `gan`: training images a second on the demo's data and config, ours beside a tutorial's loop.

Both loops make the same model (`baselines/tutorial_gan.py` says in what they differ); reading the data and
the first steps are not timed.
"""

from __future__ import annotations

import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Literal

from tests.benchmarks.measure import Case, Comparison, Outcome

if TYPE_CHECKING:
    from augment.gan.training import RealImages, TrainingSpec

__all__ = ["REPEATS", "comparisons"]

REPEATS = 5
TUTORIAL = "tutorial loop"

BackboneName = Literal["dcgan", "resnet"]
Precision = Literal["auto", "fp32"]


@dataclass(frozen=True, slots=True)
class Scale:
    """Steps run first, and steps timed: a multiple of the demo's `penalty_every`, 8."""

    warm_up: int
    timed: int


def comparisons(small: bool, stack: ExitStack) -> list[Comparison]:
    """One for each backbone."""
    scale = Scale(warm_up=2, timed=8) if small else Scale(warm_up=8, timed=40)
    backbones: tuple[BackboneName, ...] = ("dcgan", "resnet")
    return [
        Comparison(
            name=f"train {backbone}, 28×28, batch 64",
            unit="images",
            cases=[
                Case(TUTORIAL, partial(tutorial, backbone, scale)),
                Case("ours, precision auto", partial(ours, backbone, "auto", scale)),
                Case("ours, precision fp32", partial(ours, backbone, "fp32", scale)),
            ],
            baselines=[TUTORIAL],
        )
        for backbone in backbones
    ]


def ours(backbone: BackboneName, precision: Precision, scale: Scale) -> Outcome:
    """augment.gan's loop, from its report after the warm-up to its last report."""
    from augment.gan.training import Report, train

    spec, images = demo_training(backbone, precision, scale)
    times: dict[int, float] = {}

    def on_report(report: Report) -> None:
        times[report.step] = time.perf_counter()

    train(spec, images, on_report=on_report)
    return _outcome(spec, scale, times)


def tutorial(backbone: BackboneName, scale: Scale) -> Outcome:
    """The baseline, from the end of the warm-up to the end."""
    import torch

    from augment.gan.diffaugment import UNIFORMS_PER_IMAGE, diffaugment
    from augment.gan.networks import build_discriminator, build_generator
    from tests.benchmarks.baselines.tutorial_gan import train

    spec, images = demo_training(backbone, "fp32", scale)
    settings = spec.train
    times: dict[int, float] = {}

    def on_step(step: int, loss_d: float, loss_g: float) -> None:
        times[step] = time.perf_counter()

    def augment(images_BCHW: torch.Tensor) -> torch.Tensor:
        return diffaugment(
            images_BCHW,
            torch.rand(len(images_BCHW), UNIFORMS_PER_IMAGE),
            operations=settings.diffaugment,
            probability=settings.diffaugment_probability,
        )

    train(
        build_generator(spec.model, spec.image, len(spec.classes), seed=spec.seed),
        build_discriminator(spec.model, spec.image, len(spec.classes), seed=spec.seed),
        torch.from_numpy(images.pixels_NHWC),
        torch.from_numpy(images.class_index_N),
        augment,
        latent_dim=spec.model.latent_dim,
        steps=settings.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        beta2=settings.beta2,
        gamma=settings.gamma,
        penalty_every=settings.penalty_every,
        on_step=on_step,
    )
    return _outcome(spec, scale, times)


def demo_training(
    backbone: BackboneName, precision: Precision, scale: Scale
) -> tuple[TrainingSpec, RealImages]:
    """The demo's spec for this many steps, and its images, decoded."""
    import numpy as np

    from augment.data.images import decode_image
    from augment.data.sources import open_source
    from augment.gan.training import RealImages, TrainingSpec
    from tests.benchmarks.demo import demo_config

    config = demo_config()
    source = open_source(config.source)
    listing = source.listing()
    items = [item for chunk in source.chunks() for item in source.read(chunk)]
    images = RealImages(
        pixels_NHWC=np.stack([decode_image(item.data, config.image) for item in items]),
        class_index_N=listing.labels_B[[item.item_index for item in items]].astype(np.int64),
    )
    spec = TrainingSpec(
        model=config.model.model_copy(update={"backbone": backbone}),
        train=config.train.model_copy(
            update={
                "steps": scale.warm_up + scale.timed,
                "log_every": scale.warm_up,
                "precision": precision,
            }
        ),
        image=config.image.shape,
        classes=listing.classes,
        counts=tuple(np.bincount(images.class_index_N, minlength=len(listing.classes)).tolist()),
        seed=config.seed,
        data_sha256="0" * 64,
    )
    return spec, images


def _outcome(spec: TrainingSpec, scale: Scale, times: dict[int, float]) -> Outcome:
    return Outcome(
        amount=scale.timed * spec.train.batch_size,
        seconds=times[scale.warm_up + scale.timed] - times[scale.warm_up],
    )

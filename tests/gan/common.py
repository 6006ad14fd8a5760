"""A tiny GAN and tiny images that this room's tests share."""

from typing import Any

import numpy as np

from augment.gan.config import ModelConfig, TrainConfig
from augment.gan.training import RealImages, TrainingSpec
from augment.types import ClassInfo, ImageShape


def tiny_spec(
    *,
    size: int = 16,
    channels: int = 1,
    counts: tuple[int, ...] = (12, 5, 3),
    model: dict[str, Any] | None = None,
    **train: Any,
) -> TrainingSpec:
    """Three classes with 12, 5 and 3 images; a few steps of batch 8."""
    settings = {"steps": 6, "batch_size": 8, "penalty_every": 2, "precision": "fp32", "log_every": 2} | train
    return TrainingSpec(
        model=ModelConfig(**{"width": 4, "latent_dim": 6, "embedding_dim": 3} | (model or {})),
        train=TrainConfig(**settings),
        image=ImageShape(size=size, channels=channels),
        classes=tuple(ClassInfo(label=10 * i, name=name) for i, name in enumerate(("bag", "boot", "coat"))),
        counts=counts,
        seed=7,
        data_sha256="0" * 64,
    )


def tiny_images(spec: TrainingSpec) -> RealImages:
    """Random pixels with the spec's counts, classes interleaved, read-only as Ray hands them over."""
    rng = np.random.default_rng(0)
    class_index_N = rng.permutation(np.repeat(np.arange(len(spec.counts)), spec.counts)).astype(np.int64)
    shape = (len(class_index_N), spec.image.size, spec.image.size, spec.image.channels)
    pixels_NHWC = rng.integers(0, 256, shape, dtype=np.uint8)
    pixels_NHWC.flags.writeable = False
    return RealImages(pixels_NHWC, class_index_N)

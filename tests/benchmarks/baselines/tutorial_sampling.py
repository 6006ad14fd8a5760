"""Sampling as a tutorial does it: one process, one image at a time, one file an image through Pillow."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from PIL import Image

from augment.gan.networks import Condition, Generator

__all__ = ["sample_to_files"]


@torch.no_grad()
def sample_to_files(
    generator: Generator, latent_dim: int, classes: int, samples: int, folder: Path, suffix: str
) -> None:
    """`samples` images, the classes in turn, as `folder`/00000.png and so on (lossless WebP likewise)."""
    options: dict[str, Any] = {"lossless": True} if suffix == "webp" else {}
    generator.eval()
    for index in range(samples):
        noise = torch.randn(1, latent_dim)
        label = torch.tensor([index % classes])
        image_HWC = generator(noise, Condition(label)).image_BCHW[0].permute(1, 2, 0)
        pixels_HWC = ((image_HWC.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        Image.fromarray(pixels_HWC.squeeze(-1).numpy()).save(folder / f"{index:05d}.{suffix}", **options)

"""Generation as Ray Data's documentation teaches batch inference: range → map_batches(class) → write_parquet.

A pool of actors with a CPU each, which generate and encode a batch with Pillow; all else as Ray Data does it by
default. Nobody checks what was written, and a run that is tried again writes its rows again.
"""

from __future__ import annotations

import io
import os
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
import ray
import torch
from PIL import Image

from augment.gan.networks import Condition, Generator

__all__ = ["generate_with_ray_data"]


class Sampler:
    """Row numbers become encoded images."""

    def __init__(self, generator: Generator, latent_dim: int, classes: int, image_format: str) -> None:
        self.generator = generator.eval()
        self.latent_dim, self.classes, self.image_format = latent_dim, classes, image_format

    @torch.no_grad()
    def __call__(self, batch: dict[str, npt.NDArray[np.int64]]) -> dict[str, Any]:
        """A batch of Ray's default size."""
        label = torch.from_numpy(batch["id"] % self.classes)
        noise = torch.randn(len(label), self.latent_dim)
        images = self.generator(noise, Condition(label)).image_BCHW.permute(0, 2, 3, 1)
        pixels = ((images.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8).numpy()
        return {"image": [self.encoded(each) for each in pixels], "label": label.numpy()}

    def encoded(self, pixels: npt.NDArray[np.uint8]) -> bytes:
        """One image."""
        options: dict[str, Any] = {"lossless": True} if self.image_format == "webp" else {}
        sink = io.BytesIO()
        Image.fromarray(pixels.squeeze(-1) if pixels.shape[-1] == 1 else pixels).save(
            sink, self.image_format, **options
        )
        return sink.getvalue()


def generate_with_ray_data(
    generator: Generator, latent_dim: int, classes: int, samples: int, folder: Path, image_format: str
) -> None:
    """`samples` rows as Parquet files in `folder`; Ray is up."""
    cores = len(os.sched_getaffinity(0))
    arguments = (generator, latent_dim, classes, image_format)
    ray.data.range(samples).map_batches(
        Sampler, fn_constructor_args=arguments, concurrency=cores
    ).write_parquet(str(folder))

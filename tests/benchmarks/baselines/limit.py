"""The limit of generation: forward passes and encoding on all cores, nothing fetched, nothing stored.

Latents and labels lie in memory; the images' bytes are made and dropped. What a pipeline on these cores can't
exceed with this network and these encoders.
"""

from __future__ import annotations

import os
from concurrent.futures import ThreadPoolExecutor
from functools import partial

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from augment.data.images import ImageFormat, encode_image
from augment.gan.networks import Condition, Generator

__all__ = ["forward_and_encode"]

CHUNK = 64  # images a thread takes at a time


@torch.inference_mode()
def forward_and_encode(
    generator: Generator, noise_BD: Tensor, label_B: Tensor, image_format: ImageFormat, batch_size: int
) -> int:
    """Bytes of all images, encoded. Torch's threads have all cores, and then the encoders have."""
    size = 0
    with ThreadPoolExecutor(len(os.sched_getaffinity(0))) as pool:
        batches = zip(torch.split(noise_BD, batch_size), torch.split(label_B, batch_size), strict=True)
        for noise, label in batches:
            images_BCHW = generator(noise, Condition(label)).image_BCHW
            pixels_BCHW = ((images_BCHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
            pixels_BHWC = pixels_BCHW.permute(0, 2, 3, 1).contiguous().numpy()
            chunks = [pixels_BHWC[first : first + CHUNK] for first in range(0, len(pixels_BHWC), CHUNK)]
            size += sum(pool.map(partial(encoded_size, image_format), chunks))
    return size


def encoded_size(image_format: ImageFormat, pixels_BHWC: npt.NDArray[np.uint8]) -> int:
    """Bytes of a chunk's images, encoded."""
    return sum(len(encode_image(pixels_HWC, image_format)) for pixels_HWC in pixels_BHWC)

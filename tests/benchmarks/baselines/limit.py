"""The limit of generation: forward passes and encoding on every core at once, nothing fetched, nothing stored.

A process a core, each with one thread, latents and labels in memory; the images' bytes are made and dropped. No
process ever waits for another, so no pipeline on these cores can make more with this network and these encoders.
"""

from __future__ import annotations

import multiprocessing
import os
import time
from collections.abc import Iterator
from concurrent.futures import Executor, ProcessPoolExecutor, wait
from contextlib import contextmanager

import torch

from augment.data.images import ImageFormat, encode_image
from augment.gan.networks import Condition, Generator

__all__ = ["forward_and_encode", "one_process_a_core"]

_network: Generator | None = None  # of this process


@contextmanager
def one_process_a_core(generator: Generator) -> Iterator[tuple[Executor, int]]:
    """The processes, each with a copy of the network, and how many they are."""
    cores = len(os.sched_getaffinity(0))
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(cores, mp_context=spawn, initializer=_begin, initargs=(generator,)) as pool:
        wait([pool.submit(time.sleep, 1) for _ in range(cores)])  # each is up
        yield pool, cores


def forward_and_encode(
    pool: Executor, cores: int, latent_dim: int, classes: int, samples: int,
    image_format: ImageFormat, batch_size: int,
) -> int:  # fmt: skip
    """Bytes of so many images, encoded, an equal share by every process."""
    share = -(-samples // cores)
    jobs = [
        pool.submit(_share, latent_dim, classes, share, image_format, batch_size, core)
        for core in range(cores)
    ]
    return sum(job.result() for job in jobs)


def _begin(generator: Generator) -> None:
    global _network
    torch.set_num_threads(1)
    _network = generator


@torch.inference_mode()
def _share(
    latent_dim: int, classes: int, samples: int, image_format: ImageFormat, batch_size: int, seed: int
) -> int:
    assert _network is not None
    noise_BD = torch.randn(batch_size, latent_dim, generator=torch.Generator().manual_seed(seed))
    label_B = torch.arange(batch_size) % classes
    size = 0
    for first in range(0, samples, batch_size):
        rows = min(batch_size, samples - first)
        images_BCHW = _network(noise_BD[:rows], Condition(label_B[:rows])).image_BCHW
        pixels_BCHW = ((images_BCHW.clamp(-1, 1) + 1) * 127.5).round().to(torch.uint8)
        pixels_BHWC = pixels_BCHW.permute(0, 2, 3, 1).contiguous().numpy()
        size += sum(len(encode_image(pixels_HWC, image_format)) for pixels_HWC in pixels_BHWC)
    return size

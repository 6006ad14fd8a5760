"""A folder of images in memory as a competent user of PyTorch has it there: ImageFolder and a DataLoader.

A worker a core, batches of 256 that are written into one tensor as they come, uint8 throughout. Two ways to decode:
Pillow with its best filter, as ours; and torchvision's own decoders, whose resize knows no Lanczos and takes bicubic.
Nothing is checked and nothing is named: an image that can't be read ends it.
"""

from __future__ import annotations

import warnings
from collections.abc import Callable, Mapping
from pathlib import Path

import numpy as np
import torch
from PIL import Image
from torch.utils.data import DataLoader
from torchvision.datasets import ImageFolder
from torchvision.io import ImageReadMode, decode_image
from torchvision.transforms.v2 import InterpolationMode
from torchvision.transforms.v2.functional import resize

__all__ = ["DECODERS", "load_folder"]

BATCH = 256


def with_pillow(path: str, size: int, channels: int) -> torch.Tensor:
    """One image, uint8 [H, W, C]."""
    with Image.open(path) as opened:
        image = opened.convert("L" if channels == 1 else "RGB")
    if image.size != (size, size):
        image = image.resize((size, size), Image.Resampling.LANCZOS)
    return torch.from_numpy(np.array(image).reshape(size, size, channels))


def with_torchvision(path: str, size: int, channels: int) -> torch.Tensor:
    """One image, uint8 [C, H, W]."""
    image = decode_image(path, ImageReadMode.GRAY if channels == 1 else ImageReadMode.RGB)
    if image.shape[1:] == (size, size):
        return image
    return resize(image, [size, size], InterpolationMode.BICUBIC, antialias=True)


DECODERS: Mapping[str, Callable[[str, int, int], torch.Tensor]] = {
    "Pillow": with_pillow,
    "torchvision.io": with_torchvision,
}


def load_folder(
    folder: Path, size: int, channels: int, decoder: str, workers: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """Pixels, uint8 [N, H, W, C] or [N, C, H, W] as the decoder gives them, and class indices, int64 [N]."""
    decode = DECODERS[decoder]
    warnings.simplefilter(
        "ignore"
    )  # torchvision's, which would have these decoders replaced; workers inherit it
    images = ImageFolder(str(folder), loader=lambda path: decode(path, size, channels))
    ahead = 4 if workers else None  # batches that each worker has ready
    context = "fork" if workers else None  # Linux's own, and the quickest
    loader = DataLoader(
        images, batch_size=BATCH, num_workers=workers, prefetch_factor=ahead, multiprocessing_context=context
    )
    pixels: torch.Tensor | None = None
    class_index = torch.empty(len(images), dtype=torch.int64)
    begin = 0
    for batch, labels in loader:
        if pixels is None:
            pixels = torch.empty((len(images), *batch.shape[1:]), dtype=torch.uint8)
        pixels[begin : begin + len(batch)] = batch
        class_index[begin : begin + len(batch)] = labels
        begin += len(batch)
    assert pixels is not None  # a folder without images is refused by ImageFolder
    return pixels, class_index

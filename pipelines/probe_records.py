"""What a probe's trials are told, and the images that the first of them hands to the others. No torch, no Ray.

N = images, H, W, C = rows, columns, channels, K = classes.
"""

import resource
import sys
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from augment.config import Config
from augment.seeds import stream_id, uniforms
from augment.types import AugmentPlan

__all__ = [
    "FEWEST_A_CLASS",
    "ProbeOrder",
    "SampleImages",
    "dealt_out",
    "held_bytes",
    "peak_bytes",
    "spread_order",
]

FEWEST_A_CLASS = 8  # of fewer, quality is not measured while training
_NOISE = 8.0  # gray levels; an image that is there twice would be left out of the gates


@dataclass(frozen=True)
class ProbeOrder:
    """One trial of a settled config and its plan: how long, and with what."""

    config: Config
    plan: AugmentPlan
    seconds: float
    on_gpu: bool = False
    threads: int = 1
    world_size: int = 1  # training workers that share a batch
    has_gates: bool = False


@dataclass(frozen=True)
class SampleImages:
    """Decoded images of the source: uint8 [N, H, W, C]."""

    pixels_NHWC: npt.NDArray[np.uint8]


def spread_order(count: int) -> list[int]:
    """0 … count - 1 so that the first few lie evenly spread: by their bits backwards (van der Corput 1935)."""
    bits = max(1, (count - 1).bit_length())
    backwards = (int(f"{number:0{bits}b}"[::-1], 2) for number in range(1 << bits))
    return [number for number in backwards if number < count]


def dealt_out(
    images: SampleImages, classes: int, *, most: int | None = None
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Images and class indices dealt out evenly, FEWEST_A_CLASS a class at least and, if possible, at most `most` in
    all.

    The labels are made up: they decide no speed, and every class has its images however few were decoded. An image
    that is needed twice comes again with noise on it.
    """
    there = len(images.pixels_NHWC)
    wanted = max(FEWEST_A_CLASS * classes, there if most is None else min(there, most))
    position_N = np.arange(wanted) % there
    pixels_NHWC = images.pixels_NHWC[position_N]
    again = slice(there, wanted)
    if wanted > there:
        numbers = int(np.prod(pixels_NHWC.shape[1:]))
        noise = uniforms(0, stream_id("probe.noise"), 0, wanted - there, numbers) - 0.5
        moved = pixels_NHWC[again] + (2 * _NOISE * noise).reshape(pixels_NHWC[again].shape)
        pixels_NHWC[again] = moved.clip(0, 255).astype(np.uint8)
    return pixels_NHWC, np.arange(wanted, dtype=np.int64) % classes


def held_bytes() -> int:
    """Memory that this process holds now, shared pages included; where the system does not say, the most so far."""
    try:
        pages = int(Path("/proc/self/statm").read_text().split()[1])
    except FileNotFoundError:
        return peak_bytes()
    return pages * resource.getpagesize()


def peak_bytes() -> int:
    """Most memory that this process has held so far, shared pages included."""
    peak = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    return peak if sys.platform == "darwin" else 1024 * peak

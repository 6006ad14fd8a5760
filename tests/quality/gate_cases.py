"""Real images for the gates' tests, and generators that no gate should let through."""

import numpy as np
import numpy.typing as npt

from augment.quality.calibration import calibrate
from augment.quality.config import GatesConfig
from augment.quality.gates import GateKeeper
from tests.quality.common import striped_images

COUNTS = (240, 160, 60, 5)  # the last class has few images
CONFIG = GatesConfig(judges=None, steps=60, batch_size=32, discriminator_quantile=0.05)

Pixels = npt.NDArray[np.uint8]


def real_images(seed: int = 0) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Real images of four classes, of which the gates are calibrated with those of seed 0."""
    return striped_images(COUNTS, size=16, seed=seed)


def heldout_images(each: int) -> tuple[Pixels, npt.NDArray[np.int64]]:
    """Images of the same distribution that nothing was fitted or calibrated on."""
    return striped_images((each,) * len(COUNTS), size=16, seed=99)


def keeper_of(pixels: Pixels, class_index: npt.NDArray[np.int64], **changes) -> GateKeeper:
    """Gates calibrated quickly, with some fields of their config changed."""
    return calibrate(pixels, class_index, len(COUNTS), CONFIG.model_copy(update=changes), seed=0)


def noise(count: int) -> Pixels:
    """A generator that learned nothing: every pixel is drawn for itself."""
    return np.random.default_rng(1).integers(0, 256, (count, 16, 16, 1)).astype(np.uint8)


def copies(pixels: Pixels, how: str) -> Pixels:
    """A generator that gives its training images back, exactly or slightly changed."""
    random = np.random.default_rng(2)
    if "shifted" in how:
        padded = np.pad(pixels, ((0, 0), (1, 1), (1, 1), (0, 0)), mode="edge")
        shifts = random.integers(0, 3, (len(pixels), 2))
        pixels = np.stack(
            [image[y : y + 16, x : x + 16] for image, (y, x) in zip(padded, shifts, strict=True)]
        )
    if "noisy" in how:
        pixels = np.clip(pixels + random.normal(0, 3, pixels.shape), 0, 255).astype(np.uint8)
    return pixels

"""Images that a classifier can tell apart, small enough for quick tests."""

import numpy as np
import numpy.typing as npt


def striped_images(
    counts: tuple[int, ...], *, size: int = 8, channels: int = 1, seed: int = 0
) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Noisy stripes, shuffled: class 0 across, 1 down, 2 of both, 3 none; uint8 [N, H, W, C] and [N]."""
    random = np.random.default_rng(seed)
    class_index_N = random.permutation(np.repeat(np.arange(len(counts)), counts))
    wave = np.where(np.arange(size) // 2 % 2, 60.0, -60.0)
    across = np.broadcast_to(wave[:, None], (size, size))
    patterns = np.stack([across, across.T, across * across.T / 60, np.zeros((size, size))])
    noise = random.normal(128, 20, (len(class_index_N), size, size, channels))
    pixels = patterns[class_index_N][..., None] + noise
    return np.clip(pixels, 0, 255).astype(np.uint8), class_index_N

"""Counter-based random streams: the value for an index never depends on who asks for it.

Owns: every random number that decides what is trained on or generated. Knows nothing of workers,
batches or devices: row i of a stream is the same alone, in a block, on any rank and in any order.
Built on Philox-4x64 (Salmon et al. 2011, "Parallel random numbers: as easy as 1, 2, 3"): key = (seed,
stream), counter = index, so a block of rows costs one generator and no loop.
"""

import hashlib

import numpy as np
import numpy.typing as npt

__all__ = ["digest64", "normals", "stream_id", "uniforms"]

_WORDS_PER_COUNTER = 4  # Philox-4x64 yields four 64-bit words a counter step
_MASK64 = (1 << 64) - 1


def digest64(*parts: str | int) -> int:
    """A stable 64-bit number from `parts` (SHA-256 of their text, joined by a separator)."""
    text = "\x1f".join(str(part) for part in parts)
    return int.from_bytes(hashlib.sha256(text.encode()).digest()[:8], "little")


def stream_id(name: str, *parts: str | int) -> int:
    """The 64-bit id of a named stream, e.g. `stream_id("generate.latent", class_label)`."""
    return digest64("stream", name, *parts)


def uniforms(seed: int, stream: int, first: int, rows: int, width: int) -> npt.NDArray[np.float64]:
    """Uniform numbers in [0, 1), shape [rows, width]; row i belongs to index `first + i` alone."""
    return (_words(seed, stream, first, rows, width) >> np.uint64(11)).astype(np.float64) * 2.0**-53


def normals(seed: int, stream: int, first: int, rows: int, width: int) -> npt.NDArray[np.float32]:
    """Standard normal numbers, float32 [rows, width]; row i belongs to index `first + i` alone.

    Box-Muller (Box & Muller 1958) rather than the ziggurat: it takes a fixed number of words a row,
    which is what lets a block start at any index.
    """
    pairs = -(-width // 2)
    words = _words(seed, stream, first, rows, pairs)
    u1 = ((words >> np.uint64(32)) + 1.0) * 2.0**-32  # (0, 1]: its logarithm is finite
    u2 = (words & np.uint64(0xFFFFFFFF)) * 2.0**-32
    radius = np.sqrt(-2.0 * np.log(u1))
    angle = 2.0 * np.pi * u2
    z = np.stack([radius * np.cos(angle), radius * np.sin(angle)], axis=-1)
    return z.reshape(rows, 2 * pairs)[:, :width].astype(np.float32)


def _words(seed: int, stream: int, first: int, rows: int, width: int) -> npt.NDArray[np.uint64]:
    """Raw 64-bit words, [rows, width]; each row starts on a counter of its own."""
    steps = -(-width // _WORDS_PER_COUNTER)
    philox = np.random.Philox(key=np.array([seed & _MASK64, stream], dtype=np.uint64), counter=first * steps)
    words = philox.random_raw(rows * steps * _WORDS_PER_COUNTER)
    return words.reshape(rows, steps * _WORDS_PER_COUNTER)[:, :width]

"""Forward passes that give a row the same bits in any company.

Owns the tile and the thread. Matrix libraries choose the order of their sums by the size of the batch and the
number of threads, and a sum in another order rounds to another number: so a frozen network runs on tiles of one
fixed size, the last one filled up with zeros, and on one CPU thread. More at a time comes from several
processes. Knows no network and no file.

B = rows asked for, T = rows of one tile.
"""

from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager, contextmanager
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

__all__ = ["CPU_TILE", "in_tiles", "one_cpu_thread", "repeatable_kernels"]

CPU_TILE = 32
"""Rows a forward pass on a CPU, whoever asks and for however many."""


@contextmanager
def one_cpu_thread() -> Iterator[None]:
    """Per call and not per network: OpenMP keeps the number for the calling thread alone."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        yield
    finally:
        torch.set_num_threads(threads)


def repeatable_kernels() -> AbstractContextManager[None]:
    """A GPU's convolutions in float32, by kernels that give the same bits each time.

    TensorFloat-32 would round the weights to 10 bits, and timing trials would pick kernels by chance.
    """
    flags: AbstractContextManager[None] = torch.backends.cudnn.flags(
        enabled=True, benchmark=False, deterministic=True, allow_tf32=False
    )
    return flags


@torch.inference_mode()
def in_tiles(
    forward: Callable[..., Tensor], *rows_B: npt.NDArray[Any], tile: int, device: torch.device
) -> npt.NDArray[Any]:
    """What `forward` makes of these arrays' rows, [B, …]: called with exactly `tile` rows of each on `device`.

    One tile at a time lies there, however many rows there are; with none, a tile of zeros tells the shape.
    """
    rows = len(rows_B[0])
    results = []
    for first in range(0, max(rows, 1), tile):
        filled = [_filled(array_B[first : first + tile], tile).to(device) for array_B in rows_B]
        results.append(forward(*filled).cpu())
    return torch.cat(results).contiguous().numpy()[:rows]


def _filled(some_T: npt.NDArray[Any], tile: int) -> Tensor:
    """These rows and then zeros, in memory of torch's own: aligned as its kernels like it, and writable."""
    filled_T = torch.from_numpy(np.empty(0, some_T.dtype)).new_zeros((tile, *some_T.shape[1:]))
    filled_T.numpy()[: len(some_T)] = some_T
    return filled_T

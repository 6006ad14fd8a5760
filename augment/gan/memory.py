"""Which errors mean that a device, or this machine, had no memory left.

Owns the telling apart. What is done then is the caller's.
"""

import torch

__all__ = ["is_out_of_memory"]

_SAID = (
    "out of memory",  # cuDNN, NCCL and older PyTorch say it in a RuntimeError
    "can't allocate memory",  # PyTorch's allocator on a CPU
    "CUBLAS_STATUS_ALLOC_FAILED",
    "CUDNN_STATUS_ALLOC_FAILED",
)


def is_out_of_memory(error: BaseException) -> bool:
    """Whether less at a time might have worked."""
    if isinstance(error, torch.OutOfMemoryError | MemoryError):
        return True
    return isinstance(error, RuntimeError) and any(said in str(error) for said in _SAID)

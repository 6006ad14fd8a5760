"""Batch normalisation with statistics and gains of their own for samples.

Owns the layer and its exchange for a network's own ones: AdvProp's auxiliary batch norm (Xie et al. 2020, section
4.1), which OPeN has for samples of noise (Zada et al. 2022). Samples teach the kernels but not the statistics
that real images are normalised with; prediction uses the real ones.

B = rows of a batch, real ones first; C = channels, H, W = rows, columns.
"""

import copy

import torch
from torch import Tensor, nn

from augment.errors import ConfigError

__all__ = ["SplitNorm", "set_real_rows", "split_norms"]


class SplitNorm(nn.Module):
    """Two batch norms: `main` for the first `real_rows` of a batch, `auxiliary` for the rest; `main` in eval mode."""

    def __init__(self, norm: nn.BatchNorm2d) -> None:
        super().__init__()
        self.main, self.auxiliary = norm, copy.deepcopy(norm)
        self.real_rows: int | None = None  # None: all

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Normalised, [B, C, H, W]."""
        real = self.real_rows
        if not self.training or real is None or real >= len(x_BCHW):
            normed: Tensor = self.main(x_BCHW)
            return normed
        if real == 0:
            sampled: Tensor = self.auxiliary(x_BCHW)
            return sampled
        return torch.cat([self.main(x_BCHW[:real]), self.auxiliary(x_BCHW[real:])])


def split_norms(network: nn.Module) -> None:
    """Exchange every BatchNorm2d in `network`, with equal weights at first. ConfigError where it has none."""
    found = False
    for parent in list(network.modules()):
        for name, child in list(parent.named_children()):
            if isinstance(child, nn.BatchNorm2d):
                setattr(parent, name, SplitNorm(child))
                found = True
    if not found:
        raise ConfigError(
            f"{type(network).__name__} has no batch normalisation, so that samples cannot have their own; "
            "leave out arms with own_norm"
        )


def set_real_rows(network: nn.Module, real: int | None) -> None:
    """How many rows of the next batch are real; None for all."""
    for module in network.modules():
        if isinstance(module, SplitNorm):
            module.real_rows = real

"""Layers in a row, some of which look at the sample's style besides the features before them.

Owns how a style is handed through a network. Knows no particular layer.

B = samples, W = mapped latent w, C = channels.
"""

from typing import NamedTuple

from torch import Tensor, nn

from augment.gan.networks.interface import Condition

__all__ = ["Chain", "Residual", "Style", "Styled"]


class Style(NamedTuple):
    """What a generator's layers are told of their samples."""

    w_BW: Tensor
    condition: Condition


class Styled(nn.Module):
    """A layer called as layer(x, style) instead of layer(x)."""


class Chain(Styled):
    """Layers one after another; the style goes to those that ask for it. A discriminator has none."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.layers = nn.ModuleList(layers)

    def forward(self, x: Tensor, style: Style | None = None) -> Tensor:
        """What the last layer makes of x."""
        for layer in self.layers:
            x = layer(x, style) if isinstance(layer, Styled) else layer(x)
        return x


class Residual(Styled):
    """x + f(x), f the given layers, the last of which starts at zero: a deep network starts as a shallow one."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.residual = Chain(*layers)

    def forward(self, x_BCHW: Tensor, style: Style | None = None) -> Tensor:
        """The same shape as x."""
        y_BCHW: Tensor = x_BCHW + self.residual(x_BCHW, style)
        return y_BCHW

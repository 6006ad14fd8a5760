"""Where latent and class enter a generator: its input, its normalisation layers, its modulation.

Owns those three and the list of their class-conditional parameters. Knows nothing of the layers between.
A class shows itself as far as `condition.strength` says: 0 hides it, 1 shows it whole (Shahbazi et al. 2022).

B = samples, D = latent z, E = class embedding, W = mapped latent w, C = channels, K = classes.
"""

import math

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from augment.gan.config import ModelConfig
from augment.gan.networks.interface import Condition
from augment.gan.networks.layers import HE_GAIN, Activation, linear, matrix_product
from augment.gan.networks.styled import Style, Styled

__all__ = [
    "ClassConditionalNorm",
    "LatentInput",
    "MappingLayer",
    "Modulation",
    "class_parameters",
    "latent_width",
]

_GROUP_WIDTH = 16  # channels a group where they can be had, the best number of Wu & He (2018, table 3)
_MAPPING_RATE = 0.1


def latent_width(model: ModelConfig) -> int:
    """W, the length of w: that of latent and class embedding together."""
    return model.latent_dim + (model.embedding_dim if model.conditional else 0)


class LatentInput(nn.Module):
    """(z_BD, condition) → w_BW: latent and class embedding side by side, then the mapping network, if any."""

    def __init__(self, model: ModelConfig, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, model.embedding_dim) if model.conditional else None
        layers = (MappingLayer(latent_width(model)) for _ in range(model.resolved_mapping_layers))
        self.mapping = nn.Sequential(*layers)

    def forward(self, z_BD: Tensor, condition: Condition) -> Tensor:
        """w of each sample.

        The noise moves the embedding, so that near classes meet (NoisyTwins, Rangwani et al. 2023). In front
        of a mapping network z is moved to the hypersphere of unit second moment (Karras et al. 2018, A.1).
        """
        w_BW = self._unit(z_BD) if len(self.mapping) else z_BD
        if self.embedding is not None:
            embedding_BE = self.embedding(condition.class_B) * condition.strength
            if condition.noise_BE is not None:
                embedding_BE = embedding_BE + condition.noise_BE
            w_BW = torch.cat([w_BW, embedding_BE], dim=1)
        mapped_BW: Tensor = self.mapping(w_BW)
        return mapped_BW

    @staticmethod
    def _unit(z_BD: Tensor) -> Tensor:
        return z_BD * (z_BD.square().mean(1, keepdim=True) + 1e-8).rsqrt()


class MappingLayer(nn.Module):
    """A fully connected layer and its activation, as wide as its input, which learns at a tenth of the rate.

    The weights are stored ten times as large as they act: Adam's step does not grow with them (equalised
    learning rate, Karras et al. 2018, section 4.1). The style-based generator slows its mapping network a
    hundredfold (Karras et al. 2019, appendix C), but its runs are a hundred times as long as ours.
    """

    def __init__(self, width: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.randn(width, width) * (HE_GAIN / math.sqrt(width) / _MAPPING_RATE))
        self.bias = nn.Parameter(torch.zeros(width))
        self.activation = Activation()

    def forward(self, x_BW: Tensor) -> Tensor:
        """The same shape as x."""
        y_BW = matrix_product(x_BW, self.weight * _MAPPING_RATE, self.bias * _MAPPING_RATE)
        activated_BW: Tensor = self.activation(y_BW)
        return activated_BW


class ClassConditionalNorm(Styled):
    """Group normalisation (Wu & He 2018) with a gain 1 + g_y and a bias b_y of each class (de Vries et al. 2017).

    Groups and not batches: a sample must not depend on its neighbours. g and b start at zero; without
    `classes` there are none.
    """

    def __init__(self, channels: int, classes: int | None) -> None:
        super().__init__()
        self.groups = _groups(channels)
        self.gain = None if classes is None else _zeros(classes, channels)
        self.bias = None if classes is None else _zeros(classes, channels)

    def forward(self, x_BCHW: Tensor, style: Style) -> Tensor:
        """The same shape as x, every group of channels of unit variance before gain and bias."""
        y_BCHW = F.group_norm(x_BCHW, self.groups)
        if self.gain is None or self.bias is None:
            return y_BCHW
        class_B, strength = style.condition.class_B, style.condition.strength
        return _affine(y_BCHW, self.gain(class_B) * strength, self.bias(class_B) * strength)


class Modulation(Styled):
    """A gain and a bias of every channel, affine in w (self-modulation, Chen et al. 2019).

    How the class enters a generator whose lower resolutions do not see it (UTLO, Khorram et al. 2024).
    """

    def __init__(self, width: int, channels: int) -> None:
        super().__init__()
        self.affine = linear(width, 2 * channels, gain=0.5)  # shown at once, without drowning what is shared

    def forward(self, x_BCHW: Tensor, style: Style) -> Tensor:
        """The same shape as x."""
        gain_BC, bias_BC = self.affine(style.w_BW).chunk(2, dim=1)
        return _affine(x_BCHW, gain_BC, bias_BC)


def class_parameters(network: nn.Module) -> list[nn.Parameter]:
    """Every parameter of a generator with a row a class, [K, F]: embeddings, and gains and biases of norms.

    gSR holds their spectral norms (Rangwani et al. 2022). Empty for an unconditional generator.
    """
    tables = (module for module in network.modules() if isinstance(module, nn.Embedding))
    return [parameter for table in tables for parameter in table.parameters()]


def _affine(x_BCHW: Tensor, gain_BC: Tensor, bias_BC: Tensor) -> Tensor:
    """x · (1 + gain) + bias, in the type of x."""
    gain_BC11, bias_BC11 = (t[:, :, None, None].to(x_BCHW.dtype) for t in (1 + gain_BC, bias_BC))
    return torch.addcmul(bias_BC11, x_BCHW, gain_BC11)


def _zeros(classes: int, channels: int) -> nn.Embedding:
    table = nn.Embedding(classes, channels)
    nn.init.zeros_(table.weight)
    return table


def _groups(channels: int) -> int:
    """The most groups of equal width with at least `_GROUP_WIDTH` channels each; 1 where there are fewer."""
    fitting = (n for n in range(1, channels // _GROUP_WIDTH + 1) if channels % n == 0)
    return max(fitting, default=1)

"""The style-based backbone (Karras et al. 2020, "StyleGAN2"): w modulates every convolution.

Owns the generator's body of `model.backbone: style`; its discriminator is `resnet`'s. A learned constant,
two modulated convolutions a resolution, and a picture that is the sum of one from each resolution. There are
no noise inputs: latent and class alone decide a sample.

A modulated convolution is written as a scaling of its input, a plain convolution and a scaling of its output,
which is the same as weights for each sample, without a grouped convolution, slow on a CPU.

B = samples, W = mapped latent w, I and O = channels in and out.
"""

from collections.abc import Sequence

import torch
from torch import Tensor, nn

from augment.gan.networks.layers import (
    HE_GAIN,
    Activation,
    Upsample,
    conv,
    linear,
    matrix_product,
    upsample,
)
from augment.gan.networks.shells import Blueprint, Synthesis
from augment.gan.networks.styled import Chain, Style, Styled

__all__ = ["ModulatedConv", "synthesis"]


class ModulatedConv(Styled):
    """A convolution whose weights w scales by input channel, and demodulation scales back by output channel.

    With s = affine(w), w'_ijk = s_i·w_ijk and w''_ijk = w'_ijk / √(Σ_ik w'_ijk² + ε) (Karras et al. 2020,
    eq. 1 and 3): the output is of unit variance where the input is, times `gain`.
    """

    def __init__(
        self,
        inputs: int,
        outputs: int,
        width: int,
        *,
        kernel: int = 3,
        demodulate: bool = True,
        gain: float = HE_GAIN,
    ) -> None:
        super().__init__()
        self.style = linear(width, inputs, gain=1.0)
        nn.init.ones_(self.style.bias)
        self.conv = conv(inputs, outputs, kernel=kernel, bias=False, gain=gain)
        self.bias = nn.Parameter(torch.zeros(outputs))
        self.gain = gain
        self.demodulate = demodulate

    def forward(self, x_BIHW: Tensor, style: Style) -> Tensor:
        """[B, I, H, W] → [B, O, H, W]."""
        s_BI: Tensor = self.style(style.w_BW)
        y_BOHW: Tensor = self.conv(x_BIHW * s_BI[:, :, None, None].to(x_BIHW.dtype))
        bias_O11 = self.bias[:, None, None].to(y_BOHW.dtype)
        if not self.demodulate:
            return y_BOHW + bias_O11
        scale_BO11 = self._demodulation(s_BI)[:, :, None, None].to(y_BOHW.dtype)
        return torch.addcmul(bias_O11, y_BOHW, scale_BO11)

    def _demodulation(self, s_BI: Tensor) -> Tensor:
        """gain / √(Σ_ik (s_i·w_ijk)² + ε), [B, O], in the weights' own type."""
        with torch.autocast(s_BI.device.type, enabled=False):
            power_OI = self.conv.weight.square().sum((2, 3))
            power_BO = matrix_product(s_BI.to(power_OI.dtype).square(), power_OI)
            return self.gain * (power_BO + 1e-8).rsqrt()


class Constant(nn.Module):
    """The learned features that every sample starts from."""

    def __init__(self, shape_HWC: tuple[int, int, int]) -> None:
        super().__init__()
        self.constant_HWC = nn.Parameter(torch.randn(shape_HWC))

    def forward(self, w_BW: Tensor) -> Tensor:
        """The same for each w, [B, C, H, W], channels-last."""
        return self.constant_HWC.expand(len(w_BW), -1, -1, -1).permute(0, 3, 1, 2)


class SummedPictures(nn.Module):
    """A picture of each resolution's features, doubled and summed (Karras et al. 2020, figure 7b)."""

    def __init__(self, channels: Sequence[int], picture_channels: int, width: int) -> None:
        super().__init__()
        gain = (2 * len(channels)) ** -0.5  # styles of mean and variance 1: the sum starts near unit variance
        self.to_picture = nn.ModuleList(
            ModulatedConv(inputs, picture_channels, width, kernel=1, demodulate=False, gain=gain)
            for inputs in channels
        )

    def forward(self, features: Sequence[Tensor], style: Style) -> Tensor:
        """The picture before tanh."""
        lowest, *higher = (f(x, style) for f, x in zip(self.to_picture, features, strict=True))
        picture_BCHW: Tensor = lowest
        for finer_BCHW in higher:
            picture_BCHW = upsample(picture_BCHW) + finer_BCHW
        return picture_BCHW


def synthesis(blueprint: Blueprint) -> Synthesis:
    """One modulated convolution at the base, two a doubling, before and after it."""
    pyramid, width = blueprint.pyramid, blueprint.w_width
    lowest = pyramid.channels[-1]
    base = Chain(Constant(pyramid.base_shape), ModulatedConv(lowest, lowest, width), Activation())
    stages = [
        Chain(
            ModulatedConv(before, after, width),
            Activation(),
            Upsample(),
            ModulatedConv(after, after, width),
            Activation(),
        )
        for before, after in pyramid.upward
    ]
    picture = SummedPictures(pyramid.channels[::-1], blueprint.image.channels, width)
    return Synthesis(base, stages, picture)

"""The ResNet backbone: residual blocks, bilinear resampling, no normalisation (R3GAN, Huang et al. 2024).

Owns the two networks of `model.backbone: resnet`. R3GAN's grouped convolutions are plain ones here:
grouped ones are slow in the double backward pass of a gradient penalty on a CPU. The generator ends in tanh,
for the reason that `dcgan` gives.
"""

from torch import Tensor, nn

from augment.gan.config import ModelConfig
from augment.gan.networks.conditioning import LatentInput, ProjectionHead
from augment.gan.networks.layers import (
    Activation,
    ChannelsLast,
    Flatten,
    Pyramid,
    Unflatten,
    conv,
    linear,
    upsample,
)
from augment.types import ImageShape

__all__ = ["ResNetDiscriminator", "ResNetGenerator"]


class ResidualBlock(nn.Module):
    """x + f(x), f two 3×3 convolutions; f starts at zero, so that a deep network starts as a shallow one."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.residual = nn.Sequential(
            conv(channels, channels), Activation(), conv(channels, channels, gain=0.0)
        )

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """The same shape as x."""
        y_BCHW: Tensor = x_BCHW + self.residual(x_BCHW)
        return y_BCHW


class Upsample(nn.Module):
    """Twice the resolution, bilinear, then a 1×1 convolution to `after` channels."""

    def __init__(self, before: int, after: int) -> None:
        super().__init__()
        self.mix = conv(before, after, kernel=1, gain=1.0)

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """[B, before, H, W] → [B, after, 2H, 2W]; mixing first costs a quarter and commutes."""
        return upsample(self.mix(x_BCHW))


class ResNetGenerator(nn.Module):
    """Latent and class → a linear layer to base² × C, then a residual block at every resolution."""

    def __init__(self, model: ModelConfig, image: ImageShape, classes: int) -> None:
        super().__init__()
        pyramid = Pyramid.of(model, image.size)
        self.latent_input = LatentInput(model, classes)
        self.to_base = linear(self.latent_input.width, pyramid.base_features, gain=1.0)
        layers: list[nn.Module] = [Unflatten(pyramid.base_shape), ResidualBlock(pyramid.channels[-1])]
        for before, after in pyramid.upward:
            layers += [Upsample(before, after), ResidualBlock(after)]
        layers += [Activation(), conv(pyramid.channels[0], image.channels, gain=1.0)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z_BD: Tensor, class_B: Tensor, embedding_noise_BE: Tensor | None = None) -> Tensor:
        """Images x_BCHW, float32 in [-1, 1]."""
        x_BCHW: Tensor = self.layers(self.to_base(self.latent_input(z_BD, class_B, embedding_noise_BE)))
        return x_BCHW.float().tanh()


class ResNetDiscriminator(nn.Module):
    """The generator's mirror; halving is a 2×2 mean, which is what bilinear halving comes to."""

    def __init__(self, model: ModelConfig, image: ImageShape, classes: int) -> None:
        super().__init__()
        pyramid = Pyramid.of(model, image.size)
        features = 2 * pyramid.channels[-1]
        layers: list[nn.Module] = [conv(image.channels, pyramid.channels[0], gain=1.0), ChannelsLast()]
        for before, after in pyramid.downward:
            layers += [ResidualBlock(before), nn.AvgPool2d(2), conv(before, after, kernel=1, gain=1.0)]
        layers += [ResidualBlock(pyramid.channels[-1]), Activation(), Flatten()]
        layers += [linear(pyramid.base_features, features), Activation()]
        self.layers = nn.Sequential(*layers)
        self.head = ProjectionHead(features, classes, conditional=model.conditional)

    def forward(self, x_BCHW: Tensor, class_B: Tensor) -> Tensor:
        """Logits [B], float32: how real each image is as one of its class."""
        logits_B: Tensor = self.head(self.layers(x_BCHW), class_B)
        return logits_B

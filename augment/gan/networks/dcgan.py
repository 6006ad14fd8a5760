"""The DCGAN backbone (Radford et al. 2016): transposed convolutions up, strided convolutions down.

Owns the two networks of `model.backbone: dcgan`. Batch normalisation is left out: a sample must not
depend on its neighbours in the batch. The generator ends in tanh: R3GAN does without it, but the plain
black or white background of object pictures lies on the edge of the range, which tanh reaches by saturating,
where a linear end leaves a haze (measured on Fashion-MNIST: half the Fréchet distance after 1,250 steps).
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
    down_conv,
    linear,
    up_conv,
)
from augment.types import ImageShape

__all__ = ["DCGANDiscriminator", "DCGANGenerator"]


class DCGANGenerator(nn.Module):
    """Latent and class → a linear layer to base² × C, then [3×3 convolution, 4×4 transposed] a doubling."""

    def __init__(self, model: ModelConfig, image: ImageShape, classes: int) -> None:
        super().__init__()
        pyramid = Pyramid.of(model, image.size)
        self.latent_input = LatentInput(model, classes)
        self.to_base = linear(self.latent_input.width, pyramid.base_features)
        layers: list[nn.Module] = [Unflatten(pyramid.base_shape), Activation()]
        for before, after in pyramid.upward[:-1]:
            layers += [conv(before, before), Activation(), up_conv(before, after), Activation()]
        before, _ = pyramid.upward[-1]
        layers += [conv(before, before), Activation(), up_conv(before, image.channels, gain=1.0)]
        self.layers = nn.Sequential(*layers)

    def forward(self, z_BD: Tensor, class_B: Tensor, embedding_noise_BE: Tensor | None = None) -> Tensor:
        """Images x_BCHW, float32 in [-1, 1]."""
        x_BCHW: Tensor = self.layers(self.to_base(self.latent_input(z_BD, class_B, embedding_noise_BE)))
        return x_BCHW.float().tanh()


class DCGANDiscriminator(nn.Module):
    """The generator's mirror: [4×4 convolution of stride 2, 3×3] a halving, linear, projection head."""

    def __init__(self, model: ModelConfig, image: ImageShape, classes: int) -> None:
        super().__init__()
        pyramid = Pyramid.of(model, image.size)
        features = 2 * pyramid.channels[-1]
        first = pyramid.channels[1]
        layers: list[nn.Module] = [down_conv(image.channels, first), ChannelsLast(), Activation()]
        layers += [conv(first, first), Activation()]
        for before, after in pyramid.downward[1:]:
            layers += [down_conv(before, after), Activation(), conv(after, after), Activation()]
        layers += [Flatten(), linear(pyramid.base_features, features), Activation()]
        self.layers = nn.Sequential(*layers)
        self.head = ProjectionHead(features, classes, conditional=model.conditional)

    def forward(self, x_BCHW: Tensor, class_B: Tensor) -> Tensor:
        """Logits [B], float32: how real each image is as one of its class."""
        logits_B: Tensor = self.head(self.layers(x_BCHW), class_B)
        return logits_B

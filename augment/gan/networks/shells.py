"""The generator and the discriminator around every backbone: what is the same whichever it is.

Owns how latent input, body and pictures, or body and heads, make a network, and UTLO's low-resolution way
through both (Khorram et al. 2024). Knows no backbone: it is handed the body's parts.

UTLO: the generator's levels up to the low one are told of a latent without class, and the features there
are also shown as a small picture; the levels above are told of the class. The discriminator takes small
pictures in at that level and judges them with the layers it has below, and a head without classes.

B = samples, D = latent z, W = mapped latent w, h = the low resolution; level l stands at base << l pixels.
"""

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

from torch import Tensor, nn

from augment.gan.config import ModelConfig
from augment.gan.networks.conditioning import ClassConditionalNorm, LatentInput, Modulation, latent_width
from augment.gan.networks.heads import ProjectionHead, head_of
from augment.gan.networks.interface import Condition, GeneratorOutput, Judgement
from augment.gan.networks.layers import ChannelsLast, conv
from augment.gan.networks.pyramid import Pyramid
from augment.gan.networks.styled import Chain, Style
from augment.types import ImageShape

__all__ = ["Blueprint", "Discriminator", "Generator", "LastToPicture", "Synthesis", "Trunk"]


@dataclass(frozen=True, slots=True)
class Blueprint:
    """What a backbone is to build, and the layers through which the class enters at each level."""

    model: ModelConfig
    image: ImageShape
    classes: int
    pyramid: Pyramid
    low_level: int | None
    """The level of UTLO's small pictures; None without."""

    @classmethod
    def of(cls, model: ModelConfig, image: ImageShape, classes: int) -> "Blueprint":
        """Raises ConfigError where `image.size` or `model.low_resolution` can't be built."""
        pyramid = Pyramid.of(model, image.size)
        low_level = None if model.low_resolution is None else pyramid.level_of(model.low_resolution)
        return cls(model, image, classes, pyramid, low_level)

    @property
    def w_width(self) -> int:
        """W."""
        return latent_width(self.model)

    def entry(self, level: int, channels: int) -> list[Modulation]:
        """What a stage to `level` begins with, for a body that looks at w only at its base."""
        if self.low_level is None or level <= self.low_level:
            return []
        return [Modulation(self.w_width, channels)]

    def norm(self, level: int, channels: int) -> list[ClassConditionalNorm]:
        """What stands behind a convolution at `level`."""
        if self.model.generator_conditioning != "normalisation":
            return []
        hidden = not self.model.conditional or (self.low_level is not None and level <= self.low_level)
        return [ClassConditionalNorm(channels, None if hidden else self.classes)]


@dataclass(frozen=True, slots=True)
class Synthesis:
    """The body of a generator: every part is called as part(x, style)."""

    base: nn.Module
    """w_BW → features at level 0."""

    stages: Sequence[nn.Module]
    """Stage l: features at level l → features at level l + 1; up to the last level that has any."""

    picture: nn.Module
    """The features of all levels, the lowest first → the picture before tanh."""


@dataclass(frozen=True, slots=True)
class Trunk:
    """The body of a discriminator."""

    entry: nn.Module
    """The picture → features at the highest level that has any."""

    stages: Sequence[nn.Module]
    """Each from features at one level to those at the level below; the last one ends at level 0."""

    end: nn.Module
    """Features at level 0 → phi_BF."""

    features: int
    """F, the length of phi."""


class LastToPicture(nn.Module):
    """A `Synthesis.picture` of the highest features alone."""

    def __init__(self, *layers: nn.Module) -> None:
        super().__init__()
        self.chain = Chain(*layers)

    def forward(self, features: Sequence[Tensor], style: Style) -> Tensor:
        """The picture before tanh."""
        picture_BCHW: Tensor = self.chain(features[-1], style)
        return picture_BCHW


class Generator(nn.Module):
    """z and class → w → features level by level → picture."""

    def __init__(self, latent_input: LatentInput, body: Synthesis, blueprint: Blueprint) -> None:
        super().__init__()
        self.latent_input = latent_input
        self.base, self.stages, self.picture = body.base, nn.ModuleList(body.stages), body.picture
        self.low_level, self.low_picture = 0, None
        if blueprint.low_level is not None:
            self.low_level = blueprint.low_level
            channels = blueprint.pyramid.channels[-1 - self.low_level]
            self.low_picture = conv(channels, blueprint.image.channels, kernel=1, gain=1.0)

    def map(self, z_BD: Tensor, condition: Condition) -> Tensor:
        """w_BW alone."""
        w_BW: Tensor = self.latent_input(z_BD, condition)
        return w_BW

    def forward(self, z_BD: Tensor, condition: Condition) -> GeneratorOutput:
        """Pictures in [-1, 1], float32, and what they were made from."""
        style = Style(self.map(z_BD, condition), condition)
        features = self._features(style, self._without_class(z_BD, style))
        image_BCHW = self.picture(features, style).float().tanh()
        low_BChh = None
        if self.low_picture is not None:
            low_BChh = self.low_picture(features[self.low_level]).float().tanh()
        return GeneratorOutput(image_BCHW=image_BCHW, low_BChh=low_BChh, w_BW=style.w_BW)

    def _without_class(self, z_BD: Tensor, style: Style) -> Style:
        """What the levels up to the low one are told; without UTLO, the same as the others."""
        if self.low_picture is None:
            return style
        hidden = Condition(style.condition.class_B, noise_BE=None, strength=0.0)
        return Style(self.map(z_BD, hidden), hidden)

    def _features(self, style: Style, shared: Style) -> list[Tensor]:
        features = [self.base(shared.w_BW, shared)]
        for level, stage in enumerate(self.stages, start=1):
            features.append(stage(features[-1], shared if level <= self.low_level else style))
        return features


class Discriminator(nn.Module):
    """Picture → features level by level → phi → logits."""

    def __init__(self, body: Trunk, blueprint: Blueprint) -> None:
        super().__init__()
        self.entry, self.stages, self.end = body.entry, nn.ModuleList(body.stages), body.end
        self.head = head_of(blueprint.model, body.features, blueprint.classes)
        self.low_level, self.low_entry, self.low_head = 0, None, None
        if blueprint.low_level is not None:
            self.low_level = blueprint.low_level
            channels = blueprint.pyramid.channels[-1 - self.low_level]
            look = conv(blueprint.image.channels, channels, kernel=1, gain=1.0)
            self.low_entry = nn.Sequential(look, ChannelsLast())
            self.low_head = ProjectionHead(body.features, None)

    def forward(self, x_BCHW: Tensor, condition: Condition, low_BChh: Tensor | None = None) -> Judgement:
        """How real pictures are as ones of their class, and small ones, where given, as such.

        With `model.low_resolution`, small pictures belong to every step: DDP waits for their gradients.
        Raises ValueError where small pictures are given to a discriminator without that way in.
        """
        judgement: Judgement = self.head(self._phi(self.entry(x_BCHW), self.stages), condition)
        if low_BChh is None:
            return judgement
        if self.low_entry is None or self.low_head is None:
            raise ValueError("low_BChh given to a discriminator built without model.low_resolution")
        below = list(self.stages)[len(self.stages) - self.low_level :]
        low: Judgement = self.low_head(self._phi(self.low_entry(low_BChh), below), condition)
        return judgement._replace(low_logits_B=low.logits_B)

    def _phi(self, features_BCHW: Tensor, stages: Iterable[nn.Module]) -> Tensor:
        for stage in stages:
            features_BCHW = stage(features_BCHW)
        phi_BF: Tensor = self.end(features_BCHW)
        return phi_BF

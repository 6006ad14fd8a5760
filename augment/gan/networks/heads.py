"""The discriminator's ends: from features to logits, with the class projected, concatenated or guessed.

Owns the heads. Knows nothing of the layers before them. To add one, write its class and an entry of `_HEADS`.
A head maps (phi_BF, condition) to a `Judgement`. All of it is computed in float32: the losses take
differences of logits, which bf16 would round away.

B = samples, F = features, E = class embedding, K = classes.
"""

import math
from collections.abc import Callable, Mapping

import torch
from torch import Tensor, nn

from augment.gan.config import ModelConfig
from augment.gan.networks.interface import Condition, Judgement
from augment.gan.networks.layers import Activation, linear

__all__ = ["AuxiliaryHead", "ConcatenationHead", "ProjectionHead", "head_of"]


class ProjectionHead(nn.Module):
    """f(x, y) = λ·yᵀVφ(x) + ψ(φ(x)), ψ affine (Miyato & Koyama 2018, eq. 4); without classes, ψ alone.

    λ is the condition's strength (transitional training, Shahbazi et al. 2022).
    """

    def __init__(self, features: int, classes: int | None) -> None:
        super().__init__()
        scale = 1.0 / math.sqrt(features)  # unit features give unit logits
        self.psi = nn.Parameter(scale * torch.randn(features))
        self.bias = nn.Parameter(torch.zeros(()))
        self.class_direction = None if classes is None else nn.Embedding(classes, features)
        if self.class_direction is not None:
            nn.init.normal_(self.class_direction.weight, 0.0, scale)

    def forward(self, phi_BF: Tensor, condition: Condition) -> Judgement:
        """How real each image is as one of its class."""
        with torch.autocast(phi_BF.device.type, enabled=False):
            direction: Tensor = self.psi
            if self.class_direction is not None:
                direction = direction + self.class_direction(condition.class_B) * condition.strength
            logits_B = (phi_BF.float() * direction).sum(1) + self.bias
            return Judgement(logits_B=logits_B, class_logits_BK=None, low_logits_B=None)


class ConcatenationHead(nn.Module):
    """f(x, y) = ψ(h(φ(x), λ·e_y)), h one hidden layer over features and embedding (Mirza & Osindero 2014)."""

    def __init__(self, features: int, classes: int, embedding_dim: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, embedding_dim)
        self.hidden = nn.Sequential(linear(features + embedding_dim, features), Activation())
        self.psi = ProjectionHead(features, None)

    def forward(self, phi_BF: Tensor, condition: Condition) -> Judgement:
        """How real each image is as one of its class."""
        with torch.autocast(phi_BF.device.type, enabled=False):
            embedding_BE = self.embedding(condition.class_B) * condition.strength
            hidden_BF = self.hidden(torch.cat([phi_BF.float(), embedding_BE], dim=1))
            judgement: Judgement = self.psi(hidden_BF, condition)
            return judgement


class AuxiliaryHead(nn.Module):
    """A classifier of φ(x) beside ψ(φ(x)): the class is not shown but guessed (Odena et al. 2017).

    `projected`: the class is shown as well, by a projection; the classifier then keeps labels clean where the
    projection, which compares images of one class, lets neighbours blend. The condition's strength has no part in
    the classifier; its loss is weighed by it.
    """

    def __init__(self, features: int, classes: int, *, projected: bool) -> None:
        super().__init__()
        self.psi = ProjectionHead(features, classes if projected else None)
        self.classifier = linear(features, classes, gain=1.0)

    def forward(self, phi_BF: Tensor, condition: Condition) -> Judgement:
        """How real each image is (as one of its class, where projected), and of which class it seems."""
        with torch.autocast(phi_BF.device.type, enabled=False):
            judgement: Judgement = self.psi(phi_BF, condition)
            return judgement._replace(class_logits_BK=self.classifier(phi_BF.float()))


_HEADS: Mapping[str, Callable[[ModelConfig, int, int], nn.Module]] = {
    "projection": lambda model, features, classes: ProjectionHead(features, classes),
    "concatenation": lambda model, features, classes: ConcatenationHead(
        features, classes, model.embedding_dim
    ),
    "auxiliary": lambda model, features, classes: AuxiliaryHead(features, classes, projected=False),
    "projection+auxiliary": lambda model, features, classes: AuxiliaryHead(features, classes, projected=True),
}


def head_of(model: ModelConfig, features: int, classes: int) -> nn.Module:
    """The head that `model` asks for; an unconditional one is ψ alone, whatever its kind."""
    if not model.conditional:
        return ProjectionHead(features, None)
    return _HEADS[model.discriminator_conditioning](model, features, classes)

"""Where the class enters: concatenated to the generator's latent, projected in the discriminator.

Owns the two conditional ends and their unconditional forms. Knows nothing of the layers between them.

B = samples in the batch, D = latent, E = class embedding, F = features, K = classes.
"""

import math

import torch
from torch import Tensor, nn

from augment.gan.config import ModelConfig

__all__ = ["LatentInput", "ProjectionHead"]


class LatentInput(nn.Module):
    """(z_BD, class_B) → the generator's input [B, D + E]: latent and class embedding side by side."""

    def __init__(self, model: ModelConfig, classes: int) -> None:
        super().__init__()
        self.embedding = nn.Embedding(classes, model.embedding_dim) if model.conditional else None
        self.width = model.latent_dim + (model.embedding_dim if model.conditional else 0)

    def forward(self, z_BD: Tensor, class_B: Tensor, embedding_noise_BE: Tensor | None) -> Tensor:
        """The noise, where given, moves the embedding (Rangwani et al. 2023): near classes meet."""
        if self.embedding is None:
            return z_BD
        embedding_BE = self.embedding(class_B)
        if embedding_noise_BE is not None:
            embedding_BE = embedding_BE + embedding_noise_BE
        return torch.cat([z_BD, embedding_BE], dim=1)


class ProjectionHead(nn.Module):
    """f(x, y) = yᵀVφ(x) + ψ(φ(x)), ψ affine (Miyato & Koyama 2018, eq. 4); without classes, ψ alone."""

    def __init__(self, features: int, classes: int, *, conditional: bool) -> None:
        super().__init__()
        scale = 1.0 / math.sqrt(features)  # unit features give unit logits
        self.psi = nn.Parameter(scale * torch.randn(features))
        self.bias = nn.Parameter(torch.zeros(()))
        self.class_direction = nn.Embedding(classes, features) if conditional else None
        if self.class_direction is not None:
            nn.init.normal_(self.class_direction.weight, 0.0, scale)

    def forward(self, phi_BF: Tensor, class_B: Tensor) -> Tensor:
        """Logits [B] in float32: the losses take their differences, which bf16 would round away."""
        with torch.autocast(phi_BF.device.type, enabled=False):
            direction: Tensor = self.psi
            if self.class_direction is not None:
                direction = direction + self.class_direction(class_B)
            return (phi_BF.float() * direction).sum(1) + self.bias

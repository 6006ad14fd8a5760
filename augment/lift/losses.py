"""The losses of the arms: cross-entropy and balanced softmax, with hard or soft labels and weights a row.

Owns the formulas. Knows neither arms nor networks.

B = rows of a batch, K = classes.
"""

import torch
from torch import Tensor
from torch.nn import functional as F

__all__ = ["balanced_softmax", "soft_cross_entropy", "weighted_mean"]


def balanced_softmax(logits_BK: Tensor, class_B: Tensor, prior_K: Tensor) -> Tensor:
    """−log(π_y e^{η_y} / Σ_i π_i e^{η_i}), a loss a row [B] (Ren et al. 2020, eq. 3 and 4, with π = n / Σ n).

    The logits of the trained network are those of balanced classes, and are used as they are. With a uniform
    prior it is cross-entropy. A class of prior 0 is never asked for and never predicted from.
    """
    return F.cross_entropy(logits_BK + prior_K.log(), class_B, reduction="none")


def soft_cross_entropy(logits_BK: Tensor, soft_BK: Tensor) -> Tensor:
    """−Σ_i p_i log softmax(η)_i, a loss a row [B]: distillation at temperature 1 (Hinton et al. 2015, section 2).

    No prior is added: the teachers' probabilities are of balanced classes already.
    """
    return -(soft_BK * torch.log_softmax(logits_BK, 1)).sum(1)


def weighted_mean(loss_B: Tensor, weight_B: Tensor) -> Tensor:
    """Σ w ℓ / Σ w: a smaller weight gives the other rows more, and leaves the size of a step as it is."""
    return (weight_B * loss_B).sum() / weight_B.sum()

"""NoisyTwins: a class's mapped latents kept from falling together, by comparing twins.

Two copies of the same latents and classes, whose class embeddings carry different noise, are mapped to w:
twins should agree in every dimension of w, and no two dimensions should say the same ("NoisyTwins:
class-consistent and diverse image generation through StyleGANs", Rangwani et al., CVPR 2023).

Owns the loss. Knows neither the noise nor the mapping network.

B = pairs of twins, W = dimensions of w.
"""

from torch import Tensor
from torch.nn.functional import batch_norm

__all__ = ["barlow_twins"]


def barlow_twins(w1_BW: Tensor, w2_BW: Tensor, *, off_diagonal: float = 0.05) -> Tensor:
    """Σ_i (1 − C_ii)² + λ Σ_i Σ_{j≠i} C_ij², a scalar (Zbontar et al. 2021, "Barlow Twins", eq. 1).

    C_ij is the correlation over the batch of dimension i of one twin with dimension j of the other (eq. 2),
    of w standardised as NoisyTwins' code does it: biased variance plus 1e-5. As there, nothing is divided by
    W: its weights, 0.01 for the loss and λ = 0.05 (CIFAR10-LT), are for W = 512. Needs B ≥ 2 and, for C to
    mean anything, B well above it; to run outside autocast.
    """
    z1_BW = batch_norm(w1_BW.float(), None, None, training=True)
    z2_BW = batch_norm(w2_BW.float(), None, None, training=True)
    correlation_WW = z1_BW.mT @ z2_BW / len(z1_BW)
    diagonal_W = correlation_WW.diagonal()
    agreement = (1 - diagonal_W).square().sum()
    redundancy = correlation_WW.square().sum() - diagonal_W.square().sum()
    return agreement + off_diagonal * redundancy

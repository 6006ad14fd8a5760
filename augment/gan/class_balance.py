"""How much each class counts where rare classes need more: the effective number of its images.

Owns E_n and the weights made of it, which scale gSR and NoisyTwins' embedding noise. Knows no tensor, and
not which images are drawn: that is `labels`.

K = classes.
"""

import numpy as np
import numpy.typing as npt

from augment.errors import ConfigError, InputError

__all__ = ["effective_number", "effective_number_weights"]


def effective_number(counts_K: npt.ArrayLike, beta: float) -> npt.NDArray[np.float64]:
    """E_n = (1 − β^n) / (1 − β), float64 [K] (Cui et al. 2019, "Class-balanced loss", proposition 1).

    β = (N − 1)/N says that a class has N distinct looks: E_n runs from n, while they are few, to N. 0 for a
    class without images. Raises ConfigError where β is not in [0, 1).
    """
    if not 0 <= beta < 1:
        raise ConfigError(f"the effective number of samples needs 0 ≤ β < 1, not β={beta}; 0.99 is usual")
    counts_K = np.asarray(counts_K, dtype=np.float64)
    return np.asarray((1 - np.power(beta, counts_K)) / (1 - beta), dtype=np.float64)


def effective_number_weights(counts_K: npt.ArrayLike, beta: float = 0.99) -> npt.NDArray[np.float64]:
    """λ_c = κ / E_n with κ = C / Σ_c 1/E_n, float64 [K]: the rarer the class, the larger.

    The form of gSR (Rangwani et al. 2022) and NoisyTwins (Rangwani et al. 2023), in whose code κ is K. C
    counts the classes with images: their λ average 1, and a class without images gets 0. Raises InputError
    where no class has an image, ConfigError where β is not in [0, 1).
    """
    effective_K = effective_number(counts_K, beta)
    present_K = effective_K > 0
    if not present_K.any():
        raise InputError("no class has an image: there is nothing to weigh")
    inverse_K = np.divide(1.0, effective_K, out=np.zeros_like(effective_K), where=present_K)
    return np.asarray(inverse_K * (present_K.sum() / inverse_K.sum()), dtype=np.float64)

"""Near copies: does a generator give back its training images?

Owns the measure. An image is a near copy of a training image where it lies as close to one as hardly any
held-out real image does: what 'close' means is read off real images of the same class, never set by hand.
Knows neither images nor where features come from; distances in pixels serve as well as those of a network.

N, M, H = generated, training and held-out vectors of one class, F = features.
"""

import math
from collections.abc import Iterable

import numpy as np
import numpy.typing as npt

from augment.errors import ConfigError, InputError
from augment.quality.distances import Features, Nearest, nearest
from augment.types import Record

__all__ = ["NearCopies", "Nearest", "Share", "near_copies", "nearest", "nearest_distance", "pool"]

_Z_95 = 1.959963984540054  # the normal distribution's 97.5% quantile


class Share(Record):
    """`count` of `total`, total ≥ 1, with its 95% confidence interval."""

    count: int
    total: int

    @property
    def value(self) -> float:
        """The share, 0 to 1."""
        return self.count / self.total

    @property
    def interval(self) -> tuple[float, float]:
        """The score interval (Wilson 1927): it holds for shares near 0, and for few images."""
        n, z2 = self.total, _Z_95**2
        centre = (self.value + z2 / (2 * n)) / (1 + z2 / n)
        half = _Z_95 / (1 + z2 / n) * math.sqrt(self.value * (1 - self.value) / n + z2 / (4 * n * n))
        return max(0.0, centre - half), min(1.0, centre + half)


class NearCopies(Record):
    """Near copies of training images among generated and among held-out real images."""

    threshold: float | None  # the distance up to which an image is one; None for several classes together
    generated: Share
    heldout: Share

    @property
    def copies(self) -> bool:
        """Whether near copies are more frequent among generated images, by more than chance explains."""
        return self.generated.interval[0] > self.heldout.value


def nearest_distance(query_NF: Features, reference_MF: Features) -> npt.NDArray[np.float32]:
    """Euclidean distance of each query to its nearest reference, float32 [N]; over all references."""
    return nearest(query_NF, reference_MF).distance_N


def near_copies(
    generated_NF: Features, training_MF: Features, heldout_HF: Features, *, quantile: float = 0.01
) -> NearCopies:
    """Near copies in one class: those no farther from a training image than the threshold.

    The threshold is the `quantile` (0 to 1) of the held-out images' distances to their nearest training
    image, one of these distances: so the held-out share is about `quantile`, and with fewer than
    1 / `quantile` held-out images it is one image, the nearest. A generator that draws from the real
    distribution has the same share in expectation, one that copies has more. `pool` adds classes up.

    Copies that are mirrored or shifted lie as far away as the features make them: to find those as well, add
    the training images' mirrored and shifted versions to `training_MF`, which moves the threshold alike.

    Raises InputError where a set is empty, ConfigError where `quantile` is none.
    """
    if not 0 <= quantile <= 1:
        raise ConfigError(f"quantile={quantile} must be between 0 and 1")
    heldout_H = nearest_distance(heldout_HF, training_MF)
    generated_N = nearest_distance(generated_NF, training_MF)
    threshold = np.quantile(heldout_H, quantile, method="lower")
    return NearCopies(
        threshold=float(threshold),
        generated=_share(generated_N <= threshold),
        heldout=_share(heldout_H <= threshold),
    )


def pool(classes: Iterable[NearCopies]) -> NearCopies:
    """The classes together, each image judged by its own class's threshold; needs at least one class."""
    known = list(classes)
    if not known:
        raise InputError("near copies: no class to add up")
    return NearCopies(
        threshold=known[0].threshold if len(known) == 1 else None,
        generated=_sum([each.generated for each in known]),
        heldout=_sum([each.heldout for each in known]),
    )


def _share(hit_N: npt.NDArray[np.bool_]) -> Share:
    return Share(count=int(hit_N.sum()), total=len(hit_N))


def _sum(shares: list[Share]) -> Share:
    return Share(count=sum(share.count for share in shares), total=sum(share.total for share in shares))

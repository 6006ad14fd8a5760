"""Which generated images of one class repeat another: what is kept is remembered, and each new one compared.

Owns the rule: of two images that are nearer than the class's limit, in pixels or in features, the later one
repeats the earlier, if that was kept itself. So what is refused depends on the images and their order alone, not
on how many are given at a time. Knows neither where limits come from nor any other gate.

B = candidates, T = candidates of a tile, H, W, C = rows, columns, channels, E = members of the ensemble, F = features,
R = real images of the class, V = views, D = numbers of a small picture, P = pairs.
"""

import numpy as np
import numpy.typing as npt

from augment.quality.gate_records import KeeperInfo
from augment.quality.neighbours import Gathering, pair_distances
from augment.quality.pixel_views import coarse_basis, middle_views, shifted_views

__all__ = ["Repeats"]

_TILE = 64  # candidates compared at a time: each is seen in up to 36 views

Indices = npt.NDArray[np.int64]
Pixels = npt.NDArray[np.uint8]
Singles = npt.NDArray[np.float32]


class Repeats:
    """The samples of one class that were kept so far. Not for two threads at once.

    `middle_RD` and `features_ERF` of the class's real images say about where new ones will lie, and decide nothing.
    """

    def __init__(
        self,
        info: KeeperInfo,
        middle_RD: Singles,
        features_ERF: Singles,
        *,
        most_pixels: float,
        most_features: float,
    ) -> None:
        self._info = info
        self._most_pixels, self._most_features = most_pixels, most_features
        self._kept = _Kept(
            Gathering(
                middle_RD.mean(0, dtype=np.float64), coarse_basis(info.image.size, info.image.channels)
            ),
            [Gathering(center_F) for center_F in features_ERF.mean(1, dtype=np.float64)],
        )

    def refuse(self, pixels_BHWC: Pixels, features_EBF: Singles) -> npt.NDArray[np.bool_]:
        """Which of these candidates repeat one that is kept or an earlier one of them; the others are kept from now on.

        Give those that every gate let pass, in their order, with what the verdicts say of their features.
        """
        repeats_B = np.zeros(len(pixels_BHWC), np.bool_)
        for first in range(0, len(pixels_BHWC), _TILE):
            rows = slice(first, first + _TILE)
            repeats_B[rows] = self._tile(pixels_BHWC[rows], features_EBF[:, rows])
        return repeats_B

    def _tile(self, pixels_THWC: Pixels, features_ETF: Singles) -> npt.NDArray[np.bool_]:
        new = _Pictures.of(pixels_THWC, features_ETF, self._info)
        repeats_T = np.zeros(len(pixels_THWC), np.bool_)
        before = self._kept.count
        self._kept.add(new)
        # In order of the later one: of an earlier one it is known by then whether it stays.
        for later, other in zip(*self._pairs(new, self._kept), strict=True):
            earlier = other - before
            if earlier < 0 or (earlier < later and not repeats_T[earlier]):
                repeats_T[later] = True
        self._kept.drop(before + np.flatnonzero(repeats_T))
        return repeats_T

    def _pairs(self, new: "_Pictures", kept: "_Kept") -> tuple[Indices, Indices]:
        """Numbers of new and of kept images that are near to one another, by that of the new one."""
        new_P, kept_P = kept.pixels.within(new.views_TVD, self._most_pixels)
        near = [new_P * kept.count + kept_P]
        # Where the mean of the members' distances is below the limit, one member's is.
        for features_TF, gathering in zip(new.features_ETF, kept.features_E, strict=True):
            new_P, kept_P = gathering.within(features_TF[:, None], self._most_features)
            near.append((new_P * kept.count + kept_P)[self._near_in_features(new, new_P, kept, kept_P)])
        return np.divmod(np.unique(np.concatenate(near)), max(1, kept.count))

    def _near_in_features(
        self, new: "_Pictures", new_P: Indices, kept: "_Kept", kept_P: Indices
    ) -> npt.NDArray[np.bool_]:
        pairs = zip(new.features_ETF, kept.features_E, strict=True)
        distance_EP = [pair_distances(new_TF[new_P], known.vectors_MF[kept_P]) for new_TF, known in pairs]
        return np.asarray(np.mean(distance_EP, axis=0) < self._most_features)


class _Pictures:
    """What is compared of some candidates."""

    def __init__(self, views_TVD: Singles, middle_TD: Singles, features_ETF: Singles) -> None:
        self.views_TVD, self.middle_TD, self.features_ETF = views_TVD, middle_TD, features_ETF

    @classmethod
    def of(cls, pixels_THWC: Pixels, features_ETF: Singles, info: KeeperInfo) -> "_Pictures":
        flips = {"horizontal_flip": info.horizontal_flip, "vertical_flip": info.vertical_flip}
        return cls(shifted_views(pixels_THWC, **flips), middle_views(pixels_THWC), features_ETF)


class _Kept:
    """Images that others are compared with."""

    def __init__(self, pixels: Gathering, features_E: list[Gathering]) -> None:
        self.pixels, self.features_E = pixels, features_E
        self.count = 0

    def add(self, more: _Pictures) -> None:
        """Put more behind those that are there."""
        self.pixels.add(more.middle_TD)
        for features_TF, gathering in zip(more.features_ETF, self.features_E, strict=True):
            gathering.add(features_TF)
        self.count += len(more.middle_TD)

    def drop(self, numbers: Indices) -> None:
        """Forget these."""
        for gathering in (self.pixels, *self.features_E):
            gathering.drop(numbers)
        self.count -= len(numbers)

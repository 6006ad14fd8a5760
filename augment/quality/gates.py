"""The quality gates: which generated candidate may be committed, and which gate refused it.

Owns the gates' scores, their order and the verdict. Limits come from elsewhere (augment.quality.calibration),
and so do a discriminator's scores. A verdict depends on the candidate and its class alone: not on the batch, its
size or its order. The one question that needs company, whether a generated image repeats another, is one of
its own: `GateKeeper.repeats`. Knows no GAN.

B = candidates, H, W, C = rows, columns, channels, G = gates, E = members of the ensemble, R = real images
kept for reference, F = features, D = numbers of a small picture, V = its views, K = classes.
"""

from collections.abc import Collection
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from augment.errors import ConfigError, InputError
from augment.quality.gate_file import parts_from_bytes, parts_to_bytes
from augment.quality.gate_names import GATES
from augment.quality.gate_records import KeeperInfo, KeeperParts, References, Verdicts
from augment.quality.neighbours import NearestSearch
from augment.quality.pixel_views import shifted_views
from augment.quality.repeats import Repeats
from augment.quality.thresholds import class_means, lower_limits

__all__ = ["GATES", "GateKeeper", "Verdicts"]

_COPY_PIXELS, _COPY_FEATURES, _LABEL, _FAR_FEATURES, _FAR_PIXELS, _DISCRIMINATOR = range(len(GATES))
_CPU = torch.device("cpu")
_BLOCK = 256  # candidates whose views are in memory at a time: there are up to 36 of each


class GateKeeper:
    """Frozen limits, the ensemble and the real images behind them. Not for two threads at once."""

    def __init__(self, parts: KeeperParts) -> None:
        self.parts = parts
        self._references = parts.references
        self._limits = parts.limits
        self._searches: dict[int, _ClassSearch] = {}  # of the classes that were asked for

    @property
    def info(self) -> KeeperInfo:
        """What decided this keeper."""
        return self.parts.info

    @property
    def judged_classes(self) -> tuple[int, ...]:
        """Class indices of which candidates can be judged, ascending."""
        return tuple(np.unique(self._references.class_index_R).tolist())

    @property
    def uses_discriminator(self) -> bool:
        """Whether `judge` needs a discriminator's scores."""
        return bool(np.isfinite(self._limits.low_KG[:, _DISCRIMINATOR]).any())

    def judge(
        self,
        pixels_BHWC: npt.NDArray[np.uint8],
        class_index_B: npt.NDArray[np.int64],
        *,
        discriminator_B: npt.NDArray[np.floating] | None = None,
        gates: Collection[str] = GATES,
    ) -> Verdicts:
        """Verdicts on uint8 candidates, each of the class that it was asked to be, by these gates alone.

        `discriminator_B` are the discriminator's scores, higher for more real: needed where
        `uses_discriminator`, and else recorded only. Raises InputError where the arrays don't fit or a class
        is not judged.
        """
        self._check(pixels_BHWC, class_index_B)
        if discriminator_B is None and self.uses_discriminator and "discriminator" in gates:
            raise InputError("these gates judge by a discriminator's scores too: pass discriminator_B")
        if discriminator_B is not None and discriminator_B.shape != class_index_B.shape:
            raise InputError(
                f"{len(class_index_B)} candidates have {list(discriminator_B.shape)} discriminator scores"
            )
        scores_BG, nearest_position_B, features_EBF = self._scores(pixels_BHWC, class_index_B)
        if discriminator_B is not None:
            scores_BG[:, _DISCRIMINATOR] = discriminator_B
        refused_BG = scores_BG < self._limits.low_KG[class_index_B]
        refused_BG |= scores_BG > self._limits.high_KG[class_index_B]
        if self.uses_discriminator:  # a score that is no number passes no gate
            refused_BG[:, _DISCRIMINATOR] |= np.isnan(scores_BG[:, _DISCRIMINATOR])
        refused_BG &= np.isin(GATES, list(gates))
        return Verdicts(
            refused_by_B=np.where(refused_BG.any(1), refused_BG.argmax(1), -1),
            scores_BG=scores_BG,
            nearest_position_B=nearest_position_B,
            features_EBF=features_EBF,
        )

    def repeats(self, class_index: int) -> Repeats:
        """Refuses accepted candidates of this class that repeat another, by the class's limits; nothing is kept yet.

        Raises InputError where the class is not judged.
        """
        self._check_classes(np.array([class_index]))
        rows = self._references.rows(class_index)
        return Repeats(
            self.info,
            self._references.middle_RD[rows],
            self._references.features_ERF[:, rows],
            most_pixels=float(self._limits.duplicate_pixels_K[class_index]),
            most_features=float(self._limits.duplicate_features_K[class_index]),
        )

    def with_discriminator(
        self, real_score_N: npt.NDArray[np.floating], class_index_N: npt.NDArray[np.int64]
    ) -> "GateKeeper":
        """The same gates and one that asks a discriminator, its limits from real images' scores.

        Scores are higher for more real and compare within a class alone: a constant added to all scores of a
        class, and to its candidates', changes no verdict. Scores of real images that the discriminator was not
        trained on make honest limits (Turner et al. 2019 hold a tenth out to calibrate on); those of training
        images, which it knows by heart, refuse far more than `discriminator_quantile` where a class is small.
        Raises InputError where a judged class has no score or the arrays don't fit, ConfigError where the
        quantile is 0.
        """
        config = self.info.config
        if config.discriminator_quantile == 0:
            raise ConfigError(
                "discriminator_quantile=0 switches the discriminator's gate off: set it above 0"
            )
        if missing := sorted(set(self.judged_classes) - set(np.unique(class_index_N).tolist())):
            raise InputError(f"no real image of the classes {missing} has a discriminator score")
        low_KG = self._limits.low_KG.copy()
        mean_K = class_means(real_score_N, class_index_N, self.info.class_count)
        low_KG[:, _DISCRIMINATOR] = mean_K + lower_limits(
            real_score_N - mean_K[class_index_N],
            class_index_N,
            self.info.class_count,
            quantile=config.discriminator_quantile,
            prior_images=config.prior_images,
        )
        return GateKeeper(replace(self.parts, limits=replace(self._limits, low_KG=low_KG)))

    def to_bytes(self) -> bytes:
        """A safetensors file that describes itself. Equal keepers give equal bytes."""
        return parts_to_bytes(self.parts)

    @classmethod
    def from_bytes(cls, data: bytes, *, sha256: str, device: torch.device = _CPU) -> "GateKeeper":
        """The keeper of a file of `to_bytes`, its classifiers on `device`; opening it runs no code.

        Raises IntegrityError where the file's SHA-256 is not `sha256` (checked before anything is parsed)
        or the file is none of ours.
        """
        return cls(parts_from_bytes(data, sha256=sha256, device=device))

    def _scores(
        self, pixels_BHWC: npt.NDArray[np.uint8], class_index_B: npt.NDArray[np.int64]
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64], npt.NDArray[np.float32]]:
        """All gates' scores, [B, G], the discriminator's NaN; the nearest real image's position, [B]; the features,
        [E, B, F]."""
        scores_BG = np.full((len(pixels_BHWC), len(GATES)), np.nan, np.float32)
        position_B = np.full(len(pixels_BHWC), -1, np.int64)
        look = self.parts.ensemble.look(pixels_BHWC)
        within_B = np.arange(len(pixels_BHWC))
        scores_BG[:, _LABEL] = look.log_probability_ENK[:, within_B, class_index_B].mean(0)
        features_EBF = look.features_ENF / self._references.spread_E[:, None, None]
        for class_index in np.unique(class_index_B).tolist():
            own, search = np.flatnonzero(class_index_B == class_index), self._search(class_index)
            pixels_distance_B, row_B = self._nearest_in_pixels(pixels_BHWC[own], search)
            position_B[own] = self._references.position_R[self._references.rows(class_index)][row_B]
            scores_BG[own, _COPY_PIXELS] = scores_BG[own, _FAR_PIXELS] = pixels_distance_B
            nearest_BK = self._nearest_in_features(features_EBF[:, own], search)
            scores_BG[own, _COPY_FEATURES] = nearest_BK[:, 0]
            scores_BG[own, _FAR_FEATURES] = nearest_BK[:, -1]
        return scores_BG, position_B, features_EBF

    def _search(self, class_index: int) -> "_ClassSearch":
        if class_index not in self._searches:
            self._searches[class_index] = _ClassSearch.of(self._references, class_index)
        return self._searches[class_index]

    def _nearest_in_pixels(
        self, pixels_BHWC: npt.NDArray[np.uint8], search: "_ClassSearch"
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """Distance to the class's nearest real image and its place among those of the class, both [B]."""
        distance_B = np.empty(len(pixels_BHWC), np.float32)
        row_B = np.empty(len(pixels_BHWC), np.int64)
        for first in range(0, len(pixels_BHWC), _BLOCK):
            block = slice(first, first + _BLOCK)
            views_BVD = shifted_views(
                pixels_BHWC[block],
                horizontal_flip=self.info.horizontal_flip,
                vertical_flip=self.info.vertical_flip,
            )
            found = search.pixels.nearest(views_BVD)
            distance_B[block], row_B[block] = found.distance_NK[:, 0], found.index_NK[:, 0]
        return distance_B, row_B

    def _nearest_in_features(
        self, features_EBF: npt.NDArray[np.float32], search: "_ClassSearch"
    ) -> npt.NDArray[np.float32]:
        """Mean over members of the distances to the nearest real images of the class, [B, K], the k-th last."""
        k = min(self.info.config.neighbours, max(1, len(search.pixels) - 1))  # as calibrated
        pairs = zip(search.features_E, features_EBF, strict=True)
        distances = [known.nearest(features_BF[:, None], k).distance_NK for known, features_BF in pairs]
        return np.asarray(np.mean(distances, axis=0, dtype=np.float32))

    def _check(self, pixels_BHWC: npt.NDArray[np.uint8], class_index_B: npt.NDArray[np.int64]) -> None:
        if class_index_B.shape != pixels_BHWC.shape[:1]:
            raise InputError(f"{len(pixels_BHWC)} candidates have {list(class_index_B.shape)} class indices")
        image = self.info.image
        if pixels_BHWC.dtype != np.uint8 or pixels_BHWC.shape[1:] != (image.size, image.size, image.channels):
            raise InputError(
                f"the gates judge uint8 images [B, {image.size}, {image.size}, {image.channels}], "
                f"not {pixels_BHWC.dtype} {list(pixels_BHWC.shape)}"
            )
        self._check_classes(class_index_B)

    def _check_classes(self, class_index_B: npt.NDArray[np.int64]) -> None:
        if unknown := sorted(set(np.unique(class_index_B).tolist()) - set(self.judged_classes)):
            raise InputError(f"the gates were not calibrated for candidates of the classes {unknown}")


@dataclass(frozen=True, slots=True)
class _ClassSearch:
    """The real images of one class, ready to be searched."""

    pixels: NearestSearch
    features_E: tuple[NearestSearch, ...]

    @classmethod
    def of(cls, references: References, class_index: int) -> "_ClassSearch":
        rows = references.rows(class_index)
        features_ERF = references.features_ERF[:, rows]
        return cls(
            NearestSearch(references.middle_RD[rows]),
            tuple(NearestSearch(features_RF) for features_RF in features_ERF),
        )

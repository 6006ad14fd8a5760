"""The quality gates: which generated candidate may be committed, and which gate refused it.

Owns the gates' scores, their order and the verdict. Limits come from elsewhere (augment.quality.calibration),
and so do a discriminator's scores. A verdict depends on the candidate and its class alone: not on the batch, its
size or its order. The one question that needs company, whether a generated image repeats another, is one of
its own: `GateKeeper.duplicates`. Knows no GAN.

B = candidates, H, W, C = rows, columns, channels, G = gates, E = members of the ensemble, R = real images
kept for reference, F = features, D = numbers of a small picture, V = its views, K = classes.
"""

from dataclasses import replace

import numpy as np
import numpy.typing as npt
import torch

from augment.errors import ConfigError, InputError
from augment.quality.distances import Nearest
from augment.quality.gate_file import parts_from_bytes, parts_to_bytes
from augment.quality.gate_records import GATES, KeeperInfo, KeeperParts, Verdicts
from augment.quality.neighbours import all_distances, earlier_duplicates, kth_nearest, nearest_view
from augment.quality.pixel_views import middle_views, shifted_views
from augment.quality.thresholds import lower_limits

__all__ = ["GATES", "GateKeeper", "Verdicts"]

_COPY_PIXELS, _COPY_FEATURES, _LABEL, _FAR_FEATURES, _FAR_PIXELS, _DISCRIMINATOR = range(len(GATES))
_CPU = torch.device("cpu")


class GateKeeper:
    """Frozen limits, the ensemble and the real images behind them. Not for two threads at once."""

    def __init__(self, parts: KeeperParts) -> None:
        self.parts = parts
        self._references = parts.references
        self._limits = parts.limits

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
    ) -> Verdicts:
        """Verdicts on uint8 candidates, each of the class that it was asked to be.

        `discriminator_B` are the discriminator's scores, higher for more real: needed where
        `uses_discriminator`, and else recorded only. Raises InputError where the arrays don't fit or a class
        is not judged.
        """
        self._check(pixels_BHWC, class_index_B)
        if discriminator_B is None and self.uses_discriminator:
            raise InputError("these gates judge by a discriminator's scores too: pass discriminator_B")
        if discriminator_B is not None and discriminator_B.shape != class_index_B.shape:
            raise InputError(
                f"{len(class_index_B)} candidates have {list(discriminator_B.shape)} discriminator scores"
            )
        scores_BG, nearest_position_B = self._scores(pixels_BHWC, class_index_B)
        if discriminator_B is not None:
            scores_BG[:, _DISCRIMINATOR] = discriminator_B
        refused_BG = scores_BG < self._limits.low_KG[class_index_B]
        refused_BG |= scores_BG > self._limits.high_KG[class_index_B]
        if self.uses_discriminator:  # a score that is no number passes no gate
            refused_BG[:, _DISCRIMINATOR] |= np.isnan(scores_BG[:, _DISCRIMINATOR])
        return Verdicts(
            refused_by_B=np.where(refused_BG.any(1), refused_BG.argmax(1), -1),
            scores_BG=scores_BG,
            nearest_position_B=nearest_position_B,
        )

    def duplicates(self, pixels_BHWC: npt.NDArray[np.uint8], class_index: int) -> npt.NDArray[np.int64]:
        """Of each candidate of one class the first earlier one that is kept and near it, or -1, int64 [B].

        The order is that of the rows: give a group's accepted candidates by their sample index. Near in
        pixels or in features, by the class's limits. Raises InputError as `judge` does.
        """
        self._check(pixels_BHWC, np.full(len(pixels_BHWC), class_index, np.int64))
        most_pixels = float(self._limits.duplicate_pixels_K[class_index])
        most_features = float(self._limits.duplicate_features_K[class_index])
        views_BVD = self._views(pixels_BHWC)
        middle_BD = middle_views(pixels_BHWC)
        features_EBF = self.parts.ensemble.look(pixels_BHWC).features_ENF
        features_EBF = features_EBF / self._references.spread_E[:, None, None]

        def near(one_R: npt.NDArray[np.int64], other_S: npt.NDArray[np.int64]) -> npt.NDArray[np.bool_]:
            views_RVD = views_BVD[one_R]
            views_XD = views_RVD.reshape(-1, views_RVD.shape[2])
            pixels_XS = all_distances(views_XD, middle_BD[other_S])
            pixels_RVS = pixels_XS.reshape(*views_RVD.shape[:2], len(other_S))
            features_RS = np.mean(
                [all_distances(features_BF[one_R], features_BF[other_S]) for features_BF in features_EBF],
                axis=0,
            )
            return np.asarray((pixels_RVS.min(1) < most_pixels) | (features_RS < most_features))

        return earlier_duplicates(len(pixels_BHWC), near)

    def with_discriminator(
        self, real_score_N: npt.NDArray[np.floating], class_index_N: npt.NDArray[np.int64]
    ) -> "GateKeeper":
        """The same gates and one that asks a discriminator, its limits from real images' scores.

        Scores are higher for more real, and compare within a class at least. A discriminator knows its training
        images: scores of real images that it was not trained on make honest limits, those of training
        images refuse more than `discriminator_quantile`. Raises InputError where a judged class has no score
        or the arrays don't fit, ConfigError where the quantile is 0.
        """
        config = self.info.config
        if config.discriminator_quantile == 0:
            raise ConfigError(
                "discriminator_quantile=0 switches the discriminator's gate off: set it above 0"
            )
        if missing := sorted(set(self.judged_classes) - set(np.unique(class_index_N).tolist())):
            raise InputError(f"no real image of the classes {missing} has a discriminator score")
        low_KG = self._limits.low_KG.copy()
        low_KG[:, _DISCRIMINATOR] = lower_limits(
            real_score_N,
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
    ) -> tuple[npt.NDArray[np.float32], npt.NDArray[np.int64]]:
        """All gates' scores, [B, G], the discriminator's NaN; and the nearest real image's position, [B]."""
        scores_BG = np.full((len(pixels_BHWC), len(GATES)), np.nan, np.float32)
        position_B = np.full(len(pixels_BHWC), -1, np.int64)
        look = self.parts.ensemble.look(pixels_BHWC)
        within_B = np.arange(len(pixels_BHWC))
        scores_BG[:, _LABEL] = look.log_probability_ENK[:, within_B, class_index_B].mean(0)
        features_EBF = look.features_ENF / self._references.spread_E[:, None, None]
        for class_index in np.unique(class_index_B).tolist():
            own = np.flatnonzero(class_index_B == class_index)
            rows = self._references.rows(class_index)
            k = min(self.info.config.neighbours, max(1, rows.stop - rows.start - 1))  # as calibrated
            nearest = self._nearest_in_pixels(pixels_BHWC[own], rows)
            position_B[own] = self._references.position_R[rows][nearest.index_N]
            scores_BG[own, _COPY_PIXELS] = scores_BG[own, _FAR_PIXELS] = nearest.distance_N
            scores_BG[own, _COPY_FEATURES] = self._feature_distance(features_EBF[:, own], rows, 1)
            scores_BG[own, _FAR_FEATURES] = self._feature_distance(features_EBF[:, own], rows, k)
        return scores_BG, position_B

    def _nearest_in_pixels(self, pixels_BHWC: npt.NDArray[np.uint8], rows: slice) -> Nearest:
        return nearest_view(self._views(pixels_BHWC), self._references.middle_RD[rows])

    def _views(self, pixels_BHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.float32]:
        return shifted_views(
            pixels_BHWC,
            horizontal_flip=self.info.horizontal_flip,
            vertical_flip=self.info.vertical_flip,
        )

    def _feature_distance(
        self, features_EBF: npt.NDArray[np.float32], rows: slice, k: int
    ) -> npt.NDArray[np.float32]:
        """Mean over members of the distance to the k-th nearest of these references, [B]."""
        reference_ERF = self._references.features_ERF[:, rows]
        pairs = zip(features_EBF, reference_ERF, strict=True)
        distances = [kth_nearest(query_BF, reference_RF, k).distance_N for query_BF, reference_RF in pairs]
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
        if unknown := sorted(set(np.unique(class_index_B).tolist()) - set(self.judged_classes)):
            raise InputError(f"the gates were not calibrated for candidates of the classes {unknown}")

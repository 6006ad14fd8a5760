"""Limits for the quality gates, read off the real images once and then frozen.

Owns how a real image is scored so that its score is as honest as a candidate's: its label and features by the
member of the ensemble that did not see it, its distances to the other images of its class. A candidate's scores
are means over members, which vary less than one member's, so that of unseen real images a gate refuses about
its quantile or fewer. Knows neither how limits follow from scores nor what a verdict is.

Everything depends on the set of images, not on their order. Exact copies within a class count once: a copy in
another fold would show a member what it must not see.

N = images, H, W, C = rows, columns, channels, E = members (folds), R = real images kept for reference,
F = features, S = scored images, K = classes, G = gates.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace

import numpy as np
import numpy.typing as npt
import torch

from augment.errors import InputError
from augment.quality.config import GatesConfig
from augment.quality.crossfit import (
    Ensemble,
    EnsembleLook,
    Progress,
    assign_folds,
    fit_ensemble,
    unseen,
)
from augment.quality.gate_names import GATES
from augment.quality.gate_records import KeeperInfo, KeeperParts, Limits, References
from augment.quality.gates import GateKeeper
from augment.quality.neighbours import NearestSearch
from augment.quality.pixel_views import middle_views, shifted_views
from augment.quality.thresholds import class_means, lower_limits, upper_limits
from augment.types import ImageShape, sha256_hex

__all__ = ["calibrate", "folds_of"]

_CPU = torch.device("cpu")
_MOST_SCORED = 2_000  # real images a class whose distances are measured, to all others of the class
_BLOCK = 128  # of them at a time: their shifted views take memory


def calibrate(
    pixels_NHWC: npt.NDArray[np.uint8],
    class_index_N: npt.NDArray[np.int64],
    class_count: int,
    config: GatesConfig,
    seed: int,
    progress: Progress | None = None,
    *,
    judged_classes: Sequence[int] | None = None,
    horizontal_flip: bool = False,
    vertical_flip: bool = False,
    device: torch.device = _CPU,
) -> GateKeeper:
    """Gates for candidates of `judged_classes` (None: all) from square uint8 images with 1 or 3 channels.

    The flips are those that training may use: classifiers are fitted with them, and a mirrored copy is a
    copy. `progress` is told what is done ("classifiers" in steps, "distances" in classes), how much of it,
    and of how much. Classes that are not judged still teach the classifiers what a judged one is not.

    Raises InputError where a judged class has no image, no judged class has two different ones, or the images
    cannot be fitted to; DivergenceError where a classifier's loss is not finite.
    """
    judged = sorted(set(range(class_count) if judged_classes is None else judged_classes))
    image = _check(pixels_NHWC, class_index_N, class_count, judged)
    real = _distinct(pixels_NHWC, class_index_N)
    fold_N = assign_folds(real.class_index_N, config.folds, seed)
    ensemble = fit_ensemble(
        real.pixels_NHWC,
        real.class_index_N,
        class_count,
        fold_N,
        config=config,
        seed=seed,
        horizontal_flip=horizontal_flip,
        vertical_flip=vertical_flip,
        device=device,
        progress=progress,
    )
    info = KeeperInfo(
        config=config,
        image=image,
        class_count=class_count,
        seed=seed,
        horizontal_flip=horizontal_flip,
        vertical_flip=vertical_flip,
    )
    look = ensemble.look(real.pixels_NHWC)
    references = _references(real, look, judged)
    own_N = np.flatnonzero(np.isin(real.class_index_N, judged))
    scores = _distances(real.pixels_NHWC[own_N], references, fold_N[own_N], info, progress)
    limits = _limits(_label_scores(look, real.class_index_N, fold_N), scores, info)
    return GateKeeper(_judging(KeeperParts(info, ensemble, references, limits)))


def folds_of(
    pixels_NHWC: npt.NDArray[np.uint8], class_index_N: npt.NDArray[np.int64], folds: int, seed: int
) -> npt.NDArray[np.int64]:
    """The fold that `calibrate` puts each of these images in, int64 [N]: member e of its ensemble saw none of
    fold e. -1 is no fold; copies of an image are in its fold.
    """
    keys = _keys(pixels_NHWC, class_index_N)
    place_of = {key: place for place, key in enumerate(sorted(set(keys)))}  # in the order of `_distinct`
    class_index_D = np.array([class_index for class_index, _ in place_of], np.int64)
    place_N = np.array([place_of[key] for key in keys], np.int64)
    return assign_folds(class_index_D, folds, seed)[place_N]


@dataclass(frozen=True, slots=True)
class _Real:
    """Different images, class after class, in an order that their pixels alone decide."""

    pixels_NHWC: npt.NDArray[np.uint8]
    class_index_N: npt.NDArray[np.int64]
    position_N: npt.NDArray[np.int64]  # in the caller's array; of copies the first


@dataclass(frozen=True, slots=True)
class _Scores:
    """One number for each of S real images, and their classes."""

    value_S: npt.NDArray[np.floating]
    class_index_S: npt.NDArray[np.int64]

    def positive(self) -> "_Scores":
        """Those above 0: two images at distance 0 are one, and say nothing of how near two may come.

        Raises InputError where there is none.
        """
        above_S = self.value_S > 0
        if not above_S.any():
            raise InputError(
                "every real image of the judged classes is a copy of another, shifted or mirrored at most: "
                "gates have no measure; leave the copies out"
            )
        return _Scores(self.value_S[above_S], self.class_index_S[above_S])


def _distinct(pixels_NHWC: npt.NDArray[np.uint8], class_index_N: npt.NDArray[np.int64]) -> _Real:
    first: dict[tuple[int, str], int] = {}
    for position, key in enumerate(_keys(pixels_NHWC, class_index_N)):
        first.setdefault(key, position)
    position_N = np.array([first[key] for key in sorted(first)], np.int64)
    return _Real(pixels_NHWC[position_N], class_index_N[position_N], position_N)


def _keys(pixels_NHWC: npt.NDArray[np.uint8], class_index_N: npt.NDArray[np.int64]) -> list[tuple[int, str]]:
    """What tells images apart: class and pixels."""
    pairs = zip(class_index_N.tolist(), pixels_NHWC, strict=True)
    return [(class_index, sha256_hex(pixels_HWC.tobytes())) for class_index, pixels_HWC in pairs]


def _references(real: _Real, look: EnsembleLook, judged: Sequence[int]) -> References:
    """The judged classes' images, with features in units of the member's spread over all real images."""
    kept_N = np.isin(real.class_index_N, judged)
    variance_E = look.features_ENF.var(1, dtype=np.float64).sum(1)
    spread_E = np.sqrt(np.maximum(variance_E, np.finfo(np.float32).tiny)).astype(np.float32)
    return References(
        class_index_R=real.class_index_N[kept_N],
        position_R=real.position_N[kept_N],
        features_ERF=look.features_ENF[:, kept_N] / spread_E[:, None, None],
        middle_RD=middle_views(real.pixels_NHWC[kept_N]),
        spread_E=spread_E,
    )


def _judging(parts: KeeperParts) -> KeeperParts:
    """Without the members that look at no candidate."""
    references, judges = parts.references, parts.info.config.judges
    return KeeperParts(
        parts.info,
        Ensemble(parts.ensemble.members[:judges]),
        replace(
            references,
            features_ERF=references.features_ERF[:judges],
            spread_E=references.spread_E[:judges],
        ),
        parts.limits,
    )


def _label_scores(
    look: EnsembleLook, class_index_N: npt.NDArray[np.int64], fold_N: npt.NDArray[np.int64]
) -> _Scores:
    """log p(class) of each image that is in a fold, by the member that did not see it."""
    scored_S = np.flatnonzero(fold_N >= 0)
    log_probability_SK = unseen(look.log_probability_ENK[:, scored_S], fold_N[scored_S])
    class_index_S = class_index_N[scored_S]
    return _Scores(log_probability_SK[np.arange(len(scored_S)), class_index_S], class_index_S)


def _distances(
    pixels_RHWC: npt.NDArray[np.uint8],
    references: References,
    fold_R: npt.NDArray[np.int64],
    info: KeeperInfo,
    progress: Progress | None,
) -> dict[str, _Scores]:
    """Leave-one-out distances within each class: `pixels`, `features` (nearest) and `k-th`."""
    parts: dict[str, list[npt.NDArray[np.float32]]] = {"pixels": [], "features": [], "k-th": []}
    classes: list[npt.NDArray[np.int64]] = []
    judged = np.unique(references.class_index_R).tolist()
    for done, class_index in enumerate(judged, start=1):
        rows = references.rows(class_index)
        images = rows.stop - rows.start
        if images > 1:
            # The order within a class is that of the images' digests: the first ones are as good as drawn.
            scored = np.arange(min(images, _MOST_SCORED))
            k = min(info.config.neighbours, images - 1)
            features_ERF = references.features_ERF[:, rows]
            parts["pixels"].append(
                _pixel_distances(pixels_RHWC[rows], references.middle_RD[rows], scored, info)
            )
            nearest_SK = _unseen_distances(features_ERF, fold_R[rows], scored, k)
            parts["features"].append(nearest_SK[:, 0])
            parts["k-th"].append(nearest_SK[:, -1])
            classes.append(np.full(len(scored), class_index, np.int64))
        if progress is not None:
            progress("distances", done, len(judged))
    if not classes:
        raise InputError(f"none of the classes {judged} has two different images: gates have no measure")
    return {name: _Scores(np.concatenate(values), np.concatenate(classes)) for name, values in parts.items()}


def _pixel_distances(
    pixels_NHWC: npt.NDArray[np.uint8],
    middle_ND: npt.NDArray[np.float32],
    scored_S: npt.NDArray[np.int64],
    info: KeeperInfo,
) -> npt.NDArray[np.float32]:
    """Of each scored image the distance to the nearest other one, shifted and mirrored as candidates are."""
    search, distances = NearestSearch(middle_ND), []
    for first in range(0, len(scored_S), _BLOCK):
        block = scored_S[first : first + _BLOCK]
        views = shifted_views(
            pixels_NHWC[block], horizontal_flip=info.horizontal_flip, vertical_flip=info.vertical_flip
        )
        distances.append(search.nearest(views, left_out_N=block).distance_NK[:, 0])
    return np.concatenate(distances)


def _unseen_distances(
    features_ENF: npt.NDArray[np.float32],
    fold_N: npt.NDArray[np.int64],
    scored_S: npt.NDArray[np.int64],
    k: int,
) -> npt.NDArray[np.float32]:
    """Of each scored image the distances to its k nearest other ones, [S, K], as the member sees them that did not
    see the image."""
    distance_SK = np.empty((len(scored_S), k), np.float32)
    for member, features_NF in enumerate(features_ENF):
        own_S = np.flatnonzero(fold_N[scored_S] == member)
        image = scored_S[own_S]
        nearest = NearestSearch(features_NF).nearest(features_NF[image, None], k, left_out_N=image)
        distance_SK[own_S] = nearest.distance_NK
    return distance_SK


def _limits(label: _Scores, distances: dict[str, _Scores], info: KeeperInfo) -> Limits:
    config, classes = info.config, info.class_count
    low_KG = np.full((classes, len(GATES)), -np.inf, np.float32)
    high_KG = np.full((classes, len(GATES)), np.inf, np.float32)
    low_KG[:, GATES.index("label")] = lower_limits(
        label.value_S,
        label.class_index_S,
        classes,
        quantile=config.label_quantile,
        prior_images=config.prior_images,
    )
    # Two gates look for copies, and each takes half of what both may refuse; so with the other pairs.
    duplicate_K = {}
    for name in ("pixels", "features"):
        nearest = _in_units(distances[name], info)
        low_KG[:, GATES.index(f"near-copy-{name}")] = nearest.lower(config.copy_quantile / 2)
        duplicate_K[name] = nearest.lower(config.duplicate_quantile / 2).astype(np.float32)
        high_KG[:, GATES.index(f"in-distribution-{name}")] = _in_units(
            distances["k-th" if name == "features" else name], info
        ).upper(config.distance_quantile / 2)
    if config.band == "approximate":
        scale_K = _in_units(distances["k-th"], info).scale_K
        low_KG[:, GATES.index("in-distribution-features")] = scale_K
        high_KG[:, GATES.index("in-distribution-features")] = 2 * scale_K
    return Limits(
        low_KG=low_KG,
        high_KG=high_KG,
        duplicate_pixels_K=duplicate_K["pixels"],
        duplicate_features_K=duplicate_K["features"],
    )


@dataclass(frozen=True, slots=True)
class _InUnits:
    """Distances > 0 in units of their class's mean, so that one class's serve as another's prior."""

    scores: _Scores
    scale_K: npt.NDArray[np.float64]
    prior_images: float

    def lower(self, quantile: float) -> npt.NDArray[np.float64]:
        """Of each class the distance below which a share `quantile` lies, [K]."""
        return self.scale_K * self._limits(lower_limits, quantile)

    def upper(self, quantile: float) -> npt.NDArray[np.float64]:
        """Of each class the distance above which a share `quantile` lies, [K]."""
        return self.scale_K * self._limits(upper_limits, quantile)

    def _limits(
        self, limits: Callable[..., npt.NDArray[np.float64]], quantile: float
    ) -> npt.NDArray[np.float64]:
        return limits(
            self.scores.value_S,
            self.scores.class_index_S,
            len(self.scale_K),
            quantile=quantile,
            prior_images=self.prior_images,
        )


def _in_units(distance: _Scores, info: KeeperInfo) -> _InUnits:
    known = distance.positive()
    scale_K = class_means(known.value_S, known.class_index_S, info.class_count)
    relative_S = known.value_S / scale_K[known.class_index_S]
    return _InUnits(_Scores(relative_S, known.class_index_S), scale_K, info.config.prior_images)


def _check(
    pixels_NHWC: npt.NDArray[np.uint8],
    class_index_N: npt.NDArray[np.int64],
    class_count: int,
    judged: Sequence[int],
) -> ImageShape:
    shape = pixels_NHWC.shape
    if pixels_NHWC.dtype != np.uint8 or len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (1, 3):
        raise InputError(
            f"gates need square uint8 images [N, H, W, 1 or 3], not {pixels_NHWC.dtype} {list(shape)}"
        )
    if class_index_N.shape != shape[:1]:
        raise InputError(f"{shape[0]} images have {list(class_index_N.shape)} class indices")
    if len(class_index_N) and not 0 <= class_index_N.min() <= class_index_N.max() < class_count:
        raise InputError(
            f"class indices go from {class_index_N.min()} to {class_index_N.max()}, "
            f"outside 0..{class_count - 1}"
        )
    if empty := sorted(set(judged) - set(np.unique(class_index_N).tolist())):
        raise InputError(
            f"the classes with index {empty} have no real image to judge candidates by: "
            "leave them out of what is generated, or add images"
        )
    return ImageShape(size=shape[1], channels=shape[3])

"""A generator's report card: every figure of every class, and overall, each beside what real images reach.

Owns what is on the card and how classes are summed up. The figures' formulas lie in the files beside this
one. Knows neither images nor networks: it is given features, and what a classifier took the images for.
The card is a record, so that it is JSON as it stands. What too few images cannot tell is None.

N = images of any one set, F = features, K = classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.quality.accuracy_score import AccuracyScore
from augment.quality.distances import Features, check_features
from augment.quality.fidelity import Moments, frechet_distance
from augment.quality.intervals import Bounds, clopper_pearson, wilson
from augment.quality.membership import MembershipAttack, Scores, attack, membership_scores, pooled_attack
from augment.quality.memorization import NearCopies, near_copies, nearest_distance, pool
from augment.quality.real_floor import (
    Figure,
    MatchedFigures,
    MatchedSets,
    balanced_mixture,
    matched_figures,
    matched_sets,
)
from augment.types import Record

__all__ = [
    "ClassCard",
    "CopyFigures",
    "DistanceHistogram",
    "LabelledFeatures",
    "OverallCard",
    "ReportCard",
    "ShareFigure",
    "fidelity_report",
]

_BINS = 30
_FEWEST_SCORES = 2  # of members and of held-out images, for an attack


@dataclass(frozen=True, slots=True)
class LabelledFeatures:
    """Feature vectors of N images, their class indices, and the classes that a classifier took them for.

    A generated image's class is the one it was asked to be. `predicted_N` comes from a classifier that was
    fitted to none of these images; None leaves the labels' accuracy out.
    """

    features_NF: Features
    class_index_N: npt.NDArray[np.int64]
    predicted_N: npt.NDArray[np.int64] | None = None


class ShareFigure(Record):
    """A share of the generated images with its interval, and the same of held-out real ones."""

    value: Bounds | None
    floor: Bounds | None


class CopyFigures(Record):
    """Near copies of training images; see `memorization.near_copies`. Intervals are Clopper & Pearson's."""

    threshold: float | None  # None for several classes together
    share: ShareFigure
    copies: bool  # more frequent than among held-out images, by more than chance explains


class DistanceHistogram(Record):
    """How far images lie from their nearest training image: counts between edges, the last one included."""

    edges: tuple[float, ...]
    generated: tuple[int, ...]
    heldout: tuple[int, ...]


class ClassCard(Record):
    """All figures of one class."""

    class_index: int
    name: str
    training: int
    heldout: int
    generated: int
    fidelity: MatchedFigures
    label_accuracy: ShareFigure
    cas: ShareFigure  # recall, taught by synthetic images alone; the floor: taught by real ones
    copies: CopyFigures | None  # these three need held-out images
    nearest: DistanceHistogram | None
    membership: MembershipAttack | None


class OverallCard(Record):
    """All classes together; a mean is over the classes that have both the figure and its floor."""

    frechet: Figure  # of the mixtures in which every class weighs the same
    mean_frechet: Figure
    mean_kernel: Figure
    mean_precision: Figure
    mean_recall: Figure
    mean_density: Figure
    mean_coverage: Figure
    label_accuracy: ShareFigure
    cas: ShareFigure  # accuracy
    balanced_cas: Figure  # balanced accuracy
    copies: CopyFigures | None
    nearest: DistanceHistogram | None  # distances over the median of the class's held-out images
    membership: MembershipAttack | None


class ReportCard(Record):
    """The whole card; classes that were not generated are not on it."""

    feature_space: str  # figures of two spaces don't compare
    overall: OverallCard
    classes: tuple[ClassCard, ...]


@dataclass(frozen=True, slots=True)
class _Judged:
    """One class's card, and what the overall card needs of it."""

    card: ClassCard
    sets: MatchedSets
    near: NearCopies | None
    distances: tuple[Scores, Scores] | None  # to the nearest training image: generated, held-out
    scores: tuple[Scores, Scores] | None  # of membership: members, held-out


def fidelity_report(
    generated: LabelledFeatures,
    training: LabelledFeatures,
    heldout: LabelledFeatures | None,
    class_names: Sequence[str],
    *,
    feature_space: str,
    seed: int,
    cas: AccuracyScore | None = None,
    real_cas: AccuracyScore | None = None,
    membership: bool = True,
) -> ReportCard:
    """The card of generated images against the real ones they were trained on, and real ones held out.

    `class_names[k]` is class k's name; `feature_space` is `FeatureSpace.name`; `seed` draws the bootstrap
    of the membership attack; `real_cas` is the score of a classifier taught by real images. Nearest
    neighbours are sought among all training images, never among a sample. `membership=False` leaves the attack
    out: where the generator was trained on the held-out images too, it would find nothing, and prove nothing.

    Raises InputError where arrays don't fit, nothing was generated, or a generated class has no training
    image.
    """
    for whose, one in (("generated", generated), ("training", training), ("held-out", heldout)):
        if one is not None:
            _check(whose, one, len(class_names))
    present = np.unique(generated.class_index_N).tolist()
    if missing := sorted(set(present) - set(training.class_index_N.tolist())):
        raise InputError(f"generated classes {missing} have no training image to compare with")
    judged = []
    for class_index in present:
        own = None if heldout is None else _of_classes(heldout, [class_index])
        sets = _of_classes(generated, [class_index]), _of_classes(training, [class_index]), own
        recalls = _recalls(class_index, cas, real_cas)
        judged.append(_class_card(class_index, class_names[class_index], *sets, recalls, seed, membership))
    overall = _overall_card(judged, generated, heldout, cas, real_cas, seed)
    return ReportCard(
        feature_space=feature_space, overall=overall, classes=tuple(each.card for each in judged)
    )


def _class_card(
    class_index: int,
    name: str,
    generated: LabelledFeatures,
    training: LabelledFeatures,
    heldout: LabelledFeatures | None,
    recalls: ShareFigure,
    seed: int,
    attacked: bool,
) -> _Judged:
    sets = matched_sets(
        generated.features_NF, training.features_NF, None if heldout is None else heldout.features_NF
    )
    near = distances = scores = membership = None
    if heldout is not None and len(heldout.features_NF):
        near = near_copies(generated.features_NF, training.features_NF, heldout.features_NF)
        distances = (
            nearest_distance(generated.features_NF, training.features_NF).astype(np.float64),
            nearest_distance(heldout.features_NF, training.features_NF).astype(np.float64),
        )
    if attacked and heldout is not None and len(heldout.features_NF):
        scores = (
            membership_scores(training.features_NF, generated.features_NF),
            membership_scores(heldout.features_NF, generated.features_NF),
        )
        if min(len(scores[0]), len(scores[1])) >= _FEWEST_SCORES:
            membership = attack(*scores, seed=seed)
    card = ClassCard(
        class_index=class_index,
        name=name,
        training=len(training.features_NF),
        heldout=0 if heldout is None else len(heldout.features_NF),
        generated=len(generated.features_NF),
        fidelity=matched_figures(sets),
        label_accuracy=ShareFigure(value=_accuracy(generated), floor=_accuracy(heldout)),
        cas=recalls,
        copies=None if near is None else _copy_figures(near),
        nearest=None if distances is None else _histogram(*distances),
        membership=membership,
    )
    return _Judged(card, sets, near, distances, scores)


def _overall_card(
    judged: Sequence[_Judged],
    generated: LabelledFeatures,
    heldout: LabelledFeatures | None,
    cas: AccuracyScore | None,
    real_cas: AccuracyScore | None,
    seed: int,
) -> OverallCard:
    near = [each.near for each in judged if each.near is not None]
    scores = [each.scores for each in judged if each.scores is not None]
    enough = min(sum(len(pair[side]) for pair in scores) for side in (0, 1)) >= _FEWEST_SCORES
    known = [each.card.class_index for each in judged]
    kept = None if heldout is None else _of_classes(heldout, known)
    return OverallCard(
        frechet=_balanced_frechet([each.sets for each in judged]),
        mean_frechet=_macro(judged, lambda fidelity: fidelity.frechet),
        mean_kernel=_macro(judged, lambda fidelity: fidelity.kernel),
        mean_precision=_macro(judged, lambda fidelity: fidelity.precision),
        mean_recall=_macro(judged, lambda fidelity: fidelity.recall),
        mean_density=_macro(judged, lambda fidelity: fidelity.density),
        mean_coverage=_macro(judged, lambda fidelity: fidelity.coverage),
        label_accuracy=ShareFigure(value=_accuracy(generated), floor=_accuracy(kept)),
        cas=ShareFigure(value=cas.accuracy if cas else None, floor=real_cas.accuracy if real_cas else None),
        balanced_cas=Figure(
            value=cas.balanced_accuracy if cas else None,
            floor=real_cas.balanced_accuracy if real_cas else None,
        ),
        copies=_copy_figures(pool(near)) if near else None,
        nearest=_relative_histogram([each.distances for each in judged if each.distances is not None]),
        membership=pooled_attack(scores, seed=seed) if enough else None,
    )


def _balanced_frechet(sets: Sequence[MatchedSets]) -> Figure:
    """FID of class-balanced mixtures, of one set a class; classes with too few vectors are left out."""
    told = [each for each in sets if each.size > 1 and len(each.reference_MF) > 1]
    if not told:
        return Figure(value=None, floor=None)
    reference = balanced_mixture([Moments.of(each.reference_MF) for each in told])
    value = frechet_distance(reference, balanced_mixture([Moments.of(each.generated[0]) for each in told]))
    floor = None
    if all(each.real for each in told):
        floor = frechet_distance(reference, balanced_mixture([Moments.of(each.real[0]) for each in told]))
    return Figure(value=value, floor=floor)


def _macro(judged: Sequence[_Judged], figure: Callable[[MatchedFigures], Figure]) -> Figure:
    figures = [figure(each.card.fidelity) for each in judged]
    known = [
        (each.value, each.floor) for each in figures if each.value is not None and each.floor is not None
    ]
    if not known:
        return Figure(value=None, floor=None)
    value, floor = np.mean(known, axis=0).tolist()
    return Figure(value=value, floor=floor)


def _accuracy(images: LabelledFeatures | None) -> Bounds | None:
    if images is None or images.predicted_N is None or not len(images.predicted_N):
        return None
    return wilson(int((images.predicted_N == images.class_index_N).sum()), len(images.predicted_N))


def _recalls(class_index: int, cas: AccuracyScore | None, real_cas: AccuracyScore | None) -> ShareFigure:
    value, floor = (
        None
        if score is None
        else next(each.recall for each in score.classes if each.class_index == class_index)
        for score in (cas, real_cas)
    )
    return ShareFigure(value=value, floor=floor)


def _copy_figures(near: NearCopies) -> CopyFigures:
    return CopyFigures(
        threshold=near.threshold,
        share=ShareFigure(
            value=clopper_pearson(near.generated.count, near.generated.total),
            floor=clopper_pearson(near.heldout.count, near.heldout.total),
        ),
        copies=near.copies,
    )


def _histogram(generated_N: Scores, heldout_H: Scores) -> DistanceHistogram:
    farthest = max(float(generated_N.max()), float(heldout_H.max()))
    edges = np.linspace(0, farthest or 1.0, _BINS + 1)
    return DistanceHistogram(
        edges=tuple(edges.tolist()),
        generated=tuple(np.histogram(generated_N, edges)[0].tolist()),
        heldout=tuple(np.histogram(heldout_H, edges)[0].tolist()),
    )


def _relative_histogram(distances: Sequence[tuple[Scores, Scores]]) -> DistanceHistogram | None:
    """Of classes whose held-out images are mostly copies there is no unit to measure in: they are left out."""
    units = [float(np.median(heldout_H)) for _, heldout_H in distances]
    known = [(pair, unit) for pair, unit in zip(distances, units, strict=True) if unit > 0]
    if not known:
        return None
    return _histogram(
        np.concatenate([generated_N / unit for (generated_N, _), unit in known]),
        np.concatenate([heldout_H / unit for (_, heldout_H), unit in known]),
    )


def _of_classes(images: LabelledFeatures, class_indices: Sequence[int]) -> LabelledFeatures:
    own_N = np.isin(images.class_index_N, class_indices)
    predicted_N = None if images.predicted_N is None else images.predicted_N[own_N]
    return LabelledFeatures(images.features_NF[own_N], images.class_index_N[own_N], predicted_N)


def _check(whose: str, images: LabelledFeatures, classes: int) -> None:
    check_features(f"report card, {whose} images", images.features_NF)
    rows = images.features_NF.shape[:1]
    if images.class_index_N.shape != rows:
        raise InputError(
            f"{whose} images: {rows[0]} features, {list(images.class_index_N.shape)} class indices"
        )
    if images.predicted_N is not None and images.predicted_N.shape != rows:
        raise InputError(f"{whose} images: {rows[0]} features, {list(images.predicted_N.shape)} predictions")
    if images.class_index_N.min() < 0 or images.class_index_N.max() >= classes:
        raise InputError(
            f"{whose} images: class indices outside 0..{classes - 1}, the classes that have names"
        )

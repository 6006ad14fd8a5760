"""A generator's scores class by class, against real images that are measured once.

Owns what is kept of each class's real images, the scores, and their summary by mean and by worst class: a
figure over all classes hides the one that failed. Knows neither images nor the network behind the features.
What too few images cannot tell is None, never a number.

N = images, F = features, K = classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.quality.distances import Features, check_features
from augment.quality.fidelity import Moments, RealManifold, frechet_distance, kernel_distance
from augment.types import Record

__all__ = ["ClassReference", "ClassScore", "Scores", "Worst", "class_references", "score_classes"]

_NEIGHBOURS = 5  # k of precision, recall, density and coverage, as their authors advise
_MOST_KEPT = 1_000  # real vectors a class for those and for KID, whose cost grows with the square
_FEWEST = 2  # vectors with a covariance


@dataclass(frozen=True, slots=True)
class ClassReference:
    """One class's real images: moments of all of them, and vectors and balls of at most `most_kept`."""

    class_index: int
    n: int
    moments: Moments | None  # None where n < 2
    features_NF: Features
    manifold: RealManifold | None  # None where n ≤ k


class ClassScore(Record):
    """How one class's generated images compare with its real ones; None is 'too few images to tell'."""

    class_index: int
    n_real: int
    n_fake: int
    frechet: float | None  # FID in the features' space, lower is better
    kernel: float | None  # KID, about 0 is best
    precision: float | None
    recall: float | None
    density: float | None
    coverage: float | None
    label_accuracy: float | None  # share that the classifier takes for this class
    spread: float | None  # root mean square distance within, over that of the real ones: 0 is a collapse


class Worst(Record):
    """The worst class of a score."""

    class_index: int
    value: float


class Scores(Record):
    """All classes' scores and their summary; a summary is None where no class has the score."""

    classes: tuple[ClassScore, ...]
    mean_frechet: float | None
    worst_frechet: Worst | None
    worst_recall: Worst | None
    worst_label_accuracy: Worst | None
    worst_spread: Worst | None

    @classmethod
    def of(cls, classes: Sequence[ClassScore]) -> "Scores":
        """The summary; of equally bad classes the first is named."""
        frechet = [score.frechet for score in classes if score.frechet is not None]
        return cls(
            classes=tuple(classes),
            mean_frechet=sum(frechet) / len(frechet) if frechet else None,
            worst_frechet=_worst(classes, lambda score: score.frechet, max),
            worst_recall=_worst(classes, lambda score: score.recall, min),
            worst_label_accuracy=_worst(classes, lambda score: score.label_accuracy, min),
            worst_spread=_worst(classes, lambda score: score.spread, min),
        )


def class_references(
    features_NF: Features,
    class_index_N: npt.NDArray[np.int64],
    classes: Sequence[int],
    *,
    k: int = _NEIGHBOURS,
    most_kept: int = _MOST_KEPT,
) -> tuple[ClassReference, ...]:
    """What scoring needs of the real images of `classes`, class indices in any order and number.

    Of a class with more than `most_kept` images, that many, evenly spaced in their order, stand for it in
    KID and in PRDC; the moments are of all. Raises InputError where features and classes don't fit.
    """
    _check_labelled("the real images", features_NF, class_index_N)
    references = []
    for class_index in classes:
        own_NF = features_NF[class_index_N == class_index]
        n = len(own_NF)
        kept_NF = own_NF[np.arange(most_kept) * n // most_kept] if n > most_kept else own_NF
        references.append(
            ClassReference(
                class_index=class_index,
                n=n,
                moments=Moments.of(own_NF) if n >= _FEWEST else None,
                features_NF=kept_NF,
                manifold=RealManifold(kept_NF, k) if len(kept_NF) > k else None,
            )
        )
    return tuple(references)


def score_classes(
    references: Sequence[ClassReference],
    fake_features_NF: Features,
    fake_probability_NK: npt.NDArray[np.float32],
    fake_class_index_N: npt.NDArray[np.int64],
) -> tuple[ClassScore, ...]:
    """One score for each reference: `fake_class_index_N` is the class that each image was asked to be.

    Features and probabilities are those of `Classifier.look`. Raises InputError where the arrays don't fit
    or an image's class has no reference.
    """
    _check_labelled("the generated images", fake_features_NF, fake_class_index_N)
    if len(fake_probability_NK) != len(fake_features_NF):
        raise InputError(
            f"{len(fake_features_NF)} generated images have {len(fake_probability_NK)} rows of probabilities"
        )
    known = [reference.class_index for reference in references]
    if unknown := set(np.unique(fake_class_index_N).tolist()) - set(known):
        raise InputError(f"generated images of the classes {sorted(unknown)} have no real reference")
    predicted_N = fake_probability_NK.argmax(1)
    scores = []
    for reference in references:
        own_N = fake_class_index_N == reference.class_index
        hits_N = predicted_N[own_N] == reference.class_index
        accuracy = float(hits_N.mean()) if len(hits_N) else None
        scores.append(_score(reference, fake_features_NF[own_N], accuracy))
    return tuple(scores)


def _score(reference: ClassReference, fake_NF: Features, label_accuracy: float | None) -> ClassScore:
    frechet = kernel = spread = prdc = None
    if reference.moments is not None and len(fake_NF) >= _FEWEST:
        moments = Moments.of(fake_NF)
        frechet = frechet_distance(reference.moments, moments)
        kernel = kernel_distance(reference.features_NF, fake_NF)
        spread = moments.spread / reference.moments.spread if reference.moments.spread else None
    if reference.manifold is not None and len(fake_NF) > reference.manifold.k:
        prdc = reference.manifold.prdc(fake_NF)
    return ClassScore(
        class_index=reference.class_index,
        n_real=reference.n,
        n_fake=len(fake_NF),
        frechet=frechet,
        kernel=kernel,
        precision=prdc.precision if prdc else None,
        recall=prdc.recall if prdc else None,
        density=prdc.density if prdc else None,
        coverage=prdc.coverage if prdc else None,
        label_accuracy=label_accuracy,
        spread=spread,
    )


def _worst(
    classes: Sequence[ClassScore],
    value: Callable[[ClassScore], float | None],
    extreme: Callable[[list[float]], float],
) -> Worst | None:
    by_class = [(score.class_index, found) for score in classes if (found := value(score)) is not None]
    if not by_class:
        return None
    worst = extreme([found for _, found in by_class])
    return next(Worst(class_index=index, value=found) for index, found in by_class if found == worst)


def _check_labelled(whose: str, features_NF: Features, class_index_N: npt.NDArray[np.int64]) -> None:
    check_features(whose, features_NF)
    if class_index_N.shape != features_NF.shape[:1]:
        raise InputError(f"{whose}: {len(features_NF)} features, {list(class_index_N.shape)} class indices")

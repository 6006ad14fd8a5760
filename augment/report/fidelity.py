"""How near a run's generated samples come to real images: measured once, while the real images are at hand.

Owns which images are compared and in whose eyes. The figures are augment.quality.report_card's, and what is kept of
them lies in augment.report.fidelity_file.
Only rows of the recipe `gan` are judged: a duplicate is a copy by intention. Knows no Ray.

N = real images, B = samples, F = features.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.quality.calibration import folds_of
from augment.quality.classifier import Classifier
from augment.quality.feature_spaces import ClassifierFeatures
from augment.quality.gates import GateKeeper
from augment.quality.report_card import LabelledFeatures, fidelity_report
from augment.report.fidelity_file import FidelityRecord
from augment.report.first_samples import sample_blocks
from augment.store.reading import CommittedRun, Dataset

__all__ = ["Examiner", "generated_classes", "measure_fidelity"]

_MOST_SAMPLES = 50_000  # over all classes: each is a forward pass
_FEWEST_A_CLASS = 50  # unless `samples` is below it
_HELD_OUT_FOLD = 0
_BLOCK = 4_096  # images

Pixels = npt.NDArray[np.uint8]  # [N, H, W, C]


@dataclass(frozen=True, slots=True)
class Examiner:
    """A classifier of the real images, and which of them it has not seen, bool [N]; None where it saw all."""

    classifier: Classifier
    unseen_N: npt.NDArray[np.bool_] | None

    @classmethod
    def of_gates(
        cls, keeper: GateKeeper, pixels_NHWC: Pixels, class_index_N: npt.NDArray[np.int64]
    ) -> Examiner:
        """The gates' first classifier; the real images are those that the gates were calibrated on."""
        fold_N = folds_of(pixels_NHWC, class_index_N, keeper.info.config.folds, keeper.info.seed)
        return cls(keeper.parts.ensemble.members[_HELD_OUT_FOLD], fold_N == _HELD_OUT_FOLD)


def generated_classes(run: CommittedRun) -> tuple[int, ...]:
    """Class indices of a run that have rows of the generator, ascending."""
    rows, ledger = run.rows_by_label, {one.label: one for one in run.manifest.ledger}
    return tuple(
        index
        for index, target in enumerate(run.plan.plan.classes)
        if target.recipe == "gan"
        and rows[target.label] > (ledger[target.label].fallback if target.label in ledger else 0)
    )


def measure_fidelity(
    dataset: Dataset,
    run: CommittedRun,
    pixels_NHWC: Pixels,
    class_index_N: npt.NDArray[np.int64],
    examiner: Examiner,
    *,
    samples: int,
) -> FidelityRecord:
    """The card of at most `samples` generated samples a class against all real images, uint8 [N, H, W, C].

    Held-out images are those that the examiner has not seen. The generator was trained on them, so nothing is said
    of membership, and copies of them are not looked for: training images are the others, 3 of 4 by default.
    Raises InputError where nothing was generated.
    """
    classes = generated_classes(run)
    most = min(samples, max(_FEWEST_A_CLASS, _MOST_SAMPLES // max(1, len(classes))))
    unseen_N = examiner.unseen_N
    own_N = np.isin(class_index_N, classes)
    held_N = np.zeros_like(own_N) if unseen_N is None else own_N & unseen_N
    card = fidelity_report(
        _generated(dataset, run, classes, most, examiner.classifier),
        _labelled(examiner.classifier, pixels_NHWC, class_index_N, own_N & ~held_N),
        _labelled(examiner.classifier, pixels_NHWC, class_index_N, held_N) if held_N.any() else None,
        [target.name for target in run.plan.plan.classes],
        feature_space=ClassifierFeatures(examiner.classifier).name,
        seed=run.plan.plan.seed,
        membership=False,
    )
    return FidelityRecord(
        run_id=run.plan.run_id,
        examiner="judge" if unseen_N is None else "gates",
        samples_a_class=most,
        card=card,
    )


def _labelled(
    classifier: Classifier,
    pixels_NHWC: Pixels,
    class_index_N: npt.NDArray[np.int64],
    chosen_N: npt.NDArray[np.bool_],
) -> LabelledFeatures:
    position_M = np.flatnonzero(chosen_N)
    # A block at a time: a copy of all the images that were chosen might not fit in memory.
    blocks = [position_M[first : first + _BLOCK] for first in range(0, len(position_M), _BLOCK)]
    looks = [classifier.look(pixels_NHWC[block]) for block in blocks]
    return LabelledFeatures(
        np.concatenate([look.features_NF for look in looks]),
        class_index_N[position_M],
        np.concatenate([look.probability_NK.argmax(1) for look in looks]),
    )


def _generated(
    dataset: Dataset, run: CommittedRun, classes: tuple[int, ...], most: int, classifier: Classifier
) -> LabelledFeatures:
    """Features of the first generated samples; pixels are given up as soon as they were looked at."""
    features, class_indices, predicted = [], [], []
    for class_index, block in sample_blocks(dataset, run, most, classes, recipe="gan"):
        look = classifier.look(block.pixels_BHWC)
        features.append(look.features_NF)
        class_indices.append(np.full(len(block.ids_B), class_index, np.int64))
        predicted.append(look.probability_NK.argmax(1))
    return LabelledFeatures(
        np.concatenate(features), np.concatenate(class_indices), np.concatenate(predicted)
    )

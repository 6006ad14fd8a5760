"""Classification accuracy score: what a classifier learns from synthetic images alone, told by real ones.

Ravuri & Vinyals 2019, "Classification Accuracy Score for Conditional Generative Models": train on samples of
the generator only, with the labels that they were asked for; test on real images. Owns the score. The
classifier is this room's small one, so a score compares with its reference and with nothing in a paper.

N = training images, T = real test images, H, W, C = rows, columns, channels, K = classes.
"""

from collections.abc import Callable

import numpy as np
import numpy.typing as npt
import torch

from augment.errors import InputError
from augment.quality.accuracy_score import AccuracyScore, ClassRecall
from augment.quality.classifier import Classifier, fit_classifier
from augment.quality.intervals import wilson

__all__ = ["accuracy_of", "classification_accuracy_score"]

_CPU = torch.device("cpu")


def classification_accuracy_score(
    synthetic_NHWC: npt.NDArray[np.uint8],
    asked_N: npt.NDArray[np.int64],
    test_THWC: npt.NDArray[np.uint8],
    label_T: npt.NDArray[np.int64],
    classes: int,
    *,
    seed: int,
    steps: int,
    horizontal_flip: bool = False,
    vertical_flip: bool = False,
    device: torch.device = _CPU,
    log: Callable[[int, float], None] | None = None,
) -> AccuracyScore:
    """CAS of synthetic uint8 images and the classes they were asked to be, 0 … K-1.

    Given real training images instead, it is the reference to put beside: the same network, steps and seed
    on as many images. A class without synthetic images is never predicted rightly but by chance. Raises
    InputError as `fit_classifier` does, or where images and labels of the test don't fit.
    """
    classifier = fit_classifier(
        synthetic_NHWC,
        asked_N,
        classes,
        seed=seed,
        steps=steps,
        horizontal_flip=horizontal_flip,
        vertical_flip=vertical_flip,
        device=device,
        log=log,
    )
    return accuracy_of(classifier, test_THWC, label_T, trained_on=len(synthetic_NHWC))


def accuracy_of(
    classifier: Classifier,
    test_THWC: npt.NDArray[np.uint8],
    label_T: npt.NDArray[np.int64],
    *,
    trained_on: int,
) -> AccuracyScore:
    """The score of a fitted classifier; raises InputError where images and labels don't fit."""
    classes = classifier.info.classes
    if not len(test_THWC) or label_T.shape != test_THWC.shape[:1]:
        raise InputError(f"{len(test_THWC)} real test images have {list(label_T.shape)} labels")
    if label_T.min() < 0 or label_T.max() >= classes:
        raise InputError(f"test labels go from {label_T.min()} to {label_T.max()}, outside 0..{classes - 1}")
    right_T = classifier.predict(test_THWC).class_index_N == label_T
    images_K = np.bincount(label_T, minlength=classes)
    right_K = np.bincount(label_T, right_T, minlength=classes).astype(np.int64)
    present_K = images_K > 0
    return AccuracyScore(
        trained_on=trained_on,
        classes=tuple(
            ClassRecall(class_index=k, images=int(n), recall=wilson(int(hits), int(n)) if n else None)
            for k, (hits, n) in enumerate(zip(right_K, images_K, strict=True))
        ),
        accuracy=wilson(int(right_T.sum()), len(right_T)),
        balanced_accuracy=float((right_K[present_K] / images_K[present_K]).mean()),
    )

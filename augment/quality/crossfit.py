"""An ensemble of classifiers of which each left out one part of the real images.

Owns the parts (folds) and the cross-fitting: member e is fitted on all images but those of fold e, so that
every real image has one member that never saw it, whose opinion of it is as honest as of a new image
(cross-fitting: Chernozhukov et al. 2018, definition 3.1; out-of-fold scores as in Vovk's cross-conformal
predictors, 2015). Knows no gate and no limit.

N = images, H, W, C = rows, columns, channels, E = members, which are as many as folds, F = features,
K = classes.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import torch

from augment.errors import ConfigError, InputError
from augment.quality.classifier import Classifier, fit_classifier
from augment.quality.config import GatesConfig
from augment.seeds import digest64, stream_id, uniforms

__all__ = ["Ensemble", "EnsembleLook", "Progress", "assign_folds", "fit_ensemble", "unseen"]

_CPU = torch.device("cpu")
_SMALLEST = float(np.finfo(np.float32).tiny)  # log p is at least -87.3: a probability of 0 is rounding

Progress = Callable[[str, int, int], None]  # what is done, how much of it, of how much


@dataclass(frozen=True, slots=True)
class EnsembleLook:
    """What each member sees in N images."""

    features_ENF: npt.NDArray[np.float32]  # pooled, ≥ 0; each member has a space of its own
    log_probability_ENK: npt.NDArray[np.float32]  # -87.3 to 0


class Ensemble:
    """Members in the order of their folds. Not for two threads at once."""

    def __init__(self, members: Sequence[Classifier]) -> None:
        if len({(member.info.image, member.info.classes) for member in members}) != 1:
            raise InputError(f"the {len(members)} classifiers of an ensemble must be of one kind")
        self.members = tuple(members)

    def look(self, pixels_NHWC: npt.NDArray[np.uint8]) -> EnsembleLook:
        """Features and log-probabilities of uint8 images, the same in any company; see `Classifier.look`."""
        looks = [member.look(pixels_NHWC) for member in self.members]
        probability_ENK = np.stack([look.probability_NK for look in looks])
        return EnsembleLook(
            features_ENF=np.stack([look.features_NF for look in looks]),
            log_probability_ENK=np.log(np.maximum(probability_ENK, np.float32(_SMALLEST))),
        )


def assign_folds(class_index_N: npt.NDArray[np.int64], folds: int, seed: int) -> npt.NDArray[np.int64]:
    """The fold of each image, 0 … folds - 1 or -1, int64 [N]; drawn within each class by its place in it.

    A class's images are spread evenly: its folds differ by one image at most, and classes begin at different
    folds. So a class of two images or more has images in every fold's complement. The only image of a class
    is in no fold, -1: every member sees it, since one that does not cannot know the class.
    """
    if folds < 2:
        raise ConfigError(f"folds={folds} must be at least 2: one part is left out of each fit")
    fold_N = np.empty(len(class_index_N), np.int64)
    for class_index in np.unique(class_index_N).tolist():
        own = np.flatnonzero(class_index_N == class_index)
        if len(own) == 1:
            fold_N[own] = -1
            continue
        draws = uniforms(seed, stream_id("gates.folds", class_index), 0, len(own), 1)[:, 0]
        fold_N[own[np.argsort(draws, kind="stable")]] = (np.arange(len(own)) + class_index) % folds
    return fold_N


def fit_ensemble(
    pixels_NHWC: npt.NDArray[np.uint8],
    class_index_N: npt.NDArray[np.int64],
    class_count: int,
    fold_N: npt.NDArray[np.int64],
    *,
    config: GatesConfig,
    seed: int,
    horizontal_flip: bool = False,
    vertical_flip: bool = False,
    device: torch.device = _CPU,
    progress: Progress | None = None,
) -> Ensemble:
    """One classifier a fold, fitted on the other folds' images; `progress` is told of steps over all members.

    Raises InputError where the images or classes cannot be fitted to, DivergenceError where a loss is not
    finite.
    """
    total = config.folds * config.steps

    def fit(member: int) -> Classifier:
        others_N = fold_N != member

        def report(step: int, _loss: float) -> None:
            if progress is not None:
                progress("classifiers", member * config.steps + step, total)

        return fit_classifier(
            pixels_NHWC[others_N],
            class_index_N[others_N],
            class_count,
            seed=digest64("gates.member", seed, member),
            steps=config.steps,
            batch_size=config.batch_size,
            network_size="light",  # several look at every candidate, and it costs as much as half of one
            horizontal_flip=horizontal_flip,
            vertical_flip=vertical_flip,
            device=device,
            log=report,
        )

    return Ensemble([fit(member) for member in range(config.folds)])


def unseen(value_EN: npt.NDArray[Any], fold_N: npt.NDArray[np.int64]) -> npt.NDArray[Any]:
    """Of each image, the value that the member gives which did not see it: [E, N, …] → [N, …].

    Raises ValueError where an image is in no fold: every member saw it.
    """
    if (fold_N < 0).any():
        raise ValueError("an image in no fold was seen by every member")
    return np.asarray(value_EN[fold_N, np.arange(len(fold_N))])

"""How good generated images are, class by class: the judge, the scores, and what must hold of them.

The judge is a classifier of `augment.quality` that was trained on all real images there are, many more than
any generator saw of a rare class. Its pooled features are the space of FID, of precision and recall and of
near copies; its labels are those of 'accuracy of generated labels'. So figures compare within one judge
alone, and the references (`floor`, `duplicates`) are judged by the same one.

Owns the measure. Knows neither contenders nor how they were trained; `python -m tests.benchmarks.score`
judges any generator's file.

N = images, F = features, K = classes.
"""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch

from augment.errors import ConfigError
from augment.gan.state import resolve_precision
from augment.quality.classifier import Classifier, fit_classifier
from augment.quality.memorization import NearCopies, near_copies, pool
from augment.quality.per_class import class_references, score_classes
from augment.types import Record, canonical_json, sha256_hex
from tests.benchmarks.real_images import Images, RealSets, duplicates

__all__ = ["ClassFidelity", "Fidelity", "Judge", "References", "fitted_classifier", "open_classifier"]

MOST_OF_DUPLICATES = 4.0  # intra-class FID, mean and worst class
MOST_ACCURACY_LOST = 0.05  # of any class, against its real test images
LEAST_OF_FLOORS_RECALL = 0.5  # of any class


class ClassFidelity(Record):
    """One class's generated images against its real test images."""

    name: str
    frechet: float  # intra-class FID
    precision: float
    recall: float  # PRDC, k = 5
    density: float
    coverage: float
    accuracy: float  # share of generated images that the judge takes for this class
    accuracy_lost: float  # that of real test images, less this one
    spread: float  # of the features, over that of real ones: near 0 is a collapse
    near_by_features: NearCopies
    near_by_pixels: NearCopies


class Fidelity(Record):
    """All classes, in the data set's order."""

    classes: tuple[ClassFidelity, ...]

    @property
    def mean_frechet(self) -> float:
        """Mean over classes of intra-class FID."""
        return sum(one.frechet for one in self.classes) / len(self.classes)

    @property
    def worst_frechet(self) -> ClassFidelity:
        """The class of largest FID."""
        return max(self.classes, key=lambda one: one.frechet)

    @property
    def worst_accuracy(self) -> ClassFidelity:
        """The class that loses most accuracy against its real images."""
        return max(self.classes, key=lambda one: one.accuracy_lost)

    @property
    def near_by_features(self) -> NearCopies:
        """Near copies in all classes together, in the judge's features."""
        return pool(one.near_by_features for one in self.classes)

    @property
    def near_by_pixels(self) -> NearCopies:
        """The same by distance in pixels."""
        return pool(one.near_by_pixels for one in self.classes)

    def worst_recall(self, floor: Fidelity) -> tuple[ClassFidelity, float]:
        """The class whose recall is least as a share of the floor's, and that share."""
        pairs = zip(self.classes, floor.classes, strict=True)
        shares = [(one, one.recall / real.recall if real.recall else 1.0) for one, real in pairs]
        return min(shares, key=lambda pair: pair[1])


class References(Record):
    """What every contender is measured against: real images, and copies of the training images."""

    floor: Fidelity
    duplicates: Fidelity

    def misses(self, found: Fidelity) -> tuple[str, ...]:
        """What must hold and doesn't, in words; nothing where all holds."""
        copied, near = self.duplicates, (found.near_by_features, found.near_by_pixels)
        held = {
            "FID mean": found.mean_frechet <= MOST_OF_DUPLICATES * copied.mean_frechet,
            "FID worst": found.worst_frechet.frechet <= MOST_OF_DUPLICATES * copied.worst_frechet.frechet,
            "labels": found.worst_accuracy.accuracy_lost <= MOST_ACCURACY_LOST,
            "recall": found.worst_recall(self.floor)[1] >= LEAST_OF_FLOORS_RECALL,
            "near copies": not any(one.copies for one in near),
        }
        return tuple(name for name, holds in held.items() if not holds)


class Judge:
    """Real images measured once, by which any number of generators are judged.

    Raises ConfigError where the classifier is not one of these images, or too poor a one.
    """

    def __init__(self, classifier: Classifier, real: RealSets) -> None:
        classes = len(real.class_names)
        if (classifier.info.image, classifier.info.classes) != (real.test.shape, classes):
            raise ConfigError(
                f"the judge knows {classifier.info}, not {classes} classes of {real.test.shape}"
            )
        self._classifier, self._real = classifier, real
        look = classifier.look(real.test.pixels_NHWC)
        hit_N = look.probability_NK.argmax(1) == real.test.class_index_N
        self.accuracy = float(hit_N.mean())
        if self.accuracy < real.judge_accuracy:
            raise ConfigError(
                f"the judge's accuracy on real test images is {self.accuracy:.3f}, and must be at least "
                f"{real.judge_accuracy:.2f}; train it longer"
            )
        self._accuracy_K = [float(hit_N[real.test.class_index_N == c].mean()) for c in range(classes)]
        self._test_features_NF = look.features_NF
        self._training_features_NF = classifier.features(real.training.pixels_NHWC)
        self._references = class_references(look.features_NF, real.test.class_index_N, range(classes))
        self.sha256 = sha256_hex(classifier.to_bytes())

    def references(self) -> References:
        """The floor's and the duplicates' scores."""
        return References(floor=self(self._real.floor), duplicates=self(duplicates(self._real)))

    def __call__(self, generated: Images) -> Fidelity:
        """The scores of images that were asked to be of these classes."""
        look = self._classifier.look(generated.pixels_NHWC)
        scores = score_classes(
            self._references, look.features_NF, look.probability_NK, generated.class_index_N
        )
        classes = []
        for index, (score, name) in enumerate(zip(scores, self._real.class_names, strict=True)):
            values = score.model_dump(
                include={"frechet", "precision", "recall", "density", "coverage", "spread"}
            )
            accuracy = score.label_accuracy
            if accuracy is None or None in values.values():
                raise ConfigError(f"class {name}: {score.n_fake} generated images are too few to judge")
            classes.append(
                ClassFidelity(
                    name=name,
                    accuracy=accuracy,
                    accuracy_lost=self._accuracy_K[index] - accuracy,
                    near_by_features=self._near_by_features(index, look.features_NF, generated),
                    near_by_pixels=self._near_by_pixels(index, generated),
                    **values,
                )
            )
        return Fidelity(classes=tuple(classes))

    def _near_by_features(
        self, index: int, features_NF: npt.NDArray[np.float32], generated: Images
    ) -> NearCopies:
        real = self._real
        return near_copies(
            features_NF[generated.class_index_N == index],
            self._training_features_NF[real.training.class_index_N == index],
            self._test_features_NF[real.test.class_index_N == index],
        )

    def _near_by_pixels(self, index: int, generated: Images) -> NearCopies:
        real = self._real
        return near_copies(*(_flat(images, index) for images in (generated, real.training, real.test)))


def _flat(images: Images, index: int) -> npt.NDArray[np.float32]:
    """A class's images as vectors, 0 to 1."""
    own_NHWC = images.pixels_NHWC[images.class_index_N == index]
    vectors_NF: npt.NDArray[np.float32] = own_NHWC.reshape(len(own_NHWC), -1).astype(np.float32) / 255
    return vectors_NF


def fitted_classifier(real: RealSets, folder: Path, announce: Callable[[str], None]) -> Classifier:
    """The judge's classifier for `real`: from `folder`, where it lies since it was fitted first."""
    native = resolve_precision("auto", torch.device("cpu"))
    precision: Literal["bf16", "fp32"] = "bf16" if native == "bf16" else "fp32"
    settings = {"known": real.known.sha256, "steps": real.judge_steps, "precision": precision}
    path = folder / f"judge-{sha256_hex(canonical_json(settings))[:12]}.safetensors"
    if not path.is_file():
        announce(f"judge: {real.judge_steps} steps on {len(real.known.class_index_N):,} real images")
        classifier = fit_classifier(
            real.known.pixels_NHWC,
            real.known.class_index_N,
            len(real.class_names),
            seed=0,
            steps=real.judge_steps,
            precision=precision,
            horizontal_flip=real.horizontal_flip,
            vertical_flip=real.vertical_flip,
        )
        folder.mkdir(parents=True, exist_ok=True)
        path.write_bytes(classifier.to_bytes())
    return open_classifier(path)


def open_classifier(path: Path) -> Classifier:
    """A classifier's file."""
    data = path.read_bytes()
    return Classifier.from_bytes(data, sha256=sha256_hex(data))

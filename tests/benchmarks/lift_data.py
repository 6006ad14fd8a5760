"""The data sets of suite `lift`: real images cut into training, validation and test, none of them on two sides.

Fashion-MNIST-LT is suite `gan`'s, and validated by real images that follow the training set in the file. Of the
cells, white cells and platelets are cut to 40 each, and a slide's cells are all on one side: two crops of one
photograph have its light and its focus in common.

Owns these cuts. Knows neither arms nor generators.

N = images, K = classes.
"""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np

from augment.data.images import decode_image
from augment.errors import InputError
from augment.lift.config import LiftConfig
from augment.lift.images import LabelledImages
from augment.recipes.config import PresetName
from augment.seeds import digest64
from tests.benchmarks.real_images import CELLS, Images, fashion, files_of, small_fashion

__all__ = ["LiftSets", "lift_cells", "lift_fashion", "slide_of", "small_lift"]

VALIDATION_PER_CLASS = 500  # of Fashion-MNIST
CUT_TO = 40  # training images of each cell class but the largest
TRAINING_TENTHS, VALIDATION_TENTHS = 4, 2  # of the slides


@dataclass(frozen=True)
class LiftSets:
    """One data set, how its classifiers are trained, and which classic augmentation keeps its labels."""

    name: str
    class_names: tuple[str, ...]
    training: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    config: LiftConfig
    classic: PresetName


def lift_fashion(idx: Path) -> LiftSets:
    """5,000 … 50 training images a class; 500 a class to choose by; the 10,000 test images to report on."""
    real = fashion(idx)
    classes = len(real.class_names)
    return LiftSets(
        name=real.name,
        class_names=real.class_names,
        training=_labelled(real.training),
        validation=_labelled(real.floor.cut([0] * classes, [VALIDATION_PER_CLASS] * classes)),
        test=_labelled(real.test),
        config=LiftConfig(horizontal_flip=True),
        classic="photographs",
    )


def small_lift() -> LiftSets:
    """A little of it, from the packaged demo data: does everything run? Its figures mean nothing."""
    real = small_fashion()
    return LiftSets(
        name=real.name,
        class_names=real.class_names,
        training=_labelled(real.training),
        validation=_labelled(real.floor),
        test=_labelled(real.test.cut([0] * 10, [20] * 10)),
        config=LiftConfig(steps=4, batch_size=16),
        classic="photographs",
    )


def lift_cells(place: Path) -> LiftSets:
    """A folder, or a tar file, of one folder a class, as 64 × 64 RGB. Slides are dealt out by a hash of their names.

    Raises InputError where a class has too few.
    """
    sides: dict[str, list[tuple[int, bytes]]] = {"training": [], "validation": [], "test": []}
    found = sorted(files_of(place))
    names = sorted({PurePosixPath(name).parent.name for name, _ in found})
    for name, data in found:
        label = names.index(PurePosixPath(name).parent.name)
        sides[_side(slide_of(name))].append((label, data))
    training, validation, test = (_decoded(rows) for rows in sides.values())
    totals = training.counts(len(names))
    kept = [int(total) if total == totals.max() else CUT_TO for total in totals]
    return LiftSets(
        name=f"blood cells, rare classes cut to {CUT_TO}",
        class_names=tuple(names),
        training=_labelled(training.cut([0] * len(names), kept)),
        validation=_labelled(validation),
        test=_labelled(test),
        config=LiftConfig(horizontal_flip=True, vertical_flip=True),
        classic="textures",
    )


def slide_of(name: str) -> str:
    """The photograph that a crop was cut from: its file's name without the last part, `a_00012_03` → `a_00012`."""
    stem, separator, _ = PurePosixPath(name).stem.rpartition("_")
    if not separator:
        raise InputError(f"{name} does not tell its slide; cells are named <slide>_<number>")
    return stem


def _side(slide: str) -> str:
    tenth = digest64("lift.cells", slide) % 10
    if tenth < TRAINING_TENTHS:
        return "training"
    return "validation" if tenth < TRAINING_TENTHS + VALIDATION_TENTHS else "test"


def _decoded(rows: list[tuple[int, bytes]]) -> Images:
    if not rows:
        raise InputError("too few cells: a part of the split has none")
    pixels_NHWC = np.stack([decode_image(data, CELLS) for _, data in rows])
    return Images(pixels_NHWC, np.array([label for label, _ in rows], np.int64))


def _labelled(images: Images) -> LabelledImages:
    return LabelledImages(images.pixels_NHWC, images.class_index_N)

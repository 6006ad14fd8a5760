"""The real images that generators are trained on and judged by: Fashion-MNIST-LT, and a folder of cells.

Owns which image serves for what. Every cut is by file order; nothing is drawn. Knows no model.

N = images, H, W, C = rows, columns, channels, K = classes.
"""

from __future__ import annotations

import tarfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path, PurePosixPath

import numpy as np
import numpy.typing as npt

from augment.data.config import ImageConfig, SourceConfig
from augment.data.demo.make_fashion_mnist_lt import CLASS_NAMES, long_tail_counts, read_idx
from augment.data.images import IMAGE_SUFFIXES, decode_image, encode_image
from augment.data.sources import open_source
from augment.errors import InputError
from augment.types import ImageShape, sha256_hex
from tests.benchmarks.options import DEBIAN_IDX

__all__ = [
    "Images",
    "RealSets",
    "cells",
    "duplicates",
    "fashion",
    "files_of",
    "packaged",
    "small_fashion",
    "write_folder",
]

LARGEST, IMBALANCE = 5_000, 100.0
FLOOR_PER_CLASS = 1_000
CELLS = ImageConfig(size=64, channels=3, fit="stretch")


@dataclass(frozen=True, slots=True)
class Images:
    """Square uint8 images [N, H, W, C] and the class index of each, int64 [N]."""

    pixels_NHWC: npt.NDArray[np.uint8]
    class_index_N: npt.NDArray[np.int64]

    def counts(self, classes: int) -> npt.NDArray[np.int64]:
        """Images a class, [K]."""
        return np.bincount(self.class_index_N, minlength=classes)

    def at(self, index_N: npt.NDArray[np.int64]) -> Images:
        """These images, in this order."""
        return Images(self.pixels_NHWC[index_N], self.class_index_N[index_N])

    def cut(self, begins: Sequence[int], counts: Sequence[int]) -> Images:
        """Class after class, `counts` images each in their order, the first `begins` of a class passed over.

        Raises InputError where a class has fewer.
        """
        chosen = []
        for label, (begin, count) in enumerate(zip(begins, counts, strict=True)):
            own = np.flatnonzero(self.class_index_N == label)
            if len(own) < begin + count:
                raise InputError(f"class {label} has {len(own)} images, and {begin + count} are needed")
            chosen.append(own[begin : begin + count])
        return self.at(np.concatenate(chosen))

    @property
    def shape(self) -> ImageShape:
        """Of one image."""
        return ImageShape(size=self.pixels_NHWC.shape[1], channels=self.pixels_NHWC.shape[3])

    @property
    def sha256(self) -> str:
        """Of pixels and classes."""
        return sha256_hex(self.class_index_N.tobytes() + self.pixels_NHWC.tobytes())


@dataclass(frozen=True, slots=True)
class RealSets:
    """One data set of a benchmark, cut up.

    `training` is what generators learn; `test` is what all are compared with; `floor` is real too, and as
    many images a class as are generated. The judge learns `known`. The flips say how an image may be
    mirrored and be as real, for the judge and for the generators that are told.
    """

    name: str
    class_names: tuple[str, ...]
    known: Images
    training: Images
    floor: Images
    test: Images
    judge_steps: int
    judge_accuracy: float  # at least, of `test`
    horizontal_flip: bool = False
    vertical_flip: bool = False

    @property
    def samples_K(self) -> npt.NDArray[np.int64]:
        """Images to generate of each class."""
        return self.floor.counts(len(self.class_names))


def fashion(idx: Path) -> RealSets:
    """Fashion-MNIST-LT at imbalance 100, 5,000 … 50 images, padded to 32 × 32, from the four IDX files.

    The judge learns all 60,000 training images; the floor is the 1,000 of each class that follow, in the
    file's order, those of the long-tailed set. Raises InputError where a file is missing.
    """
    everything, test = _idx_split(idx, "train"), _idx_split(idx, "t10k")
    counts = long_tail_counts(LARGEST, IMBALANCE, len(CLASS_NAMES))
    return RealSets(
        name="Fashion-MNIST-LT",
        class_names=CLASS_NAMES,
        known=everything,
        training=everything.cut([0] * len(counts), counts),
        floor=everything.cut(counts, [FLOOR_PER_CLASS] * len(counts)),
        test=test,
        judge_steps=3_500,
        judge_accuracy=0.90,
    )


def small_fashion() -> RealSets:
    """A hundredth of it, from the packaged demo data: does everything run? Its figures mean nothing."""
    everything = _padded(packaged("demo://fashion-mnist-lt"))
    test = _padded(packaged("demo://fashion-mnist-test"))
    counts = long_tail_counts(40, 2.0, len(CLASS_NAMES))
    return RealSets(
        name="Fashion-MNIST-LT, small",
        class_names=CLASS_NAMES,
        known=everything,
        training=everything.cut([0] * len(counts), counts),
        floor=everything.cut(counts, [10] * len(counts)),
        test=test,
        judge_steps=40,
        judge_accuracy=0.0,
    )


def cells(place: Path) -> RealSets:
    """A folder, or a tar file, of one folder a class, as 64 × 64 RGB.

    The first half of a class by file name is what generators learn, the second what they are compared with;
    names begin with the slide's, so that hardly a slide is in both. The floor is the first half itself: the
    distance of two halves of real cells. The judge learns both, and so knows neither better.
    """
    by_class: dict[str, list[tuple[str, bytes]]] = {}
    for name, data in files_of(place):
        by_class.setdefault(PurePosixPath(name).parent.name, []).append((name, data))
    if len(by_class) < 2:
        raise InputError(f"{place} must hold a folder of images for each of at least two classes")
    names = sorted(by_class)
    ordered = [(label, data) for label, name in enumerate(names) for _, data in sorted(by_class[name])]
    known = Images(
        np.stack([decode_image(data, CELLS) for _, data in ordered]),
        np.array([label for label, _ in ordered], np.int64),
    )
    totals = known.counts(len(names))
    halves = (totals // 2).tolist()
    first = known.cut([0] * len(names), halves)
    return RealSets(
        name="blood cells",
        class_names=tuple(names),
        known=known,
        training=first,
        floor=first,
        test=known.cut(halves, halves),
        judge_steps=600,
        judge_accuracy=0.0,
        horizontal_flip=True,
        vertical_flip=True,
    )


def duplicates(real: RealSets) -> Images:
    """What a copier would make of `training`: as many images as are generated, every one copied equally often."""
    own_K = [np.flatnonzero(real.training.class_index_N == c) for c in range(len(real.class_names))]
    copies_K = [own[np.arange(n) * len(own) // n] for own, n in zip(own_K, real.samples_K, strict=True)]
    return real.training.at(np.concatenate(copies_K))


def write_folder(images: Images, folder: Path) -> None:
    """The images as PNG files in one folder a class, `00`, `01`, …: a source as users have them."""
    for label in np.unique(images.class_index_N):
        (folder / f"{label:02d}").mkdir(parents=True)
    for number, (pixels_HWC, label) in enumerate(zip(images.pixels_NHWC, images.class_index_N, strict=True)):
        (folder / f"{label:02d}" / f"{number:06d}.png").write_bytes(encode_image(pixels_HWC, "png"))


def packaged(uri: str) -> Images:
    """The images of one of the demo's data sets, 28 × 28."""
    source = open_source(SourceConfig(uri=uri))
    items = [item for chunk in source.chunks() for item in source.read(chunk)]
    pixels_NHWC = np.stack([decode_image(item.data, ImageConfig(size=28, channels=1)) for item in items])
    labels_N = source.listing().labels_B[[item.item_index for item in items]]
    return Images(pixels_NHWC, labels_N.astype(np.int64))


def _idx_split(idx: Path, split: str) -> Images:
    paths = [idx / f"{split}-{part}-ubyte.gz" for part in ("images-idx3", "labels-idx1")]
    if missing := [path for path in paths if not path.is_file()]:
        raise InputError(
            f"{missing[0]} is not there; give the folder of Fashion-MNIST's four *-ubyte.gz files as --idx DIR "
            f"(Debian's package dataset-fashion-mnist puts them into {DEBIAN_IDX})"
        )
    pixels_NHW, label_N = map(read_idx, paths)
    return _padded(Images(pixels_NHW[..., None], label_N.astype(np.int64)))


def _padded(images: Images) -> Images:
    """28 × 28 → 32 × 32, black all around."""
    return Images(np.pad(images.pixels_NHWC, ((0, 0), (2, 2), (2, 2), (0, 0))), images.class_index_N)


def files_of(place: Path) -> Iterator[tuple[str, bytes]]:
    """Names and contents of all images under a folder or in a tar file."""
    if place.is_file():
        with tarfile.open(place) as tar:
            for member in tar:
                if member.isfile() and PurePosixPath(member.name).suffix.lower() in IMAGE_SUFFIXES:
                    content = tar.extractfile(member)
                    assert content is not None  # it is a file
                    yield member.name, content.read()
        return
    if not place.is_dir():
        raise InputError(
            f"{place} is neither a folder nor a tar file; give one of a folder a class as --cells"
        )
    for path in place.rglob("*"):
        if path.suffix.lower() in IMAGE_SUFFIXES:
            yield path.relative_to(place).as_posix(), path.read_bytes()

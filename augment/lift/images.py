"""The arrays that go into `augment lift`, and their checks.

Owns that they fit together, and that no image is on two sides. Knows neither arms nor torch.

N = images, H, W, C = rows, columns, channels, K = classes.
"""

import copy
import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.lift.arms import Source
from augment.types import ImageShape, sha256_hex

__all__ = ["LabelledImages", "LiftData", "pixel_digests"]


@dataclass(frozen=True)
class LabelledImages:
    """Square uint8 images [N, H, W, C], class indices int64 [N], and the teachers' probabilities where wanted.

    `soft_NK` are what classifiers of balanced classes see in each image, rows of sum 1. Of a real training image
    they must come from classifiers that were not fitted to it (cross-fitting): of one's own images one is too
    sure.
    """

    pixels_NHWC: npt.NDArray[np.uint8]
    class_index_N: npt.NDArray[np.int64]
    soft_NK: npt.NDArray[np.float32] | None = None

    def counts(self, classes: int) -> npt.NDArray[np.int64]:
        """Images a class, [K]."""
        return np.bincount(self.class_index_N, minlength=classes)

    @cached_property
    def sha256(self) -> str:
        """Of pixels and classes."""
        return sha256_hex(self.class_index_N.tobytes() + self.pixels_NHWC.tobytes())


@dataclass(frozen=True)
class LiftData:
    """One data set: `training` is what arms see, by `validation` they are chosen, `test` is only reported.

    All three are real. `pools` hold samples by source, from which arms take the first of each class; what made
    them may have seen `training` alone. Raises InputError where arrays don't fit, a class lacks images, or an
    image of `training` or `validation` is held out too.
    """

    class_names: tuple[str, ...]
    training: LabelledImages
    validation: LabelledImages
    test: LabelledImages
    pools: Mapping[Source, LabelledImages] = field(default_factory=dict)

    def __post_init__(self) -> None:
        parts = {"training": self.training, "validation": self.validation, "test": self.test}
        for name, images in {**parts, **{f"pool {name}": pool for name, pool in self.pools.items()}}.items():
            _check(name, images, self.shape, len(self.class_names))
        for name, images in parts.items():
            empty = np.flatnonzero(images.counts(len(self.class_names)) == 0)
            if len(empty):
                raise InputError(f"the {name} images have none of class {self.class_names[empty[0]]!r}")
        digests = {name: set(pixel_digests(images)) for name, images in parts.items()}
        for one, other in (("test", "training"), ("test", "validation"), ("validation", "training")):
            pair, shared = f"{one} and {other}", digests[one] & digests[other]
            if shared:
                raise InputError(
                    f"{len(shared)} image(s) are in {pair} both: what is measured on them says nothing; "
                    "split by source, or remove duplicates"
                )

    def with_pools(self, pools: Mapping[Source, LabelledImages]) -> "LiftData":
        """The same real images, which are checked already, with these pools. InputError where one doesn't fit."""
        for name, images in pools.items():
            _check(f"pool {name}", images, self.shape, len(self.class_names))
        other = copy.copy(self)
        object.__setattr__(other, "pools", dict(pools))
        return other

    @property
    def shape(self) -> ImageShape:
        """Of one image."""
        shape = self.training.pixels_NHWC.shape
        if len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (1, 3):
            raise InputError(f"lift needs square images [N, H, W, 1 or 3], not {list(shape)}")
        return ImageShape(size=shape[1], channels=shape[3])

    @cached_property
    def counts_K(self) -> npt.NDArray[np.int64]:
        """Real training images a class."""
        return self.training.counts(len(self.class_names))


def _check(name: str, images: LabelledImages, shape: ImageShape, classes: int) -> None:
    pixels, index = images.pixels_NHWC, images.class_index_N
    if pixels.dtype != np.uint8 or pixels.shape[1:] != (shape.size, shape.size, shape.channels):
        raise InputError(
            f"{name}: images are {pixels.dtype} {list(pixels.shape)}, not uint8 "
            f"[N, {shape.size}, {shape.size}, {shape.channels}] as in training"
        )
    if index.shape != pixels.shape[:1]:
        raise InputError(f"{name}: {len(pixels)} images have {list(index.shape)} class indices")
    if len(index) and not 0 <= index.min() <= index.max() < classes:
        raise InputError(
            f"{name}: class indices go from {index.min()} to {index.max()}, outside 0..{classes - 1}"
        )
    if images.soft_NK is not None and images.soft_NK.shape != (len(pixels), classes):
        raise InputError(
            f"{name}: soft labels are {list(images.soft_NK.shape)}, not [{len(pixels)}, {classes}]"
        )


def pixel_digests(images: LabelledImages) -> list[bytes]:
    """A digest of each image's pixels, 16 bytes: equal for images that are there twice, whatever their labels."""
    return [
        hashlib.blake2b(pixels_HWC.tobytes(), digest_size=16).digest() for pixels_HWC in images.pixels_NHWC
    ]

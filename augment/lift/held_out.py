"""Held-out real images: apart from what was trained on, and cut into those to choose by and those to report on.

Owns both cuts, and how few images of a class are too few to compare arms by. The cuts follow from pixels alone:
neither names nor order move an image, and one that is there twice is on one side. Pure; knows no source and no torch.

N = images, K = classes.
"""

from collections import defaultdict
from collections.abc import Sequence

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.lift.images import LabelledImages, pixel_digests
from augment.seeds import digest64

__all__ = ["apart_from", "choosing_share", "refuse_too_few", "rows_of"]

_FEWEST = 2  # different images of a class on a side: of one nothing is known of chance
_SHOWN = 10  # classes that an error names


def rows_of(images: LabelledImages, keep_N: npt.NDArray[np.bool_]) -> LabelledImages:
    """Those images alone, without soft labels."""
    return LabelledImages(images.pixels_NHWC[keep_N], images.class_index_N[keep_N])


def apart_from(images: LabelledImages, *others: LabelledImages) -> LabelledImages:
    """`images` without those whose pixels are among `others`: what is measured on such says nothing."""
    seen = {digest for other in others for digest in pixel_digests(other)}
    return rows_of(images, np.array([digest not in seen for digest in pixel_digests(images)], bool))


def choosing_share(
    held_out: LabelledImages, share: float, class_names: tuple[str, ...]
) -> tuple[LabelledImages, LabelledImages]:
    """(to choose by, to report on): of each class about `share` of its different images, and the rest.

    Both have at least two of each class. Raises InputError, naming the classes, where one has fewer than four
    different images.
    """
    digests = pixel_digests(held_out)
    classes = [int(class_index) for class_index in held_out.class_index_N]
    class_of: dict[bytes, int] = {}
    # An image with several labels counts as the first of them, so that it is on one side.
    for digest, class_index in zip(digests, classes, strict=True):
        class_of[digest] = min(class_index, class_of.get(digest, class_index))
    of_class = defaultdict(list)
    for digest, class_index in class_of.items():
        of_class[class_index].append(digest)
    found = [len(of_class[class_index]) for class_index in range(len(class_names))]
    if few := _few(class_names, found, 2 * _FEWEST):
        raise InputError(
            f"too few different held-out images of {few}: at least {2 * _FEWEST} of a class are needed, {_FEWEST} to "
            f"choose the arm by and {_FEWEST} to report on; add held-out images of it, give lift.validation_uri as "
            "well, or leave the class out by source.labels"
        )
    chosen: set[bytes] = set()
    for class_index in range(len(class_names)):
        own = sorted(of_class[class_index], key=lambda digest: digest64("lift.choosing", digest.hex()))
        chosen.update(own[: min(len(own) - _FEWEST, max(_FEWEST, round(share * len(own))))])
    choosing_N = np.array([digest in chosen for digest in digests], bool)
    return rows_of(held_out, choosing_N), rows_of(held_out, ~choosing_N)


def refuse_too_few(images: LabelledImages, class_names: tuple[str, ...], what: str) -> None:
    """InputError, naming the classes, where one has fewer than two different images; `what` they are and where."""
    of_class: dict[int, set[bytes]] = defaultdict(set)
    for digest, class_index in zip(pixel_digests(images), images.class_index_N.tolist(), strict=True):
        of_class[class_index].add(digest)
    found = [len(of_class[class_index]) for class_index in range(len(class_names))]
    if few := _few(class_names, found, _FEWEST):
        raise InputError(
            f"too few different images of {few} among {what}: arms are compared over at least {_FEWEST} of a class "
            "that are neither training images nor on the other side; add some, or leave the class out by "
            "source.labels"
        )


def _few(class_names: tuple[str, ...], found: Sequence[int], least: int) -> str:
    """The classes that have fewer, with what they have; "" where none has."""
    few = [
        f"class {name!r} ({count})" for name, count in zip(class_names, found, strict=True) if count < least
    ]
    return ", ".join(few[:_SHOWN]) + (f" and {len(few) - _SHOWN} more" if len(few) > _SHOWN else "")

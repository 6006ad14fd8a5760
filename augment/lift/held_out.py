"""Held-out real images: apart from what was trained on, and cut into those to choose by and those to report on.

Owns both cuts. They follow from pixels alone: neither names nor order move an image, and one that is there twice is
on one side. Pure; knows no source and no torch.

N = images, K = classes.
"""

from collections import defaultdict

import numpy as np
import numpy.typing as npt

from augment.errors import InputError
from augment.lift.images import LabelledImages, pixel_digests
from augment.seeds import digest64

__all__ = ["apart_from", "choosing_share", "rows_of"]


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

    Both have at least one of each class. Raises InputError, naming the class, where one has fewer than two
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
    chosen: set[bytes] = set()
    for class_index, name in enumerate(class_names):
        own = sorted(of_class[class_index], key=lambda digest: digest64("lift.choosing", digest.hex()))
        if len(own) < 2:
            raise InputError(
                f"class {name!r} has {len(own)} different held-out image(s): some are needed to choose the arm by "
                "and others to report on; add held-out images of it, or give lift.validation_uri as well"
            )
        chosen.update(own[: min(len(own) - 1, max(1, round(share * len(own))))])
    choosing_N = np.array([digest in chosen for digest in digests], bool)
    return rows_of(held_out, choosing_N), rows_of(held_out, ~choosing_N)

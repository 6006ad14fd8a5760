"""One image that two manifests of a source name: each of its rows would count double.

Owns the comparing, as hashes: 8 bytes a row, whatever the images are called, and only where a source has several
manifests. Reads nothing itself, and asks for a name only where a hash is there twice.

Axes: B = rows of one manifest, H = distinct hashes of all manifests.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.errors import InputError

__all__ = ["NamedFiles", "check_named_twice"]


@dataclass(frozen=True)
class NamedFiles:
    """What one manifest names."""

    uri: str  # of the manifest, in full
    hash_B: npt.NDArray[np.int64]  # of each row's split and image, the same in all manifests of a process
    image_of: Callable[[int], tuple[str, str]]  # a row's split and image, as a full URI or absolute path


def check_named_twice(manifests: Sequence[NamedFiles]) -> None:
    """InputError, naming the first, where two of these manifests name one image in one split.

    An image that is in two splits is source.duplicates.across_splits' subject, and a line that a manifest has
    twice may be meant.
    """
    if len(manifests) < 2:
        return
    hash_H = np.sort(np.concatenate([np.unique(manifest.hash_B) for manifest in manifests]))
    twice_H = np.unique(hash_H[1:][hash_H[1:] == hash_H[:-1]])
    for position, manifest in enumerate(manifests if len(twice_H) else ()):
        for row in np.flatnonzero(np.isin(manifest.hash_B, twice_H)).tolist():
            for other in manifests[position + 1 :]:
                _refuse_same(manifest, row, other)


def _refuse_same(manifest: NamedFiles, row: int, other: NamedFiles) -> None:
    """InputError if `other` names the image of this row of `manifest`, and not only one of the same hash."""
    row_F = np.flatnonzero(other.hash_B == manifest.hash_B[row])  # F = found
    if len(row_F) and (image := manifest.image_of(row)) == other.image_of(int(row_F[0])):
        raise InputError(
            f"source.uri names {image[1]} twice, by {manifest.uri} and by {other.uri}: each of its rows would be "
            "there twice; remove it from one of them, or leave one of them out"
        )

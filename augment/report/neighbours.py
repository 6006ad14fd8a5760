"""The real image that looks most like each sample that is shown: for looking whether samples are copies.

    _runs/<run>/neighbours.npz     by class index k: the real images `real-k`, distances `distance-k`, samples' `ids-k`

Owns this file and the measure: small pictures compared pixel by pixel, shifted by up to one pixel, over all real
images of the class. Real images are only in the source, so this is made while they are at hand. Knows no Ray.

N = real images, B = samples, H, W, C = rows, columns, channels.
"""

from __future__ import annotations

import io
from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.objects import ObjectNotFoundError, ObjectStore
from augment.quality.neighbours import NearestSearch
from augment.quality.pixel_views import middle_views, shifted_views
from augment.report.first_samples import Samples

__all__ = ["SPACE", "Neighbours", "has_neighbours", "nearest_real", "put_neighbours", "read_neighbours"]

SPACE = "the distance between pixels at a small size, shifted by a pixel at most, over all real images of the class"

Pixels = npt.NDArray[np.uint8]  # [N, H, W, C]


@dataclass(frozen=True, slots=True)
class Neighbours:
    """Of each of B samples of a class, by its id: the nearest real image, uint8 [B, H, W, C], and how far it is.

    Distances are root mean squares over pixels, in grey levels, 0 to 255.
    """

    ids_B: tuple[str, ...]
    real_BHWC: Pixels
    distance_B: npt.NDArray[np.float32]


def nearest_real(
    samples: Mapping[int, Samples], pixels_NHWC: Pixels, class_index_N: npt.NDArray[np.int64]
) -> dict[int, Neighbours]:
    """By class index, of the classes that have samples and real images."""
    found = {}
    for class_index, own in samples.items():
        real_NHWC = pixels_NHWC[class_index_N == class_index]
        if not len(real_NHWC):
            continue
        small_ND = middle_views(real_NHWC)
        nearest = NearestSearch(small_ND).nearest(shifted_views(own.pixels_BHWC))
        found[class_index] = Neighbours(
            own.ids_B,
            real_NHWC[nearest.index_NK[:, 0]],
            nearest.distance_NK[:, 0] / np.float32(np.sqrt(small_ND.shape[1])),
        )
    return found


def put_neighbours(store: ObjectStore, run_id: str, neighbours: Mapping[int, Neighbours]) -> None:
    """Keep them beside the run, replacing what was there before."""
    arrays: dict[str, npt.NDArray[np.generic]] = {}
    for index, one in neighbours.items():
        arrays |= {f"real-{index}": one.real_BHWC, f"distance-{index}": one.distance_B}
        arrays[f"ids-{index}"] = np.array(one.ids_B, np.str_)
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **arrays)  # type: ignore[arg-type]
    store.put(_key(run_id), buffer.getvalue())


def has_neighbours(store: ObjectStore, run_id: str) -> bool:
    """Whether they were looked for."""
    return any(found.key == _key(run_id) for found in store.list(_key(run_id)))


def read_neighbours(store: ObjectStore, run_id: str) -> dict[int, Neighbours]:
    """Those of a run by class index; none where none were looked for."""
    try:
        data = store.get(_key(run_id))
    except ObjectNotFoundError:
        return {}
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        indices = [int(name.removeprefix("ids-")) for name in arrays.files if name.startswith("ids-")]
        return {
            index: Neighbours(
                tuple(arrays[f"ids-{index}"].tolist()), arrays[f"real-{index}"], arrays[f"distance-{index}"]
            )
            for index in indices
        }


def _key(run_id: str) -> str:
    return f"_runs/{run_id}/neighbours.npz"

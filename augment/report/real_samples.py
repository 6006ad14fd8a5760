"""A few real images of each class, kept beside the model so that samples can be shown beside them.

Owns their file: one array a class, by class index. The real images themselves are only in the source.
"""

from __future__ import annotations

import io
from collections.abc import Mapping

import numpy as np
import numpy.typing as npt

from augment.objects import ObjectNotFoundError
from augment.store.models import ModelFolder

__all__ = ["load_real_samples", "save_real_samples"]

_NAME = "real-samples.npz"

Pixels = npt.NDArray[np.uint8]  # [B, H, W, C]


def save_real_samples(folder: ModelFolder, samples: Mapping[int, Pixels]) -> None:
    """Keep these images, by class index, beside the model."""
    buffer = io.BytesIO()
    np.savez(buffer, **{str(index): pixels for index, pixels in samples.items()})  # type: ignore[arg-type]
    folder.put_artefact(_NAME, buffer.getvalue())


def load_real_samples(folder: ModelFolder | None) -> dict[int, Pixels]:
    """Those images by class index; none where none were kept, or where there is no folder."""
    if folder is None:
        return {}
    try:
        data = folder.artefact(_NAME)
    except ObjectNotFoundError:
        return {}
    with np.load(io.BytesIO(data), allow_pickle=False) as arrays:
        return {int(name): arrays[name] for name in arrays.files}

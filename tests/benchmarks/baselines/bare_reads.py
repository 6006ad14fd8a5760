"""The same Parquet files read with nothing checked, and with every image decoded in a plain loop."""

from __future__ import annotations

import io
from collections.abc import Sequence

import numpy as np
import pyarrow.parquet as pq
from PIL import Image

__all__ = ["read_and_decode", "read_tables"]


def read_tables(files: Sequence[str]) -> int:
    """Rows of all files, every column in memory."""
    return sum(pq.read_table(file).num_rows for file in files)


def read_and_decode(files: Sequence[str]) -> int:
    """The same, and each image becomes pixels, one after another."""
    rows = 0
    for file in files:
        for data in pq.read_table(file).flatten()["image.bytes"]:
            with Image.open(io.BytesIO(data.as_py())) as picture:
                rows += np.asarray(picture).ndim >= 2
    return rows

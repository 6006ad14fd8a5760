"""Small labelled data sets for the tests, written as a user's own tools would."""

from __future__ import annotations

import io
import json
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from PIL import Image


def picture(seed: int = 0, size: tuple[int, int] = (16, 16), mode: str = "RGB") -> Image.Image:
    """A noise image, width × height."""
    pixels = np.random.default_rng(seed).integers(0, 256, (size[1], size[0], 3), np.uint8)
    return Image.fromarray(pixels).convert(mode)


def encoded(image: Image.Image, image_format: str = "PNG", **options: Any) -> bytes:
    buffer = io.BytesIO()
    image.save(buffer, format=image_format, **options)
    return buffer.getvalue()


def class_folders(counts: Mapping[str, int]) -> dict[str, bytes]:
    """Relative path → PNG bytes, `counts[name]` images in folder `name`."""
    return {
        f"{name}/{index:03d}.png": encoded(picture(seed=1_000 * position + index))
        for position, (name, count) in enumerate(counts.items())
        for index in range(count)
    }


def write_files(root: Path, files: Mapping[str, bytes]) -> str:
    for key, data in files.items():
        path = root / key
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    return str(root)


def image_structs(count: int, paths: bool = True) -> pa.Array:
    rows = [
        {"bytes": encoded(picture(seed=row)), "path": f"img/{row}.png" if paths else None}
        for row in range(count)
    ]
    return pa.array(rows, pa.struct([("bytes", pa.binary()), ("path", pa.string())]))


def class_label_metadata(names: Sequence[str], column: str = "label") -> dict[str, str]:
    features = {"image": {"_type": "Image"}, column: {"names": list(names), "_type": "ClassLabel"}}
    return {"huggingface": json.dumps({"info": {"features": features}})}


def write_parquet(
    path: Path,
    labels: pa.Array,
    images: pa.Array | None = None,
    names: Sequence[str] | None = None,
    **options: Any,
) -> str:
    """A file with the columns `image` and `label`, and ClassLabel metadata if `names` are given."""
    table = pa.table({"image": image_structs(len(labels)) if images is None else images, "label": labels})
    if names is not None:
        table = table.replace_schema_metadata(class_label_metadata(names))
    path.parent.mkdir(parents=True, exist_ok=True)
    pq.write_table(table, path, **options)
    return str(path)

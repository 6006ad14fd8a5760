"""A tiny dataset whose class names are hostile to every reader, and what each reader must give of it."""

from __future__ import annotations

import io
from typing import NamedTuple

import numpy as np
from PIL import Image

from augment.store.commit import make_run_plan
from augment.store.shards import planned_marks, scalar_columns
from augment.types import AugmentPlan, ClassTarget, ImageShape, RunPlan
from tests.store.helpers import pixels_of

HOSTILE_NAMES = (
    "test", "train", "a/b", "..", ".", "it's", 'say "no"', "🦊 fox", "%2F", "null", "NA", "None", "nan", "1", "True",
    " leading space", "=", "a=b", "class=x", "x" * 300, "é" * 100, "two\nlines", "tab\tand|pipe", "cafe\u0301",
    "caf\u00e9", "Case", "case", "*?[a]", "$HOME", "__HIVE_DEFAULT_PARTITION__", "\u202eright-to-left", "a,b;c",
)  # fmt: skip
ROWS_EACH = 2


class Row(NamedTuple):
    """One row as a reader gave it; what a layout does not hold is None."""

    sample_id: str | None
    label: int
    label_name: str | None
    pixels: bytes  # uint8 [H, W, C], C order


def hostile_run() -> RunPlan:
    """Two 16-pixel images of every class, 27 a shard, so that shards hold many classes and cut across one."""
    classes = tuple(
        ClassTarget(label=label, name=name, real=1, target=1 + ROWS_EACH)
        for label, name in enumerate(HOSTILE_NAMES)
    )
    plan = AugmentPlan(
        seed=7, image=ImageShape(size=16, channels=3), classes=classes, shard_rows=27, batch_size=4
    )
    return make_run_plan(
        plan, generator_sha256="ab" * 32, image_format="png", augmentation=None, versions={"torch": "2.6.0"}
    )


def expected_rows(run: RunPlan) -> list[Row]:
    """Every row, from the plan and the pixels that were encoded."""
    rows = []
    for spec in run.plan.shards():
        scalars = scalar_columns(run, spec, planned_marks(run.plan, spec))
        columns = (scalars[name] for name in ("sample_id", "label", "label_name"))
        for sample_id, label, name, pixels_HWC in zip(*columns, pixels_of(run, spec), strict=True):
            rows.append(Row(sample_id, label, name, pixels_HWC.tobytes()))
    return rows


def decoded(data: bytes) -> bytes:
    """Pixels of an encoded image, by Pillow alone."""
    return raw(Image.open(io.BytesIO(data)))


def raw(image: Image.Image) -> bytes:
    """Pixels of an opened image."""
    return np.asarray(image.convert("RGB")).tobytes()

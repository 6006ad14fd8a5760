"""Committed runs for the report's tests: of samples that a test chooses, with or without gates. No Ray, no GAN."""

from __future__ import annotations

import uuid
from collections.abc import Mapping, Sequence

import numpy as np
import numpy.typing as npt

from augment.objects import open_store
from augment.store.commit import begin_run, make_run_plan, publish, put_shard, seal_run
from augment.store.ledgers import put_ledger
from augment.store.reading import CommittedRun, Dataset, open_dataset
from augment.store.rejected import RejectedRow, put_rejected
from augment.store.shards import build_shard
from augment.types import (
    AugmentPlan,
    ClassLedger,
    ClassTarget,
    GatesPin,
    ImageShape,
    RecipeName,
    RowMarks,
    RunPlan,
    ShardLedger,
    sha256_hex,
)
from tests.quality.common import striped_images
from tests.store.helpers import encode

SIZE = 16
REAL = (80, 60, 24)
NAMES = ("across", "down", "both")
Pixels = npt.NDArray[np.uint8]


def real_images(seed: int = 0, counts: Sequence[int] = REAL) -> tuple[Pixels, npt.NDArray[np.int64]]:
    return striped_images(tuple(counts), size=SIZE, seed=seed)


def drawn(each: int, seed: int = 99) -> dict[int, Pixels]:
    """What a perfect generator makes: images of the real distribution, `each` of the last two classes."""
    pixels, class_index = real_images(seed, (each,) * 3)
    return {index: pixels[class_index == index] for index in (1, 2)}


def run_of(
    samples: Mapping[int, Pixels], recipes: Mapping[int, RecipeName] | None = None, *, gated: bool = False,
    seed: int = 7, shard_rows: int = 30,
) -> RunPlan:  # fmt: skip
    rows = {index: len(pixels) for index, pixels in samples.items()}
    classes = tuple(
        ClassTarget(
            label=10 + index, name=name, real=REAL[index], target=REAL[index] + rows.get(index, 0),
            recipe=(recipes or {}).get(index, "gan"),
        )
        for index, name in enumerate(NAMES)
    )  # fmt: skip
    plan = AugmentPlan(
        seed=seed,
        image=ImageShape(size=SIZE, channels=1),
        classes=classes,
        shard_rows=shard_rows,
        batch_size=4,
    )
    pin = GatesPin(sha256="cd" * 32, max_attempts=4, on_shortfall="duplicate") if gated else None
    return make_run_plan(
        plan, generator_sha256="ab" * 32, image_format="png", augmentation=None, versions={}, gates=pin
    )


def committed(
    samples: Mapping[int, Pixels],
    recipes: Mapping[int, RecipeName] | None = None,
    *,
    ledger: Sequence[ClassLedger] = (),
    rejected: Sequence[RejectedRow] = (),
    made_by: Mapping[int, Sequence[RecipeName]] | None = None,
    seed: int = 7,
    shard_rows: int = 30,
    uri: str | None = None,
) -> Dataset:
    """A dataset of one more run, of these samples by class index; `ledger` and `rejected` are its first shard's.

    `made_by` is the recipe of each sample, where it is not its class's.
    """
    store = open_store(uri or f"memory://{uuid.uuid4().hex}")
    run = run_of(samples, recipes, gated=bool(ledger), seed=seed, shard_rows=shard_rows)
    begin_run(store, run)
    for spec in run.plan.shards():
        rows = [(piece.class_index, piece.first + row) for piece in spec.pieces for row in range(piece.count)]
        marks = [
            RowMarks(made_by[index][row] if made_by else run.plan.classes[index].recipe, 0)
            for index, row in rows
        ]
        data = build_shard(run, spec, [encode(samples[index][row], "png") for index, row in rows], marks)
        if ledger:
            own = ShardLedger(index=spec.index, classes=tuple(ledger) if spec.index == 0 else ())
            put_ledger(store, run.run_id, sha256_hex(data), own)
            put_rejected(store, run.run_id, spec.index, sha256_hex(data), rejected if spec.index == 0 else ())
        put_shard(store, run.run_id, spec.index, spec.rows, data)
    publish(store, seal_run(store, run, "append"), "append")
    return open_dataset(store.uri)


def newest(dataset: Dataset) -> CommittedRun:
    return dataset.runs[-1]

"""A Ray task: the samples of a shard → augmented, encoded, a Parquet file, an object in the store.

Owns what is stored with a shard and what Prometheus is told of it. Imports no torch, which would take each worker longer
than a shard does.
"""

import functools
import math
import time
from collections.abc import Sequence
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa

from augment.data.images import encode_images
from augment.objects import open_store
from augment.sampling.filled import Filled, Rejected
from augment.store.commit import put_shard
from augment.store.failures import ShardFailure
from augment.store.ledgers import put_ledger
from augment.store.rejected import RejectedRow, put_rejected
from augment.store.shards import build_shard
from augment.types import RunPlan, ShardReceipt, sha256_hex
from pipelines import metrics
from pipelines.bottleneck import Stored
from pipelines.filled_shards import filled_of
from pipelines.pixels import augmented
from pipelines.tries import tried

__all__ = ["commit_shard"]


def commit_shard(batch: dict[str, npt.NDArray[Any]], run_json: bytes, store_uri: str, board: Any) -> pa.Table:
    """Stage 2, a task: samples become augmented, encoded, a Parquet file, and an object in the store."""
    run, failure, shard = _run_of(run_json), batch["failure"][0], None
    if failure is None:
        filled = filled_of(batch, run.plan.image)
        stored = tried(
            board,
            "writing",
            filled.block.spec.index,
            lambda: _store(run, filled, store_uri, board),
            heeds_stop=False,
        )
        assert stored is not None  # noqa: S101  # it heeds no stop
        if isinstance(stored, ShardFailure):
            failure = stored.to_json()
        else:
            shard = stored.index
    return pa.table({"shard": pa.array([shard], pa.int64()), "failure": pa.array([failure], pa.binary())})


@functools.lru_cache(maxsize=2)
def _run_of(run_json: bytes) -> RunPlan:
    """Parsed once in each worker: of 10,000 classes that takes longer than a small shard."""
    return RunPlan.model_validate_json(run_json)


def _store(run: RunPlan, filled: Filled, store_uri: str, board: Any) -> ShardReceipt:
    began_s = time.perf_counter()
    block, index = filled.block, filled.block.spec.index
    images = encode_images(augmented(block, run), run.image_format)
    data = build_shard(run, block.spec, images, block.marks)
    store, sha256, encoded_s = open_store(store_uri), sha256_hex(data), time.perf_counter()
    if filled.ledger is not None:  # before the shard: whoever finds it finds both
        put_ledger(store, run.run_id, sha256, filled.ledger)
        put_rejected(store, run.run_id, index, sha256, _rejected_rows(run, filled.rejected))
    receipt = put_shard(store, run.run_id, index, block.spec.rows, data)
    ended_s = time.perf_counter()
    board.post.remote(Stored(encoded_s - began_s, ended_s - encoded_s))
    _count(run, filled, len(data), ended_s - began_s)
    return receipt


def _count(run: RunPlan, filled: Filled, size_bytes: int, seconds: float) -> None:
    """Tell Prometheus of a stored shard; one that is made twice is counted twice."""
    metrics.shard_seconds(seconds)
    metrics.bytes_written(size_bytes)
    names = {target.label: target.name for target in run.plan.classes}
    if filled.ledger is None:
        for piece in filled.block.spec.pieces:
            metrics.samples_accepted(run.plan.classes[piece.class_index].name, piece.count)
        return
    for one in filled.ledger.classes:
        metrics.samples_accepted(names[one.label], one.accepted)
        metrics.samples_ungated(names[one.label], "recipe", one.ungated)
        metrics.samples_ungated(names[one.label], "shortfall", one.fallback)
        for gate, count in one.refused.items():
            metrics.samples_rejected(names[one.label], gate, count)


def _rejected_rows(run: RunPlan, rejected: Sequence[Rejected]) -> list[RejectedRow]:
    images = encode_images(np.stack([each.pixels_HWC for each in rejected]), "png") if rejected else []
    return [
        RejectedRow(
            image=image,
            label=run.plan.classes[each.class_index].label,
            label_name=run.plan.classes[each.class_index].name,
            sample_index=each.sample_index,
            attempt=each.attempt,
            gate=each.gate,
            score=None if math.isnan(each.score) else each.score,
        )
        for each, image in zip(rejected, images, strict=True)
    ]

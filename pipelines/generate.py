"""Ray Data: shard specs → pixels → committed shards, each exactly once however often it is tried.

Two stages of one pipeline: an actor pool holds the frozen generator and the gates and turns a row 'shard' into a
row 'samples of that shard'; CPU tasks encode them, build the Parquet bytes and put them. Only receipts reach
the driver, and encoding never holds up the accelerator.
"""

import math
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy

from augment.data.images import encode_images
from augment.gan.config import GenerateConfig
from augment.objects import ObjectStore, open_store
from augment.sampling.gated import Filled, Rejected, fill_shard
from augment.store.commit import ExistingPolicy, begin_run, missing_shards, put_shard, seal_run
from augment.store.ledgers import put_ledger
from augment.store.rejected import RejectedRow, put_rejected
from augment.store.shards import build_shard
from augment.types import Manifest, RunPlan, ShardReceipt, sha256_hex
from pipelines import metrics
from pipelines.cluster import Cluster, Device, ray_errors
from pipelines.pixels import augmented
from pipelines.progress import Progress, log
from pipelines.sampler_inputs import SamplerInputs, filled_of, filled_to_table, opened

__all__ = ["generate_run"]

# Both stages take half a CPU, so that they run side by side even where there is a single one.
STAGE_CPUS = 0.5

_SHARDS_WITH_REJECTED = 4  # the first ones keep a few candidates that were refused, for looking


def generate_run(
    store: ObjectStore,
    run: RunPlan,
    inputs: Callable[[], SamplerInputs],
    config: GenerateConfig,
    policy: ExistingPolicy,
    start_cluster: Callable[[], Cluster],
    progress: Progress,
) -> Manifest:
    """Make the shards of `run` that the store does not hold yet, and seal the run's manifest.

    `inputs` are asked for, and the cluster is started, only if there is something to make. Raises PartialError where shards are missing
    at the end: the same call resumes; and what `publish` would raise under this policy by then.
    """
    begun = begin_run(store, run)
    if begun.manifest is not None:
        log.info("generate: run %s is committed already", run.run_id)
        return begun.manifest
    missing = missing_shards(store, run)
    if len(missing) < run.plan.num_shards:
        there = run.plan.num_shards - len(missing)
        log.info("generate: %d of %d shards are there already", there, run.plan.num_shards)
    if missing:
        cluster = start_cluster()
        _make_shards(store, run, inputs(), missing, config, cluster, progress)
    return seal_run(store, run, policy)


def _make_shards(
    store: ObjectStore, run: RunPlan, inputs: SamplerInputs, missing: list[int], config: GenerateConfig,
    cluster: Cluster, progress: Progress,
) -> None:  # fmt: skip
    device = cluster.device_for(config.device, processes=config.actors or 1, field="generate.device")
    # On a CPU a generator computes on one thread, so that its sums never change their order.
    most = config.actors or int(cluster.gpus if device == "gpu" else cluster.cpus)
    actors = max(1, min(most, len(missing)))
    total = sum(run.plan.shard(index).rows for index in missing)
    with progress.stage("generate", total=total, unit="samples") as stage:
        done = 0
        with ray_errors("generating"):
            for row in _pipeline(store.uri, run, inputs, missing, device, actors).iter_rows():
                done += run.plan.shard(ShardReceipt.model_validate_json(row["receipt"]).index).rows
                rate = done / max(stage.seconds, 1e-9)
                metrics.images_per_second("generate", rate)
                stage.advance_to(done, f"{rate:,.0f} samples/s")


def _pipeline(
    store_uri: str,
    run: RunPlan,
    inputs: SamplerInputs,
    missing: list[int],
    device: Device,
    actors: int,
) -> "ray.data.Dataset":
    """Both stages over the missing shards; a row at the end is a receipt, in any order."""
    run_json = run.to_json()
    return (
        ray.data.from_items([{"shard": index} for index in missing], override_num_blocks=len(missing))
        .map_batches(
            ShardSampler,
            fn_constructor_args=(inputs, device),
            batch_size=1,
            compute=ActorPoolStrategy(min_size=1, max_size=actors, initial_size=actors),
            num_cpus=STAGE_CPUS,
            num_gpus=1 if device == "gpu" else 0,
        )
        .map_batches(commit_shard, fn_args=(run_json, store_uri), batch_size=1, num_cpus=STAGE_CPUS)
    )


class ShardSampler:
    """Stage 1, an actor: holds generator, gates and real images; a shard's number becomes its samples."""

    def __init__(self, inputs: SamplerInputs, device: Device) -> None:
        self._run, self._keep_rejected = inputs.run, inputs.keep_rejected
        self._open = ExitStack()  # held: what is opened stays open for as long as the actor lives
        self._candidates, self._keeper, self._scores = opened(inputs, device, self._open)
        self._on_gpu, self._ended_s = device == "gpu", time.perf_counter()

    def __call__(self, batch: dict[str, npt.NDArray[np.int64]]) -> pa.Table:
        """One shard number in; one row with its samples, its ledger and what was refused out."""
        index, began_s = int(batch["shard"][0]), time.perf_counter()
        filled = fill_shard(
            self._run,
            self._run.plan.shard(index),
            self._candidates,
            self._keeper,
            self._scores,
            keep_rejected=self._keep_rejected if index < _SHARDS_WITH_REJECTED else 0,
        )
        waited_s, self._ended_s = began_s - self._ended_s, time.perf_counter()
        if self._on_gpu:
            metrics.gpu_idle_share("generate", waited_s / (waited_s + self._ended_s - began_s))
        return filled_to_table(filled)


def commit_shard(batch: dict[str, npt.NDArray[Any]], run_json: bytes, store_uri: str) -> pa.Table:
    """Stage 2, a task: samples become augmented, encoded, a Parquet file, and an object in the store."""
    began_s, run = time.perf_counter(), RunPlan.model_validate_json(run_json)
    filled = filled_of(batch, run.plan.image)
    block, index = filled.block, filled.block.spec.index
    images = encode_images(augmented(block, run), run.image_format)
    data = build_shard(run, block.spec, images, block.marks)
    store, sha256 = open_store(store_uri), sha256_hex(data)
    if filled.ledger is not None:  # before the shard: whoever finds it finds both
        put_ledger(store, run.run_id, sha256, filled.ledger)
        put_rejected(store, run.run_id, index, sha256, _rejected_rows(run, filled.rejected))
    receipt = put_shard(store, run.run_id, index, block.spec.rows, data)
    _count(run, filled, len(data), time.perf_counter() - began_s)
    return pa.table({"receipt": pa.array([receipt.to_json()], pa.binary())})


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
        metrics.samples_accepted(names[one.label], one.accepted + one.fallback)
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

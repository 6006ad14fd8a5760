"""Ray Data: shard specs → pixels → committed shards, each exactly once however often it is tried.

Two stages of one pipeline: an actor pool holds the frozen generator and turns a row 'shard' into a row
'pixels of that shard'; CPU tasks encode them, build the Parquet bytes and put them. Only receipts reach
the driver, and encoding never holds up the accelerator.
"""

from collections.abc import Callable
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
import torch
from ray.data import ActorPoolStrategy

from augment.data.images import encode_images
from augment.gan.config import GenerateConfig
from augment.gan.generator import frozen_generator
from augment.objects import ObjectStore, open_store
from augment.store.commit import ExistingPolicy, begin_run, missing_shards, put_shard, seal_run
from augment.store.shards import build_shard
from augment.types import Manifest, RunPlan, ShardReceipt
from pipelines.cluster import Cluster, Device, ray_errors
from pipelines.pixels import augmented
from pipelines.progress import Progress, log

__all__ = ["generate_run"]

# Both stages take half a CPU, so that they run side by side even where there is a single one.
STAGE_CPUS = 0.5


def generate_run(
    store: ObjectStore,
    run: RunPlan,
    model_key: str,
    config: GenerateConfig,
    policy: ExistingPolicy,
    start_cluster: Callable[[], Cluster],
    progress: Progress,
) -> Manifest:
    """Make the shards of `run` that the store does not hold yet, and seal the run's manifest.

    The cluster is started only if there is something to make. Raises PartialError where shards are missing
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
        _make_shards(store, run, model_key, missing, config, start_cluster(), progress)
    return seal_run(store, run, policy)


def _make_shards(
    store: ObjectStore, run: RunPlan, model_key: str, missing: list[int], config: GenerateConfig, cluster: Cluster,
    progress: Progress,
) -> None:  # fmt: skip
    device = cluster.device_for(config.device, processes=config.actors or 1, field="generate.device")
    # On a CPU a generator computes on one thread, so that its sums never change their order.
    most = config.actors or int(cluster.gpus if device == "gpu" else cluster.cpus)
    actors = max(1, min(most, len(missing)))
    total = sum(run.plan.shard(index).rows for index in missing)
    with progress.stage("generate", total=total, unit="samples") as stage:
        done = 0
        with ray_errors("generating"):
            for row in _pipeline(store.uri, run, model_key, missing, device, actors).iter_rows():
                done += ShardReceipt.model_validate_json(row["receipt"]).rows
                stage.advance_to(done, f"{done / max(stage.seconds, 1e-9):,.0f} samples/s")


def _pipeline(
    store_uri: str,
    run: RunPlan,
    model_key: str,
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
            fn_constructor_args=(run_json, store_uri, model_key, device),
            batch_size=1,
            compute=ActorPoolStrategy(min_size=1, max_size=actors, initial_size=actors),
            num_cpus=STAGE_CPUS,
            num_gpus=1 if device == "gpu" else 0,
        )
        .map_batches(commit_shard, fn_args=(run_json, store_uri), batch_size=1, num_cpus=STAGE_CPUS)
    )


class ShardSampler:
    """Stage 1, an actor: holds the frozen generator; a shard's number becomes its pixels."""

    def __init__(self, run_json: bytes, store_uri: str, model_key: str, device: Device) -> None:
        self._run = RunPlan.model_validate_json(run_json)
        gate = frozen_generator(
            open_store(store_uri).get(model_key),
            sha256=self._run.generator_sha256,
            device=torch.device("cuda" if device == "gpu" else "cpu"),
            batch_size=self._run.plan.batch_size,
        )
        self._open = ExitStack()  # held: the gate stays open for as long as the actor lives
        self._generator = self._open.enter_context(gate)

    def __call__(self, batch: dict[str, npt.NDArray[np.int64]]) -> pa.Table:
        """One shard number in; one row with its uint8 pixels [rows, H, W, C], flat, out."""
        index = int(batch["shard"][0])
        block = self._generator.generate_block(self._run.plan, self._run.plan.shard(index))
        return pa.table(
            {
                "shard": pa.array([index], pa.int64()),
                "pixels": pa.array([block.pixels_BHWC.data.cast("B")], pa.large_binary()),
            }
        )


def commit_shard(batch: dict[str, npt.NDArray[Any]], run_json: bytes, store_uri: str) -> pa.Table:
    """Stage 2, a task: pixels become augmented, encoded, a Parquet file, and an object in the store."""
    run = RunPlan.model_validate_json(run_json)
    spec = run.plan.shard(int(batch["shard"][0]))
    shape = run.plan.image
    flat = np.frombuffer(batch["pixels"][0], np.uint8)
    pixels_BHWC = augmented(flat.reshape(spec.rows, shape.size, shape.size, shape.channels), run, spec)
    images = encode_images(pixels_BHWC, run.image_format)
    data = build_shard(run, spec, images)
    receipt = put_shard(open_store(store_uri), run.run_id, spec.index, spec.rows, data)
    return pa.table({"receipt": pa.array([receipt.to_json()], pa.binary())})

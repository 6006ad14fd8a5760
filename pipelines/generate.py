"""Ray Data: shard specs → pixels → committed shards, each exactly once however often it is tried.

Two stages of one pipeline: an actor pool holds the frozen generator and the gates and turns a row 'shard'
into a row 'samples of that shard'; CPU tasks commit them (pipelines.commit_shards). Only shard
numbers reach the driver, and encoding never holds up the accelerator. A shard whose making fails each time
it is tried (pipelines.tries) is named and left out: the others are made.

What the driver holds of a run must not grow with it. Of many shards, a generator is given several at a
time, and each is handed on by itself as soon as it is made. Of very many, one pipeline makes a part after
the other, since Ray Data keeps statistics of every block for as long as a pipeline runs.
"""

import math
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import ray
from ray.data import ActorPoolStrategy, DataContext

from augment.errors import PartialError
from augment.gan.config import GenerateConfig
from augment.objects import ObjectStore
from augment.sampling.filled import Filled
from augment.sampling.gated import fill_shard
from augment.store.commit import ExistingPolicy, begin_run, missing_shards, seal_run
from augment.store.failures import ShardFailure, put_failures
from augment.types import AugmentPlan, Manifest, RunPlan
from pipelines import metrics
from pipelines.board import new_board, watching
from pipelines.bottleneck import Sampled, Tally, find_bottleneck
from pipelines.cluster import Cluster, Device, ray_errors
from pipelines.commit_shards import commit_shard
from pipelines.filled_shards import failure_to_table, filled_to_table, no_row
from pipelines.progress import Progress, log
from pipelines.room import generation_needs, with_room
from pipelines.sampler_inputs import SamplerInputs, opened
from pipelines.stopping import in_order, was_asked
from pipelines.tries import tried

__all__ = ["blocks_of", "generate_run", "shards_at_once"]

# Both stages take half a CPU, so that they run side by side even where there is a single one.
STAGE_CPUS = 0.5

# Blocks of shard numbers lie in the driver's memory: a few kilobytes and half a millisecond each. At the end,
# generators wait for the one that has a block left: a small part of all it has made.
LEAST_BLOCKS = 1_000
BLOCKS_A_GENERATOR = 64

# Of one pipeline. Between two, generators are opened anew: some seconds, against some hundred shards of each.
LEAST_AT_ONCE = 20_000
AT_ONCE_A_GENERATOR = 500

# Samples for which a further generator is started, which takes it seconds of a core.
WORTH_A_GENERATOR = 500

_NAMED = 10  # failures that the log tells, at most

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

    `inputs` are asked for, and the cluster is started, only if there is something to make. Raises
    PartialError where shards are missing at the end (those that failed are named in the store, and the same
    call resumes), and what `publish` would raise under this policy by then. On SIGTERM no shard is begun
    any more, and KeyboardInterrupt follows.
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
        failures = _make_shards(store, run, inputs(), missing, config, cluster, progress)
        put_failures(store, run.run_id, failures)
        _refuse_failures(store, run, failures)
    return seal_run(store, run, policy)


def _make_shards(
    store: ObjectStore, run: RunPlan, inputs: SamplerInputs, missing: list[int], config: GenerateConfig,
    cluster: Cluster, progress: Progress,
) -> list[ShardFailure]:  # fmt: skip
    """Make what can be made of them; what could not."""
    cluster = with_room(cluster, generation_needs(config), what="generation")
    device = cluster.device_for(config.device, processes=config.actors or 1, field="generate.device")
    # On a CPU a generator computes on one thread, so that its sums never change their order.
    total, board, tally = sum(run.plan.rows_of(index) for index in missing), new_board(), Tally()
    places = int(cluster.gpus if device == "gpu" else cluster.cpus)
    most = config.actors or min(places, math.ceil(total / WORTH_A_GENERATOR))
    actors = max(1, min(most, len(missing)))
    log.info("generate: %d shard(s) to make, by %d generator(s) on %ss", len(missing), actors, device.upper())
    with progress.stage("generate", total=total, unit="samples") as stage:
        done, failures = 0, list[ShardFailure]()
        stage.waits_for(f"{actors} generator(s) to start and make the first shard")
        with (
            in_order("shards that are begun are finished", board.ask_to_stop.remote),
            ray_errors("generating"),
            watching(board, tally.add),
        ):
            for row in _rows(store.uri, run, inputs, missing, device, actors, board):
                if row["failure"] is not None:
                    failures.append(ShardFailure.model_validate_json(row["failure"]))
                    continue
                shard = row["shard"]
                done += run.plan.rows_of(shard)
                rate = done / max(stage.seconds, 1e-9)
                metrics.images_per_second("generate", rate)
                stage.advance_to(done, f"{rate:,.0f} samples/s", shard=shard)
    found = find_bottleneck(tally, device=device, actors=actors, cpus=cluster.cpus, stage_cpus=STAGE_CPUS)
    if found is not None:
        known = {"bottleneck": found.stage, "busy": round(found.busy, 3), "cpus_wanted": found.cpus}
        log.info("generate: %s", found.message, extra={"fields": known})
    return failures


def _refuse_failures(store: ObjectStore, run: RunPlan, failures: Sequence[ShardFailure]) -> None:
    if not failures:
        return
    for failure in failures[:_NAMED]:
        log.error("generate: %s", failure)
    more = f", and {len(failures) - 1} more shards" if failures[1:] else ""
    raise PartialError(
        f"run {run.run_id} at {store.uri}: {failures[0]}{more}; _runs/{run.run_id}/failures.json names them all. The "
        "others are stored and nothing is published; the same command tries just these again"
    )


def shards_at_once(generators: int) -> int:
    """How many shards one pipeline makes at most; there is one after the other."""
    return max(LEAST_AT_ONCE, AT_ONCE_A_GENERATOR * generators)


def _rows(
    store_uri: str, run: RunPlan, inputs: SamplerInputs, missing: list[int], device: Device, actors: int, board: Any
) -> Iterator[dict[str, Any]]:  # fmt: skip
    """What comes of the missing shards, by as many pipelines as it takes; once it is over, none is begun."""
    at_once = shards_at_once(actors)
    for first in range(0, len(missing), at_once):
        if was_asked() or (inputs.ends_at is not None and time.time() >= inputs.ends_at):
            return
        some = missing[first : first + at_once]
        yield from _pipeline(store_uri, run, inputs, some, device, actors, board).iter_rows()


def _pipeline(
    store_uri: str,
    run: RunPlan,
    inputs: SamplerInputs,
    missing: list[int],
    device: Device,
    actors: int,
    board: Any,
) -> "ray.data.Dataset":
    """Both stages over the missing shards: rows of stored shards' numbers, or of failures, in any order."""
    run_json = run.to_json()
    blocks = blocks_of(len(missing), actors)
    numbers = ray.data.from_items([{"shard": index} for index in missing], override_num_blocks=blocks)
    _hand_on_each(numbers.context, run.plan)
    sampled = numbers.map_batches(
        ShardSampler,
        fn_constructor_args=(inputs, device, board),
        batch_size=1,
        compute=ActorPoolStrategy(min_size=1, max_size=actors, initial_size=actors),
        num_cpus=STAGE_CPUS,
        num_gpus=1 if device == "gpu" else 0,
    )
    return sampled.map_batches(
        commit_shard, fn_args=(run_json, store_uri, board), batch_size=1, num_cpus=STAGE_CPUS
    )


def blocks_of(shards: int, generators: int) -> int:
    """In how many blocks the numbers of so many shards are given to so many generators."""
    return min(shards, max(LEAST_BLOCKS, BLOCKS_A_GENERATOR * generators))


def _hand_on_each(context: DataContext, plan: AugmentPlan) -> None:
    """Have a task's output leave it shard by shard, rather than in blocks of Ray's usual size."""
    shard_bytes = plan.shard_rows * plan.image.size**2 * plan.image.channels
    usual_bytes = context.target_max_block_size
    context.target_max_block_size = (
        shard_bytes if usual_bytes is None else max(1, min(shard_bytes, usual_bytes))
    )


class ShardSampler:
    """Stage 1, an actor: holds generator, gates and real images; a shard's number becomes its samples."""

    def __init__(self, inputs: SamplerInputs, device: Device, board: Any) -> None:
        self._run, self._keep_rejected, self._board = inputs.run, inputs.keep_rejected, board
        self._ends_at = inputs.ends_at
        self._open = ExitStack()  # held: what is opened stays open for as long as the actor lives
        self._candidates, self._keeper, self._scores = opened(inputs, device, self._open)
        self._on_gpu, self._ended_s = device == "gpu", time.perf_counter()

    def __call__(self, batch: dict[str, npt.NDArray[np.int64]]) -> pa.Table:
        """One shard number in; one row out: samples, ledger and what was refused, or why there is none.

        No row once the budget is over or the job is to end: what was begun before is finished, and the
        pipeline runs dry.
        """
        if self._ends_at is not None and time.time() >= self._ends_at:
            return no_row()
        index, began_s = int(batch["shard"][0]), time.perf_counter()
        filled = tried(self._board, "sampling", index, lambda: self._fill(index))
        waited_s, self._ended_s = began_s - self._ended_s, time.perf_counter()
        self._board.post.remote(Sampled(waited_s, self._ended_s - began_s))
        if self._on_gpu:
            metrics.gpu_idle_share("generate", waited_s / (waited_s + self._ended_s - began_s))
        if filled is None:
            return no_row()
        return failure_to_table(filled) if isinstance(filled, ShardFailure) else filled_to_table(filled)

    def _fill(self, index: int) -> Filled:
        return fill_shard(
            self._run,
            self._run.plan.shard(index),
            self._candidates,
            self._keeper,
            self._scores,
            keep_rejected=self._keep_rejected if index < _SHARDS_WITH_REJECTED else 0,
        )

"""Generation on GPUs that only sleep: all of pipelines.generate, with a generator of a fixed rate in place of ours.

For a process of its own, whose Ray is told of GPUs that are not there. What is replaced are four functions that
pipelines.generate calls in its workers, by the names that it knows them by: what opens a model, what fills a shard, and,
where a simulation makes them slow, what encodes and what puts one. The pipeline, its actors, tasks, blocks and
backpressure are the real ones. Prints one JSON document.
"""

from __future__ import annotations

import json
import sys
import tempfile
import time
from collections.abc import Callable, Sequence
from contextlib import ExitStack
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import ray

import pipelines.commit_shards
import pipelines.generate
from augment.config import RayConfig
from augment.gan.config import GenerateConfig
from augment.objects import ObjectStore, open_store
from augment.sampling.filled import Filled
from augment.store.commit import make_run_plan, put_shard
from augment.store.shards import planned_marks
from augment.types import (
    AugmentPlan,
    ClassTarget,
    ImageShape,
    RunPlan,
    SampleBlock,
    ShardReceipt,
    ShardSpec,
)
from pipelines.bottleneck import Finding, Tally, find_bottleneck
from pipelines.cluster import ray_cluster
from pipelines.progress import Progress
from pipelines.sampler_inputs import SamplerInputs
from tests.pipelines.injection import injected

__all__ = ["Outcome", "Simulation", "main"]


@dataclass(frozen=True)
class Simulation:
    """How many there are, and how long each of them sleeps over a shard."""

    gpus: int
    cpus: int
    shards: int
    sampling_s: float
    encoding_s: float = 0.0  # 0: encoded in earnest
    putting_s: float = 0.0
    rows: int = 4  # of a shard
    size: int = 16  # pixels of an image's side
    object_store_bytes: int = 200_000_000
    folder: str = ""  # where the GPUs note when they slept


@dataclass(frozen=True)
class Outcome:
    """What came of it."""

    busy: float  # seconds slept ÷ (GPUs × seconds from the first sleep's begin to the last one's end)
    stage: str
    told_busy: float
    cpus: int | None  # that the finding asks for
    message: str
    rows: int


TOGETHER_WITHIN_S = 120.0

SIMULATION: Simulation  # of this process, and sent along with what is replaced
FOUND: list[Finding | None] = []


def main(arguments: Sequence[str]) -> None:
    """Simulate what the JSON in the first argument says."""
    global SIMULATION
    asked = Simulation(**json.loads(arguments[0]))
    with tempfile.TemporaryDirectory(prefix="simulated-") as folder:
        SIMULATION = Simulation(**{**asdict(asked), "folder": f"{folder}/slept"})
        Path(SIMULATION.folder).mkdir()
        print(json.dumps(asdict(_generated(SIMULATION, open_store(f"{folder}/out")))))


def _generated(simulation: Simulation, store: ObjectStore) -> Outcome:
    run = _run(simulation)
    inputs = SamplerInputs(run, store.uri, None, None, None, None, keep_rejected=0)
    config = GenerateConfig(actors=simulation.gpus, device="gpu")
    replaced: dict[str, Callable[..., Any]] = {
        "opened": once_all_are_up,
        "fill_shard": sleep_over,
        "find_bottleneck": remember_finding,
    }
    committing: dict[str, Callable[..., Any]] = {}
    if simulation.encoding_s:
        committing["encode_images"] = encode_slowly
    if simulation.putting_s:
        committing["put_shard"] = put_slowly
    ray.init(
        address="local", num_gpus=simulation.gpus, num_cpus=simulation.cpus, include_dashboard=False,
        object_store_memory=simulation.object_store_bytes, log_to_driver=False, logging_level="error",
    )  # fmt: skip
    with (
        injected(pipelines.commit_shards, **committing),
        injected(pipelines.generate, **replaced),
        ray_cluster(RayConfig()) as cluster,
    ):
        progress = Progress("none", quiet=True)
        manifest = pipelines.generate.generate_run(
            store, run, lambda: inputs, config, "refuse", lambda: cluster, progress
        )
    ray.shutdown()
    found = FOUND[0]
    assert found is not None
    rows = sum(shard.rows for shard in manifest.shards)
    return Outcome(_busy(simulation), found.stage, found.busy, found.cpus, found.message, rows)


def _run(simulation: Simulation) -> RunPlan:
    rows = simulation.shards * simulation.rows
    plan = AugmentPlan(
        seed=0,
        image=ImageShape(size=simulation.size, channels=3),
        classes=(ClassTarget(label=0, name="a", real=1, target=1 + rows),),
        shard_rows=simulation.rows,
        batch_size=4,
    )
    return make_run_plan(
        plan, generator_sha256="ab" * 32, image_format="png", augmentation=None, versions={"torch": "2"}
    )


def _busy(simulation: Simulation) -> float:
    slept = [
        tuple(map(float, line.split()))
        for path in Path(simulation.folder).glob("*.slept")
        for line in path.read_text().splitlines()
    ]
    began_s, ended_s = min(began for began, _ in slept), max(ended for _, ended in slept)
    assert len(slept) == simulation.shards
    return sum(ended - began for began, ended in slept) / (simulation.gpus * (ended_s - began_s))


# ---- what is replaced in workers ------------------------------------------------------------------------


def once_all_are_up(inputs: SamplerInputs, device: str, stack: ExitStack) -> tuple[None, None, None]:
    """Opens nothing. GPUs begin together: how long their processes take to start is not what is asked here."""
    import os

    folder = Path(SIMULATION.folder)
    (folder / f"{os.getpid()}.up").touch()
    until_s = time.monotonic() + TOGETHER_WITHIN_S
    while len(list(folder.glob("*.up"))) < SIMULATION.gpus and time.monotonic() < until_s:
        time.sleep(0.05)
    return None, None, None


def sleep_over(run: RunPlan, spec: ShardSpec, *_: object, keep_rejected: int) -> Filled:
    """Black images, at the GPU's fixed rate; when it slept is noted."""
    import os

    began_s = time.time()
    time.sleep(SIMULATION.sampling_s)
    with (Path(SIMULATION.folder) / f"{os.getpid()}.slept").open("a") as file:
        file.write(f"{began_s} {time.time()}\n")
    image = run.plan.image
    pixels_BHWC = np.zeros((spec.rows, image.size, image.size, image.channels), np.uint8)
    return Filled(SampleBlock(spec, pixels_BHWC, planned_marks(run.plan, spec)), None, ())


def encode_slowly(pixels_BHWC: Any, image_format: str) -> list[bytes]:
    """Nothing like an image, after a while."""
    time.sleep(SIMULATION.encoding_s)
    return [b"slow"] * len(pixels_BHWC)


def put_slowly(store: ObjectStore, run_id: str, index: int, rows: int, data: bytes) -> ShardReceipt:
    """As the store does it, after a while."""
    time.sleep(SIMULATION.putting_s)
    return put_shard(store, run_id, index, rows, data)


def remember_finding(tally: Tally, **kwargs: Any) -> Finding | None:
    """In the driver: what is found is found as ever."""
    FOUND.append(find_bottleneck(tally, **kwargs))
    return FOUND[-1]


if __name__ == "__main__":
    from tests.pipelines import simulated_gpus  # under its own name, by which it is sent to workers

    simulated_gpus.main(sys.argv[1:])

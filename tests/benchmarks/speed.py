"""Suite `speed`: samples a second, from a generator to committed shards, beside a limit, a tutorial and plain Ray.

Ours is `pipelines.generate` through Ray on a local store, until the run's manifest is sealed. The cluster's
start and a first small run, which loads the libraries into its workers, are not timed but reported, for plain Ray
as well; the actors that each run starts anew are part of the time. What the gates cost is a comparison of its own
(`gating`).
"""

from __future__ import annotations

import tempfile
import time
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from augment.types import ImageShape
from tests.benchmarks.demo import DEMO_SHAPE
from tests.benchmarks.gating import gates_beside_generation
from tests.benchmarks.measure import Case, Comparison, Outcome, timed

if TYPE_CHECKING:
    from augment.data.images import ImageFormat
    from augment.gan.networks import Generator
    from augment.types import RunPlan
    from pipelines.cluster import Cluster

__all__ = ["REPEATS", "comparisons"]

REPEATS = 5
TUTORIAL = "tutorial: one by one, to files"
PLAIN_RAY = "plain Ray Data: range, map_batches, write_parquet"
LIMIT = "limit: forward and encode only, a process a core"


@dataclass(frozen=True, slots=True)
class Work:
    """What is generated, and how much of it; the tutorial is slow, and its rate does not depend on how many."""

    image: ImageShape
    image_format: ImageFormat
    samples: int
    shard_rows: int
    tutorial_samples: int

    def __str__(self) -> str:
        colour = "gray" if self.image.channels == 1 else "RGB"
        return f"generate {self.samples:,} {self.image_format}, {self.image.size}×{self.image.size} {colour}"


def comparisons(small: bool, stack: ExitStack) -> list[Comparison]:
    """One for each kind of image, and one of the gates."""
    rgb = ImageShape(size=64, channels=3)
    works = [
        Work(DEMO_SHAPE, "png", *((2_000, 500, 200) if small else (20_000, 2_000, 2_000))),
        Work(rgb, "webp", *((400, 100, 40) if small else (100_000, 2_000, 1_000))),
    ]
    generating = [
        Comparison(
            name=str(work),
            unit="samples",
            cases=[
                Case(TUTORIAL, partial(tutorial, work)),
                Case(PLAIN_RAY, partial(plain_ray, work)),
                Case(LIMIT, partial(limit, work)),
                Case("ours, through Ray, committed", partial(ours, work)),
            ],
            baselines=[TUTORIAL, PLAIN_RAY, LIMIT],
        )
        for work in works
    ]
    return [*generating, gates_beside_generation(200 if small else 5_000, stack)]


def ours(work: Work) -> Outcome:
    """Ray Data's two stages and the commit protocol."""
    from augment.objects import open_store
    from augment.types import sha256_hex
    from pipelines.generate import generate_run
    from pipelines.progress import Progress
    from pipelines.sampler_inputs import SamplerInputs
    from tests.benchmarks.demo import demo_config, untrained_generator

    generator, model_key = untrained_generator(work.image), "_models/bench/generator.safetensors"
    digest = sha256_hex(generator)
    with ExitStack() as stack:
        store = open_store(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        store.put(model_key, generator)
        cluster, start_s = _ray(stack)

        def generate(run: RunPlan) -> None:
            config, progress = demo_config().generate, Progress("none", quiet=True)
            inputs = SamplerInputs(run, store.uri, model_key, None, None, None, keep_rejected=0)
            generate_run(store, run, lambda: inputs, config, "refuse", lambda: cluster, progress)

        first_s = timed(lambda: generate(_run(work, 200, 100, digest, seed=1)))
        plan = _run(work, work.samples, work.shard_rows, digest, seed=0)
        seconds = timed(lambda: generate(plan))
    return Outcome(work.samples, seconds, apart={"Ray's start": start_s, "first run": first_s})


def plain_ray(work: Work) -> Outcome:
    """What Ray's documentation teaches, on the same kind of cluster."""
    from tests.benchmarks.baselines.naive_ray import generate_with_ray_data
    from tests.benchmarks.demo import CLASSES, demo_config

    generator, latent_dim = _network(work), demo_config(work.image).model.latent_dim
    with ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        _, start_s = _ray(stack)

        def generate(samples: int, name: str) -> None:
            generate_with_ray_data(generator, latent_dim, CLASSES, samples, folder / name, work.image_format)

        first_s = timed(lambda: generate(200, "first"))
        seconds = timed(lambda: generate(work.samples, "all"))
    return Outcome(work.samples, seconds, apart={"Ray's start": start_s, "first run": first_s})


def limit(work: Work) -> Outcome:
    """The upper baseline."""
    from augment.gan.networks.layers import channels_last
    from tests.benchmarks.baselines.limit import forward_and_encode, one_process_a_core
    from tests.benchmarks.demo import CLASSES, demo_config

    config = demo_config(work.image)
    with one_process_a_core(channels_last(_network(work))) as (pool, cores):

        def encode(samples: int) -> None:
            forward_and_encode(
                pool, cores, config.model.latent_dim, CLASSES, samples, work.image_format,
                config.generate.batch_size,
            )  # fmt: skip

        encode(cores * config.generate.batch_size)
        samples = min(work.samples, 20_000)
        return Outcome(samples, timed(lambda: encode(samples)))


def tutorial(work: Work) -> Outcome:
    """The lower baseline."""
    from tests.benchmarks.baselines.tutorial_sampling import sample_to_files
    from tests.benchmarks.demo import CLASSES, demo_config

    generator, latent_dim = _network(work), demo_config(work.image).model.latent_dim
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:

        def sample(samples: int) -> None:
            sample_to_files(generator, latent_dim, CLASSES, samples, Path(folder), work.image_format)

        sample(10)
        return Outcome(work.tutorial_samples, timed(lambda: sample(work.tutorial_samples)))


def _ray(stack: ExitStack) -> tuple[Cluster, float]:
    """A cluster of this machine for as long as `stack` is open, and the seconds that its start took."""
    from augment.config import RayConfig
    from pipelines.cluster import ray_cluster

    began_s = time.perf_counter()
    cluster = stack.enter_context(ray_cluster(RayConfig(address="local")))
    return cluster, time.perf_counter() - began_s


def _network(work: Work) -> Generator:
    from augment.gan.networks import build_generator
    from tests.benchmarks.demo import CLASSES, demo_config

    config = demo_config(work.image)
    network = build_generator(config.model, work.image, CLASSES, seed=config.seed)
    return network.eval().requires_grad_(False)


def _run(work: Work, samples: int, shard_rows: int, digest: str, *, seed: int) -> RunPlan:
    from augment.store.commit import make_run_plan
    from tests.benchmarks.demo import even_plan

    return make_run_plan(
        even_plan(samples, shard_rows, seed=seed, image=work.image),
        generator_sha256=digest,
        image_format=work.image_format,
        augmentation=None,
        versions={},
    )

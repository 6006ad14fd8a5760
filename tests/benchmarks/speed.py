"""Suite `speed`: samples a second, from a generator to committed shards, beside a limit and a tutorial.

Ours is `pipelines.generate` through Ray on a local store, until the run's manifest is sealed. The cluster's
start and a first small run, which loads the libraries into its workers, are not timed but reported; the
actor that each run starts anew is part of the time. What the gates cost is a comparison of its own (`gating`).
"""

from __future__ import annotations

import tempfile
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING

from tests.benchmarks.gating import gates_beside_generation
from tests.benchmarks.measure import Case, Comparison, Outcome, timed

if TYPE_CHECKING:
    from augment.data.images import ImageFormat
    from augment.gan.networks import Generator
    from augment.types import RunPlan

__all__ = ["REPEATS", "comparisons"]

REPEATS = 3
TUTORIAL = "tutorial: one by one, to files"
LIMIT = "limit: forward and encode only"


@dataclass(frozen=True, slots=True)
class Scale:
    """Samples of each contender (the tutorial is slow, and its rate does not depend on how many)."""

    samples: int
    shard_rows: int
    tutorial_samples: int
    judged_samples: int


def comparisons(small: bool, stack: ExitStack) -> list[Comparison]:
    """One for each encoding, and one of the gates."""
    scale = Scale(2_000, 500, 200, 200) if small else Scale(20_000, 2_000, 2_000, 5_000)
    formats: tuple[ImageFormat, ...] = ("png", "webp")
    encodings = [
        Comparison(
            name=f"generate {image_format}, 28×28 gray",
            unit="samples",
            cases=[
                Case(TUTORIAL, partial(tutorial, image_format, scale)),
                Case(LIMIT, partial(limit, image_format, scale)),
                Case("ours, through Ray, committed", partial(ours, image_format, scale)),
            ],
            baselines=[TUTORIAL, LIMIT],
        )
        for image_format in formats
    ]
    return [*encodings, gates_beside_generation(scale.judged_samples, stack)]


def ours(image_format: ImageFormat, scale: Scale) -> Outcome:
    """Ray Data's two stages and the commit protocol."""
    from augment.config import RayConfig
    from augment.objects import open_store
    from augment.types import sha256_hex
    from pipelines.cluster import Cluster, ray_cluster
    from pipelines.generate import generate_run
    from pipelines.progress import Progress
    from pipelines.sampler_inputs import SamplerInputs
    from tests.benchmarks.demo import demo_config, untrained_generator

    generator, model_key = untrained_generator(), "_models/bench/generator.safetensors"
    with ExitStack() as stack:
        store = open_store(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        store.put(model_key, generator)
        started: list[Cluster] = []
        ray_start_s = timed(
            lambda: started.append(stack.enter_context(ray_cluster(RayConfig(address="local"))))
        )

        def generate(run: RunPlan) -> None:
            config, progress = demo_config().generate, Progress("none", quiet=True)
            inputs = SamplerInputs(run, store.uri, model_key, None, None, None, keep_rejected=0)
            generate_run(store, run, lambda: inputs, config, "refuse", lambda: started[0], progress)

        digest = sha256_hex(generator)
        first_run_s = timed(lambda: generate(_run(200, 100, image_format, digest, seed=1)))
        plan = _run(scale.samples, scale.shard_rows, image_format, digest, seed=0)
        seconds = timed(lambda: generate(plan))
    return Outcome(scale.samples, seconds, apart={"Ray's start": ray_start_s, "first run": first_run_s})


def limit(image_format: ImageFormat, scale: Scale) -> Outcome:
    """The upper baseline."""
    import torch

    from augment.gan.networks.layers import channels_last
    from tests.benchmarks.baselines.limit import forward_and_encode
    from tests.benchmarks.demo import CLASSES, demo_config

    generator = channels_last(_network())
    noise_BD = torch.randn(scale.samples, demo_config().model.latent_dim)
    label_B = torch.arange(scale.samples) % CLASSES
    batch = demo_config().generate.batch_size
    forward_and_encode(generator, noise_BD[:batch], label_B[:batch], image_format, batch)
    seconds = timed(lambda: forward_and_encode(generator, noise_BD, label_B, image_format, batch))
    return Outcome(scale.samples, seconds)


def tutorial(image_format: ImageFormat, scale: Scale) -> Outcome:
    """The lower baseline."""
    from tests.benchmarks.baselines.tutorial_sampling import sample_to_files
    from tests.benchmarks.demo import CLASSES, demo_config

    generator, latent_dim = _network(), demo_config().model.latent_dim
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:

        def sample(samples: int) -> None:
            sample_to_files(generator, latent_dim, CLASSES, samples, Path(folder), image_format)

        sample(10)
        return Outcome(scale.tutorial_samples, timed(lambda: sample(scale.tutorial_samples)))


def _network() -> Generator:
    from augment.gan.networks import build_generator
    from tests.benchmarks.demo import CLASSES, demo_config

    config = demo_config()
    network = build_generator(config.model, config.image.shape, CLASSES, seed=config.seed)
    return network.eval().requires_grad_(False)


def _run(samples: int, shard_rows: int, image_format: ImageFormat, digest: str, *, seed: int) -> RunPlan:
    from augment.store.commit import make_run_plan
    from tests.benchmarks.demo import even_plan

    return make_run_plan(
        even_plan(samples, shard_rows, seed=seed),
        generator_sha256=digest,
        image_format=image_format,
        augmentation=None,
        versions={},
    )

"""Suite `train`: images a second of the whole `augment train`, beside a tutorial's loop and the bare steps.

All train the same networks on the demo's images with the demo's config, from PNG files in class folders:
  tutorial    the loop that PyTorch's tutorials teach (`baselines/tutorial_gan.py`)
  steps       our step on batches that lie in memory (`baselines/pure_compute.py`): the limit
  in Ray      the same in a worker of Ray Train (`baselines/steps_in_ray.py`): the limit where Ray runs on these cores
  ours        `augment train`: Ray, draws, reports, measurements of quality, snapshots, pictures
Reading the source, starting workers and the first steps are not timed. Then two workers of one core each
beside one worker of one core, at the same batch over all workers, and two processes that take such a worker's
steps and exchange nothing: what two cores of this machine can give.
"""

from __future__ import annotations

import multiprocessing
import os
import tempfile
import time
from concurrent.futures import ProcessPoolExecutor
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.measure import Case, Comparison, Outcome, in_fresh_process

if TYPE_CHECKING:
    import torch

    from augment.gan.training import RealImages, TrainingSpec

__all__ = ["REPEATS", "comparisons"]

REPEATS = 3
TUTORIAL, STEPS, OURS = "tutorial loop, PNG files", "steps alone", "augment train"
IN_RAY = "steps alone, in a worker of Ray Train"
ONE_WORKER, TWO_WORKERS = "1 worker of 1 core", "2 workers of 1 core each"
TWO_APART = "steps alone, 2 processes of 1 core, no gradient exchanged"


@dataclass(frozen=True, slots=True)
class Scale:
    """Steps run first, and steps timed: multiples of `log_every`.

    Ours is measured between two reports, with as many measurements of quality and snapshots among the timed
    steps as that share of the demo's 5,000-step default run would have.
    """

    warm_up: int
    timed: int
    log_every: int
    evaluate_every: int
    snapshot_every: int

    @property
    def total(self) -> int:
        """Steps in all."""
        return self.warm_up + self.timed


FULL = Scale(warm_up=100, timed=500, log_every=50, evaluate_every=250, snapshot_every=500)
SMALL = Scale(warm_up=2, timed=4, log_every=2, evaluate_every=4, snapshot_every=4)


def comparisons(small: bool, stack: ExitStack) -> list[Comparison]:
    """Two; the PNG files last as long as `stack`."""
    scale = SMALL if small else FULL
    cores = len(os.sched_getaffinity(0))
    folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    in_fresh_process(write_images, folder, small)
    return [
        Comparison(
            name=f"train dcgan, 28×28, batch 64, {cores} core(s)",
            unit="images",
            cases=[
                Case(TUTORIAL, partial(tutorial, folder, scale, cores)),
                Case(STEPS, partial(steps_alone, folder, scale, cores)),
                Case(IN_RAY, partial(steps_in_ray, folder, scale, cores)),
                Case(OURS, partial(ours, folder, scale, 1, cores)),
            ],
            baselines=[TUTORIAL, STEPS, IN_RAY],
        ),
        Comparison(
            name="augment train, workers of one core",
            unit="images",
            cases=[
                Case(ONE_WORKER, partial(ours, folder, scale, 1, 1)),
                Case(TWO_WORKERS, partial(ours, folder, scale, 2, 1)),
                Case(TWO_APART, partial(two_apart, folder, scale)),
            ],
            baselines=[ONE_WORKER, TWO_APART],
        ),
    ]


def write_images(folder: Path, small: bool) -> None:
    """The demo's images, as PNG files in class folders; 20 of each class where `small`."""
    from tests.benchmarks.demo import CLASSES
    from tests.benchmarks.real_images import packaged, write_folder

    images = packaged("demo://fashion-mnist-lt")
    write_folder(images.cut([0] * CLASSES, [20] * CLASSES) if small else images, folder)


def ours(folder: Path, scale: Scale, workers: int, cores_each: int) -> Outcome:
    """The whole command, from its report after the warm-up to its last."""
    _give_threads(cores_each)
    from tests.benchmarks.whole_train import whole_train

    with tempfile.TemporaryDirectory(prefix="bench-") as output:
        config = _config(folder, Path(output), scale, workers, cores_each)
        trained = whole_train(config, "none")
    seconds = trained.seconds_between(scale.warm_up, scale.total)
    amount = scale.timed * config["train"]["batch_size"]
    return Outcome(amount, seconds, apart={"start and warm-up": trained.seconds - seconds})


def steps_alone(folder: Path, scale: Scale, cores: int) -> Outcome:
    """The limit."""
    _give_threads(cores)
    from tests.benchmarks.baselines.pure_compute import train

    spec, images = _spec_and_images(folder, scale)
    clock = _Clock()
    train(spec, images, on_step=clock.tick)
    return clock.outcome(scale, spec.train.batch_size)


def steps_in_ray(folder: Path, scale: Scale, cores: int) -> Outcome:
    """The limit beside Ray's own processes."""
    _give_threads(cores)
    from tests.benchmarks.baselines.steps_in_ray import train_in_ray

    spec, images = _spec_and_images(folder, scale)
    with tempfile.TemporaryDirectory(prefix="bench-") as place:
        seconds = train_in_ray(spec, images, first_step=scale.warm_up, cores=cores, folder=Path(place))
    return Outcome(scale.timed * spec.train.batch_size, seconds)


def two_apart(folder: Path, scale: Scale) -> Outcome:
    """The limit of two workers; the slower process's time."""
    _give_threads(1)
    spawn = multiprocessing.get_context("spawn")
    with ProcessPoolExecutor(2, mp_context=spawn) as pool:
        outcomes = list(pool.map(_one_apart, [folder] * 2, [scale] * 2, [0, 1]))
    return max(outcomes, key=lambda outcome: outcome.seconds)


def _one_apart(folder: Path, scale: Scale, rank: int) -> Outcome:
    from tests.benchmarks.baselines.pure_compute import train

    spec, images = _spec_and_images(folder, scale)
    clock = _Clock()
    train(spec, images, on_step=clock.tick, rank=rank, world_size=2)
    return clock.outcome(scale, spec.train.batch_size)  # of the batch of both


def tutorial(folder: Path, scale: Scale, cores: int) -> Outcome:
    """The lower baseline."""
    _give_threads(cores)
    import torch

    from augment.gan.diffaugment import UNIFORMS_PER_IMAGE, diffaugment
    from augment.gan.networks import build_discriminator, build_generator
    from tests.benchmarks.baselines.tutorial_gan import train

    spec, _ = _spec_and_images(folder, scale)
    settings, clock = spec.train, _Clock()

    def augment(images_BCHW: torch.Tensor) -> torch.Tensor:
        return diffaugment(
            images_BCHW,
            torch.rand(len(images_BCHW), UNIFORMS_PER_IMAGE),
            operations=settings.diffaugment,
            probability=settings.diffaugment_probability,
        )

    train(
        build_generator(spec.model, spec.image, len(spec.classes), seed=spec.seed),
        build_discriminator(spec.model, spec.image, len(spec.classes), seed=spec.seed),
        folder,
        augment,
        latent_dim=spec.model.latent_dim,
        steps=settings.steps,
        batch_size=settings.batch_size,
        learning_rate=settings.learning_rate,
        beta2=settings.beta2,
        gamma=settings.gamma,
        penalty_every=settings.penalty_every,
        on_step=lambda step, loss_d, loss_g: clock.tick(step),
    )
    return clock.outcome(scale, settings.batch_size)


class _Clock:
    """When each step was done."""

    def __init__(self) -> None:
        self._at: dict[int, float] = {}

    def tick(self, step: int) -> None:
        self._at[step] = time.perf_counter()

    def outcome(self, scale: Scale, batch_size: int) -> Outcome:
        return Outcome(scale.timed * batch_size, self._at[scale.total] - self._at[scale.warm_up])


def _give_threads(cores: int) -> None:
    """Before torch is imported, which reads the variable once."""
    os.environ["OMP_NUM_THREADS"] = str(cores)


def _config(folder: Path, output: Path, scale: Scale, workers: int, cores_each: int) -> dict[str, Any]:
    """The demo's config on the PNG files, every choice its own: no preset."""
    from augment.config import config_to_dict
    from tests.benchmarks.contenders import merged
    from tests.benchmarks.demo import demo_config

    changes = {
        "source": {"uri": str(folder)},
        "output": {"uri": str(output)},
        "model": {"preset": "none", "backbone": "dcgan"},
        "train": {
            "steps": scale.total,
            "log_every": scale.log_every,
            "evaluate_every": scale.evaluate_every,
            "snapshot_every": scale.snapshot_every,
            "workers": workers,
            "cpus_per_worker": cores_each,
            "patience": 0,
        },
        "ray": {"address": "local", "num_cpus": max(2, workers * cores_each)},
    }
    return merged(config_to_dict(demo_config()), changes)


def _spec_and_images(folder: Path, scale: Scale) -> tuple[TrainingSpec, RealImages]:
    """What `augment train` would train on, decoded."""
    import numpy as np

    from augment.config import Config
    from augment.data.images import decode_image
    from augment.data.sources import open_source
    from augment.gan.training import RealImages, TrainingSpec
    from augment.types import canonical_json

    config = Config.model_validate_json(
        canonical_json(_config(folder, folder.parent / "unused", scale, 1, 1))
    )
    source = open_source(config.source)
    listing = source.listing()
    items = [item for chunk in source.chunks() for item in source.read(chunk)]
    images = RealImages(
        pixels_NHWC=np.stack([decode_image(item.data, config.image) for item in items]),
        class_index_N=listing.labels_B[[item.item_index for item in items]].astype(np.int64),
    )
    spec = TrainingSpec(
        model=config.model,
        train=config.train,
        image=config.image.shape,
        classes=listing.classes,
        counts=tuple(np.bincount(images.class_index_N, minlength=len(listing.classes)).tolist()),
        seed=config.seed,
        data_sha256="0" * 64,
    )
    return spec, images

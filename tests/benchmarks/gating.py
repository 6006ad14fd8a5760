"""Part of suite `speed`: what the quality gates cost beside what generation costs without them.

One thread each, so that both are work and not cores. The gates are those of a whole `augment run`: every candidate
is judged, and compared with all that were kept of its class in the shard. They were calibrated on the demo's real
images, by classifiers of one step: it takes as long to ask them as well-fitted ones. Candidates are real images with
noise on them, all kept: no group of samples is more work to look for repeats in.

N = real images, B = candidates, H, W, C = rows, columns, channels.
"""

from __future__ import annotations

from contextlib import ExitStack
from functools import partial
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING

from tests.benchmarks.measure import Case, Comparison, Outcome, in_fresh_process, timed

if TYPE_CHECKING:
    import numpy as np
    import numpy.typing as npt

__all__ = ["gates_beside_generation"]

FORWARD = "the generator's forward pass"
STAGE = "generation: forward, PNG, Parquet"
_NOISE = 10.0  # gray levels


def gates_beside_generation(samples: int, stack: ExitStack) -> Comparison:
    """Its ratios are times: gates that are 5.00 × the forward pass's rate take a fifth of its time."""
    folder = Path(stack.enter_context(TemporaryDirectory(prefix="bench-")))
    in_fresh_process(_prepare, folder)
    return Comparison(
        name="gates and generation, 28×28 gray, one thread",
        unit="samples",
        cases=[
            Case(FORWARD, partial(forward, folder, samples)),
            Case(STAGE, partial(stage, folder, samples)),
            Case("gates: judged, and no repeats", partial(gates, folder, samples)),
        ],
        baselines=[FORWARD, STAGE],
    )


def forward(folder: Path, samples: int) -> Outcome:
    """uint8 pixels of so many samples."""
    import torch

    from augment.gan.generator import frozen_generator
    from augment.types import sha256_hex

    data = (folder / "generator").read_bytes()
    opening = frozen_generator(data, sha256=sha256_hex(data), device=torch.device("cpu"), batch_size=samples)
    class_index_B, sample_index_B = _samples(samples)
    with opening as generate:
        generate(0, class_index_B[:100], sample_index_B[:100])
        return Outcome(samples, timed(lambda: generate(0, class_index_B, sample_index_B)))


def stage(folder: Path, samples: int) -> Outcome:
    """The same, encoded and put into the bytes of a shard."""
    from augment.data.images import encode_images
    from augment.store.commit import make_run_plan
    from augment.store.shards import build_shard
    from tests.benchmarks.demo import even_plan

    run = make_run_plan(
        even_plan(samples, samples),
        generator_sha256="0" * 64,
        image_format="png",
        augmentation=None,
        versions={},
    )
    candidates_BHWC, _ = _candidates(folder, samples)

    def encode() -> None:
        build_shard(run, run.plan.shard(0), encode_images(candidates_BHWC, "png"))

    return Outcome(samples, forward(folder, samples).seconds + timed(encode))


def gates(folder: Path, samples: int) -> Outcome:
    """Verdicts on so many candidates, and the same features asked for repeats."""
    import numpy as np
    import torch

    from augment.quality.gates import GateKeeper
    from augment.types import sha256_hex

    torch.set_num_threads(1)
    data = (folder / "gates").read_bytes()
    keeper = GateKeeper.from_bytes(data, sha256=sha256_hex(data))
    pixels_BHWC, class_index_B = _candidates(folder, samples)

    def judge() -> None:
        features_EBF = keeper.judge(pixels_BHWC, class_index_B).features_EBF
        for class_index in np.unique(class_index_B).tolist():
            own = class_index_B == class_index
            keeper.repeats(class_index).refuse(pixels_BHWC[own], features_EBF[:, own])

    keeper.judge(pixels_BHWC[:100], class_index_B[:100])
    return Outcome(samples, timed(judge))


def _prepare(folder: Path) -> None:
    """Gates and a generator's file into `folder`, and the real images that candidates are made of."""
    import numpy as np

    from augment.quality.calibration import calibrate
    from augment.quality.config import GatesConfig
    from tests.benchmarks.demo import CLASSES, untrained_generator
    from tests.benchmarks.real_images import packaged

    real = packaged("demo://fashion-mnist-lt")
    keeper = calibrate(real.pixels_NHWC, real.class_index_N, CLASSES, GatesConfig(steps=1), 0)
    (folder / "gates").write_bytes(keeper.to_bytes())
    (folder / "generator").write_bytes(untrained_generator())
    np.savez(folder / "real.npz", pixels_NHWC=real.pixels_NHWC, class_index_N=real.class_index_N)


def _samples(samples: int) -> tuple[npt.NDArray[np.int64], npt.NDArray[np.int64]]:
    """Class and sample index of so many samples, class after class: [B] and [B]."""
    import numpy as np

    from tests.benchmarks.demo import CLASSES

    class_index_B = np.arange(samples, dtype=np.int64) * CLASSES // samples
    return class_index_B, np.arange(samples, dtype=np.int64)


def _candidates(folder: Path, samples: int) -> tuple[npt.NDArray[np.uint8], npt.NDArray[np.int64]]:
    """Noisy real images of each class in turn, uint8 [B, H, W, C], and their classes, [B]."""
    import numpy as np

    class_index_B, _ = _samples(samples)
    random = np.random.default_rng(0)
    with np.load(folder / "real.npz") as real:
        own = [np.flatnonzero(real["class_index_N"] == index) for index in class_index_B.tolist()]
        chosen = [rows[place % len(rows)] for place, rows in enumerate(own)]
        noisy = real["pixels_NHWC"][chosen] + random.normal(
            0, _NOISE, (samples, *real["pixels_NHWC"].shape[1:])
        )
    return np.clip(noisy, 0, 255).astype(np.uint8), class_index_B

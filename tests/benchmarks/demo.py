"""The demo's config and an untrained generator of its kind: what the suites measure with.

Owns no measurement. Imports the heavy parts only where they are used.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import as_file, files

from augment.config import Config, load_config
from augment.types import AugmentPlan, ClassInfo, ClassTarget, ImageShape

__all__ = ["CLASSES", "DEMO_SHAPE", "demo_config", "even_plan", "untrained_generator"]

CLASSES = 10  # as the demo's data has
DEMO_SHAPE = ImageShape(size=28, channels=1)


@cache
def demo_config(image: ImageShape = DEMO_SHAPE) -> Config:
    """The packaged config of `augment demo`, for images of this shape; what it leaves open is as by default."""
    shape = [f"image.size={image.size}", f"image.channels={image.channels}"]
    with as_file(files("augment.data.demo") / "demo.yaml") as path:
        return load_config(path, shape)


def even_plan(samples: int, shard_rows: int, *, seed: int = 0, image: ImageShape = DEMO_SHAPE) -> AugmentPlan:
    """`samples` synthetic images of this shape, spread over ten classes."""
    each = samples // CLASSES
    return AugmentPlan(
        seed=seed,
        image=image,
        classes=tuple(
            ClassTarget(label=index, name=f"class {index}", real=1, target=1 + each)
            for index in range(CLASSES)
        ),
        shard_rows=shard_rows,
        batch_size=demo_config(image).generate.batch_size,
    )


def untrained_generator(image: ImageShape = DEMO_SHAPE) -> bytes:
    """The generator's file before its first step: as much work a sample as a trained one."""
    import torch

    from augment.gan.generator import export_generator
    from augment.gan.spec import TrainingSpec
    from augment.gan.state import new_state

    config = demo_config(image)
    spec = TrainingSpec(
        model=config.model,
        train=config.train,
        image=image,
        classes=tuple(ClassInfo(label=index, name=f"class {index}") for index in range(CLASSES)),
        counts=(1,) * CLASSES,
        seed=config.seed,
        data_sha256="0" * 64,
    )
    return export_generator(new_state(spec, torch.device("cpu")))

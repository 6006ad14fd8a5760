"""The demo's config and an untrained generator of its shape: what the suites measure with.

Owns no measurement. Imports the heavy parts only where they are used.
"""

from __future__ import annotations

from importlib.resources import as_file, files

from augment.config import Config, load_config
from augment.types import AugmentPlan, ClassInfo, ClassTarget

__all__ = ["demo_config", "even_plan", "untrained_generator"]

CLASSES = 10  # as the demo's data has


def demo_config() -> Config:
    """The packaged config of `augment demo`."""
    with as_file(files("augment.data.demo") / "demo.yaml") as path:
        return load_config(path, [])


def even_plan(samples: int, shard_rows: int, *, seed: int = 0) -> AugmentPlan:
    """`samples` synthetic images of the demo's shape, spread over its ten classes."""
    each = samples // CLASSES
    return AugmentPlan(
        seed=seed,
        image=demo_config().image.shape,
        classes=tuple(
            ClassTarget(label=index, name=f"class {index}", real=1, target=1 + each)
            for index in range(CLASSES)
        ),
        shard_rows=shard_rows,
        batch_size=demo_config().generate.batch_size,
    )


def untrained_generator() -> bytes:
    """The demo's generator before its first step: as much work a sample as a trained one."""
    import torch

    from augment.gan.generator import export_generator
    from augment.gan.spec import TrainingSpec
    from augment.gan.state import new_state

    config = demo_config()
    spec = TrainingSpec(
        model=config.model,
        train=config.train,
        image=config.image.shape,
        classes=tuple(ClassInfo(label=index, name=f"class {index}") for index in range(CLASSES)),
        counts=(1,) * CLASSES,
        seed=config.seed,
        data_sha256="0" * 64,
    )
    return export_generator(new_state(spec, torch.device("cpu")))

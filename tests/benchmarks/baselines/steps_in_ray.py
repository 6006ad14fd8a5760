"""The bare steps in a worker of Ray Train that does nothing else: what Ray's own processes take of these cores.

Each of them (a dozen, mostly idle) takes about a hundredth of a core, and a step's threads wait for each other: what
one core does for Ray, the others wait for.
"""

from __future__ import annotations

import time
from pathlib import Path
from typing import Any

import ray
from ray.train import RunConfig, ScalingConfig
from ray.train.torch import TorchTrainer

from augment.gan.spec import TrainingSpec
from augment.gan.training import RealImages

__all__ = ["train_in_ray"]


def train_in_ray(
    spec: TrainingSpec, images: RealImages, *, first_step: int, cores: int, folder: Path
) -> float:
    """Seconds from `first_step` to the last one, in one worker with so many cores; starts Ray and stops it.

    `folder` is an empty one, for Ray's own files and for the answer.
    """
    answer = folder / "seconds"
    ray.init(num_cpus=max(2, cores), include_dashboard=False, log_to_driver=False, logging_level="error")
    try:
        TorchTrainer(
            _loop,
            train_loop_config={
                "spec": spec.to_json(), "images": [ray.put(images)], "first_step": first_step, "cores": cores,
                "answer": str(answer),
            },
            scaling_config=ScalingConfig(num_workers=1, resources_per_worker={"CPU": cores}),
            run_config=RunConfig(storage_path=str(folder / "ray")),
        ).fit()  # fmt: skip
    finally:
        ray.shutdown()
    return float(answer.read_text())


def _loop(config: dict[str, Any]) -> None:
    import torch

    from tests.benchmarks.baselines.pure_compute import train

    torch.set_num_threads(config["cores"])
    at: dict[int, float] = {}
    train(
        TrainingSpec.model_validate_json(config["spec"]),
        ray.get(config["images"][0]),
        on_step=lambda step: at.setdefault(step, time.perf_counter()),
    )
    Path(config["answer"]).write_text(str(at[max(at)] - at[config["first_step"]]))

"""What there is to train on, and how fast training is taken to be there. Estimates; no torch here.

Owns the record of the hardware and the measured rates. Asks no machine: the pipelines know theirs.
"""

import math
from collections.abc import Mapping

from augment.gan.config import ModelConfig, TrainConfig
from augment.types import ImageShape, Record

__all__ = ["Hardware", "cpus_a_worker", "gpus_for", "training_images_per_s"]

CORE_IMAGES_PER_S = 290.0
"""Real images a second shown by one core: dcgan of width 48, 32 px, gray, bf16, batch 64. Measured."""

BACKBONE_COST: Mapping[str, float] = {"dcgan": 1.0, "resnet": 2.4, "r3gan": 3.2, "style": 2.2}
"""Time of a step, dcgan = 1. Measured at 32 px and width 48 on one core."""

GPU_AS_CORES = 150.0
"""Cores that one data-centre GPU is taken for. Assumed, not measured."""


class Hardware(Record):
    """What there is to train on."""

    cpus: float
    gpus: int = 0


def gpus_for(train: TrainConfig, hardware: Hardware) -> int:
    """GPUs that training has, one a worker; 0 where it runs on CPUs. `train.device=gpu` is taken at its word."""
    least, most = train.worker_range
    if train.device == "cpu" or (train.device == "auto" and hardware.gpus < least):
        return 0
    return min(most, max(least, hardware.gpus))


def cpus_a_worker(train: TrainConfig, *, cpus: float, cpus_per_node: float, on_gpu: bool) -> float:
    """CPUs that each training worker reserves: what the config says, else the cluster's are shared out among the
    most workers that may come, within a node; 1 beside a GPU.
    """
    if train.cpus_per_worker is not None:
        return train.cpus_per_worker
    if on_gpu:
        return 1.0
    _, most = train.worker_range
    share = min(cpus / most, cpus_per_node)
    return float(int(share)) if share >= 1 else share


def training_images_per_s(
    model: ModelConfig, train: TrainConfig, image: ImageShape, hardware: Hardware
) -> float:
    """Real images a second over all workers: an estimate, good to about a factor of two.

    A step's work grows with pixels · width² · resolutions, and sides that are no multiple of 8 cost what the
    next one does. (On one core it says 290 at 28 px gray and 48 at 64 px in colour, where 340 and 54 were
    measured.)
    """
    cores = GPU_AS_CORES * gpus_for(train, hardware)
    if not cores:
        reserved = train.cpus_per_worker
        cores = hardware.cpus if reserved is None else train.worker_range[1] * reserved
    side = math.ceil(image.size / 8) * 8
    resolutions = math.log2(side / 8)  # above a base of 4 to 8 pixels; 2 at 32 px
    work = (side / 32) ** 2 * (model.width / 48) ** 2 * (resolutions / 2) * BACKBONE_COST[model.backbone]
    return CORE_IMAGES_PER_S * cores / work

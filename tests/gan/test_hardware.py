"""augment.gan.hardware: rates near those measured, on the devices that training would have."""

import subprocess
import sys

import pytest

from augment.gan.config import ModelConfig, TrainConfig
from augment.gan.hardware import Hardware, gpus_for, training_images_per_s
from augment.types import ImageShape

ONE_CORE = Hardware(cpus=1)


def rate(size: int, channels: int, hardware: Hardware = ONE_CORE, **model: object) -> float:
    image = ImageShape(size=size, channels=channels)  # type: ignore[arg-type]
    return training_images_per_s(ModelConfig(**model), TrainConfig(), image, hardware)  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("size", "channels", "backbone", "measured_images_per_s"),
    [
        (32, 1, "dcgan", 300), (28, 1, "dcgan", 343), (64, 3, "dcgan", 54),
        (32, 1, "resnet", 127), (32, 1, "r3gan", 94), (32, 1, "style", 135),
    ],
)  # fmt: skip
def test_rates_are_within_a_quarter_of_those_measured_on_one_core(
    size: int, channels: int, backbone: str, measured_images_per_s: float
) -> None:
    assert rate(size, channels, backbone=backbone) == pytest.approx(measured_images_per_s, rel=0.25)


def test_the_rate_grows_with_the_cores_that_the_workers_have() -> None:
    image = ImageShape(size=32, channels=1)
    reserved = TrainConfig(workers=2, cpus_per_worker=3)

    assert rate(32, 1, Hardware(cpus=8)) == 8 * rate(32, 1)
    assert training_images_per_s(ModelConfig(), reserved, image, Hardware(cpus=64)) == 6 * rate(32, 1)


def test_a_gpu_counts_for_each_worker_that_has_one() -> None:
    image, two = ImageShape(size=64, channels=3), TrainConfig(workers=2)
    one_gpu, two_gpus = Hardware(cpus=8, gpus=1), Hardware(cpus=8, gpus=2)

    assert gpus_for(TrainConfig(), one_gpu) == 1
    assert gpus_for(TrainConfig(device="cpu"), one_gpu) == 0
    assert gpus_for(two, one_gpu) == 0
    assert gpus_for(TrainConfig(workers=(1, 3)), two_gpus) == 2
    assert gpus_for(TrainConfig(workers=2, device="gpu"), ONE_CORE) == 2
    on_two = training_images_per_s(ModelConfig(), two, image, two_gpus)
    assert on_two == 2 * training_images_per_s(ModelConfig(), TrainConfig(), image, one_gpu)


def test_choosing_imports_no_torch() -> None:
    code = "import sys, augment.gan.presets; sys.exit('torch' in sys.modules)"
    assert subprocess.run([sys.executable, "-c", code], check=False).returncode == 0

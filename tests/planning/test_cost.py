"""augment.planning.cost: estimates that agree with what was measured and name what they assume."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.planning.cost import TrainingLoad, bytes_per_image, encode_s_per_image, estimate
from augment.types import AugmentPlan, ClassTarget, ImageShape


def plan_of(rows: int, *, shard_rows: int = 100, batch_size: int = 50, size: int = 64) -> AugmentPlan:
    classes = (ClassTarget(label=0, name="a", real=0, target=rows),)
    image = ImageShape(size=size, channels=3)
    return AugmentPlan(seed=0, image=image, classes=classes, shard_rows=shard_rows, batch_size=batch_size)


@pytest.mark.parametrize(
    ("image_format", "size", "measured_images_per_s"),
    [
        ("png", 64, 2019), ("png", 128, 624), ("png", 256, 156),
        ("webp", 64, 6534), ("webp", 128, 1933), ("webp", 256, 597),
    ],
)  # fmt: skip
def test_encoding_is_within_a_quarter_of_the_measured_rates(
    image_format: str, size: int, measured_images_per_s: float
) -> None:
    seconds = encode_s_per_image(ImageShape(size=size, channels=3), image_format)  # type: ignore[arg-type]
    assert 1 / seconds == pytest.approx(measured_images_per_s, rel=0.25)


def test_a_photograph_of_256_pixels_takes_about_130_kb_as_png() -> None:
    assert bytes_per_image(ImageShape(size=256, channels=3), "png") == pytest.approx(130_000, rel=0.15)


@given(st.integers(0, 3000), st.integers(1, 300), st.integers(1, 300))
def test_generating_counts_every_padded_pass_of_every_shard(
    rows: int, shard_rows: int, batch_size: int
) -> None:
    plan = plan_of(rows, shard_rows=shard_rows, batch_size=batch_size)
    padded = [math.ceil(shard.rows / batch_size) * batch_size for shard in plan.shards()]
    assert estimate(plan, "png", images_per_s=1).generate_s == sum(padded)


def test_totals_are_rows_times_one_image() -> None:
    plan = plan_of(1000)
    cost = estimate(plan, "webp", images_per_s=500, devices=2)
    assert (cost.rows, cost.shards) == (1000, 10)
    assert cost.total_bytes == 1000 * bytes_per_image(plan.image, "webp")
    assert cost.encode_core_s == pytest.approx(1000 * encode_s_per_image(plan.image, "webp"))
    assert cost.generate_s == 1.0
    assert cost.train_s is None


def test_training_time_is_images_over_rate() -> None:
    load = TrainingLoad(steps=5000, batch_size=64, images_per_s=800)
    assert load.kimg == 320
    assert estimate(plan_of(10), "png", training=load).train_s == 400


def test_every_assumed_rate_is_named() -> None:
    load = TrainingLoad(steps=5000, batch_size=64, images_per_s=812)
    said = "\n".join(estimate(plan_of(10), "png", images_per_s=1234, devices=3, training=load).assumptions)
    for words in (
        "1,234 images/s from each of 3",
        "812 images/s in training (320 kimg)",
        "bytes an image as png",
    ):
        assert words in said


def test_a_plan_without_samples_costs_nothing() -> None:
    cost = estimate(plan_of(0), "png")
    assert (cost.total_bytes, cost.encode_core_s, cost.generate_s) == (0, 0.0, 0.0)

"""augment.planning.forecast: counts times rates, stage by stage, and what shares the same cores."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.planning.budget import Held
from augment.planning.config import PricesConfig
from augment.planning.forecast import (
    Forecast,
    GenerateTrial,
    Machine,
    ReadTrial,
    TrainTrial,
    Work,
    forecast,
)
from augment.planning.interval import Interval
from augment.planning.slices import Slices

FREE = PricesConfig()


def exactly(seconds: float) -> Slices:
    """Slices that don't differ."""
    return Slices(units=(1.0, 1.0, 1.0), totals=(seconds,) * 3)


def read(**changes: object) -> ReadTrial:
    settings = {
        "images": 1_000, "decode_s": exactly(0.01), "encoded_bytes": exactly(400), "put_s": exactly(0.5),
        "put_bytes": 50_000, "start_s": 0.0, "peak_bytes": 10**8,
    }  # fmt: skip
    return ReadTrial.model_validate(settings | changes)


def train(**changes: object) -> TrainTrial:
    settings = {
        "images": 1_000, "held_images": 1_000, "step_s": exactly(0.1), "look_s": exactly(0.2),
        "snapshot_s": exactly(0.5), "evaluation_s": exactly(2.0), "evaluations": 20, "judge_step_s": exactly(0.05),
        "judge_steps": 400, "gates_step_s": exactly(0.02), "gates_look_s": exactly(0.001), "start_s": 0.0,
        "peak_bytes": 10**9, "driver_bytes": 5 * 10**8,
    }  # fmt: skip
    return TrainTrial.model_validate(settings | changes)


def generate(**changes: object) -> GenerateTrial:
    settings = {
        "candidate_s": exactly(0.004), "judged_s": exactly(0.001), "encode_s": exactly(0.001), "row_bytes": 100.0,
        "shard_rows": 256, "start_s": 0.0, "peak_bytes": 6 * 10**8,
    }  # fmt: skip
    return GenerateTrial.model_validate(settings | changes)


def work(**changes: object) -> Work:
    settings = {
        "images": 1_000, "image_bytes": 768, "steps": 1_000, "looks": 20, "snapshots": 4, "rows": 1_000,
        "shard_rows": 100, "candidates_a_row": Interval.exactly(1), "gates_steps": 1_600, "gates_looked_at": 4_000,
        "gates_scored": 500, "closing_images": 2_000,
    }  # fmt: skip
    return Work.model_validate(settings | changes)


def machine(**changes: object) -> Machine:
    settings = {"held": Held(cpus=2.0), "generators": 2}
    return Machine.model_validate(settings | changes)


def seconds(found: Forecast) -> dict[str, float]:
    return {stage.name: stage.seconds.middle for stage in found.stages}


def test_each_stage_is_its_counts_times_its_rates() -> None:
    found = seconds(forecast(work(), machine(), read(), train(), generate(), FREE))

    assert found["decode"] == pytest.approx(1_000 * 0.01 / 2)
    assert found["judge"] == pytest.approx(400 * 0.05)
    worker_group = 6
    assert found["train"] == pytest.approx(1_000 * 0.1 + 20 * 0.2 + 4 * 0.5 + 20 * 2 + worker_group)
    assert found["gates"] == pytest.approx(1_600 * 0.02 + 4_000 * 0.001 + 500 * 0.001)
    # 10 shards on 2 actors: five one after another, the encoding of the last, and a put.
    assert found["generate"] == pytest.approx(max(500 * 0.004 + 100 * 0.001, 1_000 * 0.005 / 2) + 0.5)


def test_wall_time_is_the_sum_of_the_stages_and_hours_and_price_follow() -> None:
    held = Held(cpus=8, gpus=2)
    found = forecast(
        work(), machine(held=held), read(), train(), generate(), PricesConfig(gpu=2.5, cpu=0.05, machine=0.1)
    )

    wall_s = sum(stage.seconds.middle for stage in found.stages)
    assert found.wall_s.middle == pytest.approx(wall_s)
    assert found.gpu_hours.middle == pytest.approx(2 * wall_s / 3600)
    assert found.cpu_hours.middle == pytest.approx(8 * wall_s / 3600)
    assert found.usd is not None
    assert found.usd.middle == pytest.approx(wall_s / 3600 * (2 * 2.5 + 8 * 0.05 + 0.1))


def test_without_prices_there_is_no_price() -> None:
    assert forecast(work(), machine(), read(), train(), generate(), FREE).usd is None


def test_bytes_are_the_images_and_what_their_rows_take() -> None:
    found = forecast(work(), machine(), read(), train(), generate(), FREE)

    assert (found.rows, found.shards) == (1_000, 10)
    assert found.bytes_per_image == Interval.exactly(500)
    assert found.total_bytes == Interval.exactly(500_000)


def test_max_time_cuts_training_off() -> None:
    found = seconds(forecast(work(most_training_s=30), machine(), read(), train(), generate(), FREE))

    assert found["train"] == pytest.approx(30 + 6)


def test_a_plan_without_a_generator_trains_nothing_and_may_have_gates() -> None:
    with_gates = forecast(work(steps=0), machine(), read(), train(), generate(), FREE)
    without = forecast(work(steps=0, gates_steps=0), machine(), read(), None, generate(), FREE)

    assert not {"train", "judge"} & seconds(with_gates).keys()
    assert "gates" in seconds(with_gates)
    assert "gates" not in seconds(without)
    assert without.memory.training_worker is None


def test_on_a_gpu_encoding_runs_beside_drawing() -> None:
    slow_encoding = generate(candidate_s=exactly(0.001), encode_s=exactly(0.1))
    on_gpu = machine(held=Held(cpus=4, gpus=1), generators=1, generates_on_gpus=True)

    found = seconds(forecast(work(), on_gpu, read(), train(), slow_encoding, FREE))

    assert found["generate"] == pytest.approx(1_000 * 0.1 / 4 + 0.5)


def test_several_candidates_a_sample_make_generating_an_extrapolation() -> None:
    gated = work(candidates_a_row=Interval(low=1, middle=1.2, high=2))
    (stage,) = (
        each
        for each in forecast(gated, machine(), read(), train(), generate(), FREE).stages
        if each.name == "generate"
    )

    assert stage.basis == "extrapolated"
    assert "1 to 2 candidates a sample" in stage.note
    assert stage.seconds.low < stage.seconds.middle < stage.seconds.high


def test_what_was_measured_on_a_part_says_so() -> None:
    found = forecast(work(images=50_000), machine(), read(), train(), generate(), FREE)

    (decode,) = (stage for stage in found.stages if stage.name == "decode")
    assert (decode.basis, decode.note) == ("extrapolated", "from 1,000 of 50,000 images")
    assert "training was measured on 1,000 of 50,000 images" in found.notes


def test_several_training_workers_are_an_extrapolation() -> None:
    found = forecast(work(), machine(train_workers=4), read(), train(), generate(), FREE)

    (stage,) = (stage for stage in found.stages if stage.name == "train")
    assert stage.basis == "extrapolated"
    assert "one of 4 workers" in stage.note


def test_a_worker_holds_all_images_and_a_generator_a_whole_shard() -> None:
    few = forecast(work(), machine(), read(), train(), generate(), FREE).memory
    many = forecast(work(images=1_001_000), machine(), read(), train(), generate(), FREE).memory
    large = forecast(
        work(rows=10_256, shard_rows=10_256), machine(), read(), train(), generate(), FREE
    ).memory

    assert few.training_worker is not None
    assert many.training_worker is not None
    assert many.training_worker.middle - few.training_worker.middle == pytest.approx(10**6 * 768)
    assert large.generator.middle - few.generator.middle == pytest.approx(3 * 10_000 * 768)


sizes = st.integers(1, 5_000)
rates = st.floats(1e-4, 1.0)


@given(sizes, sizes, rates, rates, st.integers(1, 64), st.integers(1, 64))
def test_generating_is_never_quicker_than_its_work_on_all_cores(
    rows: int, shard_rows: int, draw_s: float, encode_s: float, cpus: int, generators: int
) -> None:
    trial = generate(candidate_s=exactly(draw_s), encode_s=exactly(encode_s))
    on = machine(held=Held(cpus=float(cpus)), generators=generators)

    found = seconds(forecast(work(rows=rows, shard_rows=shard_rows), on, read(), train(), trial, FREE))

    assert found["generate"] >= rows * (draw_s + encode_s) / cpus - 1e-9
    assert found["generate"] >= min(rows, shard_rows) * draw_s - 1e-9


@given(sizes, sizes, st.integers(1, 8))
def test_more_work_takes_no_less_time_and_no_fewer_bytes(rows: int, steps: int, factor: int) -> None:
    small = forecast(work(rows=rows, steps=steps), machine(), read(), train(), generate(), FREE)
    large = forecast(
        work(rows=rows * factor, steps=steps * factor), machine(), read(), train(), generate(), FREE
    )

    assert large.wall_s.middle >= small.wall_s.middle
    assert large.total_bytes.middle == pytest.approx(factor * small.total_bytes.middle)


def test_uncertain_rates_make_every_figure_uncertain() -> None:
    shaky = Slices(units=(1.0,) * 4, totals=(0.08, 0.1, 0.12, 0.1))
    found = forecast(
        work(), machine(), read(encoded_bytes=shaky), train(step_s=shaky), generate(), PricesConfig(cpu=1)
    )

    assert found.usd is not None
    for figure in (found.wall_s, found.cpu_hours, found.usd, found.bytes_per_image, found.total_bytes):
        assert figure.low < figure.middle < figure.high

"""augment.report.tables: what a terminal of any width shows of a census and a plan."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from rich.cells import cell_len
from rich.console import Console, RenderableType

from augment.gan.hardware import Hardware
from augment.gan.presets import ChosenField
from augment.planning.config import BalanceConfig
from augment.planning.cost import TrainingLoad, estimate
from augment.planning.plan import make_plan
from augment.report.tables import (
    StackedBar,
    bad_images,
    census_table,
    chosen_table,
    human_bytes,
    human_duration,
    plan_chart,
    plan_summary,
)
from augment.types import AugmentPlan, BadImage, ClassCounts, ClassInfo, ImageShape


def rendered(renderable: RenderableType, width: int = 80) -> str:
    console = Console(width=width, color_system=None, force_terminal=False)
    with console.capture() as capture:
        console.print(renderable)
    return capture.get()


def counts_of(*counts: int, prefix: str = "class ") -> ClassCounts:
    classes = tuple(ClassInfo(label=label, name=f"{prefix}{label}") for label in range(len(counts)))
    return ClassCounts(classes=classes, counts=counts)


def plan_of(*counts: int, **balance: object) -> AugmentPlan:
    config = BalanceConfig.model_validate({"min_real": 1, **balance})
    image = ImageShape(size=64, channels=3)
    return make_plan(counts_of(*counts), config, image=image, seed=1, shard_rows=1000, batch_size=100)


def test_a_census_shows_each_class_largest_first_with_its_share() -> None:
    lines = rendered(census_table(counts_of(30, 6000, 0)), 120).splitlines()
    assert [line.split()[1:5] for line in lines[1:4]] == [
        ["1", "1", "6,000", "99.50%"],
        ["0", "0", "30", "0.50%"],
        ["2", "2", "0", "0.00%"],
    ]
    said = " ".join(lines)
    assert "6,030 images in 3 classes; imbalance ratio 200.0 (head 'class 1', tail 'class 0')" in said
    assert "1 without images" in said


def test_a_census_of_ten_thousand_classes_shows_head_tail_and_how_many_between() -> None:
    said = rendered(census_table(counts_of(*range(1, 10_001))))
    assert "class 9999 " in said
    assert "class 0 " in said
    assert "… 9,960 more classes …" in said
    assert "class 5000 " not in said
    assert len(said.splitlines()) < 50


def test_bad_images_are_named_up_to_twenty_and_the_rest_counted() -> None:
    bad = [BadImage(name=f"x/{index}.png", reason="truncated") for index in range(25)]
    said = rendered(census_table(counts_of(5, 5), bad))
    assert "25 left out:\n  x/0.png: truncated" in said
    assert "x/19.png" in said
    assert "x/20.png" not in said
    assert "… and 5 more" in said
    assert rendered(bad_images(bad[:1])) == "1 left out:\n  x/0.png: truncated\n"


def test_names_from_the_data_are_neither_markup_nor_control_codes() -> None:
    said = rendered(census_table(counts_of(5, 5, prefix="[bold]\x1b[31m")))
    assert "[bold]�[31m0" in said
    assert "\x1b" not in said


def test_a_plan_shows_real_and_synthetic_with_different_characters() -> None:
    lines = rendered(plan_chart(plan_of(1000, 500))).splitlines()
    head, tail = lines[1], lines[2]
    assert head.count("░") == 0
    assert tail.split()[:5] == ["class", "1", "500", "+500", "1,000"]
    assert abs(tail.count("█") - tail.count("░")) <= 1
    assert tail.count("█") + tail.count("░") == head.count("█")
    assert lines[3] == "█ real   ░ synthetic"


def test_a_top_up_shows_what_the_dataset_holds_already() -> None:
    plan = plan_of(1000, 500)
    held = plan.classes[1].model_copy(update={"existing": 300, "first": 300})
    lines = rendered(plan_chart(plan.model_copy(update={"classes": (plan.classes[0], held)}))).splitlines()
    assert lines[0].split() == ["Class", "Real", "Existing", "Synthetic", "Total"]
    assert lines[2].split()[:6] == ["class", "1", "500", "300", "+200", "1,000"]
    assert abs(lines[2].count("█") - lines[2].count("░")) <= 1  # what is there is synthetic, too


def test_every_deviation_of_a_plan_is_shown_below_it() -> None:
    said = rendered(plan_chart(plan_of(1000, 500, 3, min_real=10, below_min_real="skip", max_per_class=100)))
    assert "  class 1: max_per_class: 100 of 500 samples\n" in said
    assert "  class 2: skipped: 3 real images, fewer than min_real=10\n" in said


@pytest.mark.parametrize("width", [40, 80, 200])
def test_no_line_is_wider_than_the_terminal_and_the_longest_bar_fills_it(width: int) -> None:
    for renderable in (census_table(counts_of(6000, 40)), plan_chart(plan_of(6000, 40))):
        lines = rendered(renderable, width).splitlines()
        assert all(cell_len(line) <= width for line in lines)
        assert cell_len(lines[1].rstrip()) >= width - 2


@given(st.integers(0, 10**9), st.integers(0, 10**9), st.integers(0, 10**9), st.integers(2, 300))
def test_a_bar_fits_is_in_proportion_and_never_hides_a_part(
    real: int, synthetic: int, more: int, width: int
) -> None:
    longest = real + synthetic + more
    full, light = StackedBar(real, synthetic, longest).blocks(width)
    assert 0 <= full + light <= width
    assert (full > 0, light > 0) == (real > 0, synthetic > 0)
    if longest:
        assert abs(full + light - width * (real + synthetic) / longest) <= 2
        assert abs(full - width * real / longest) <= 2


def test_a_summary_says_how_much_how_big_and_how_long() -> None:
    plan = plan_of(1000, 500, 10)
    cost = estimate(plan, "png", training=TrainingLoad(steps=5000, batch_size=64, images_per_s=800))
    said = rendered(plan_summary(plan, cost), 120)
    assert plan.plan_id in said
    assert "1,490 samples in 2 of 3 classes" in said
    assert "1,510 real images; imbalance ratio 100.0 before, 1.0 after" in said
    assert "2 shards of up to 1,000 rows, about 11.2 MB" in said
    assert "about 7 min" in said
    assert "800 images/s in training (320 kimg)" in said


def test_what_was_chosen_is_told_with_its_value_and_why_at_any_width() -> None:
    chosen = [
        ChosenField(name="train.steps", value=10000, why="640 kimg, about 18 min on 2 CPUs"),
        ChosenField(name="train.diffaugment", value=("translation", "cutout"), why="enough for 12 images"),
    ]
    said = rendered(chosen_table(chosen, Hardware(cpus=2, gpus=1), ["1 class has 7 images"]), 100)
    assert "this machine's 2 CPUs and 1 GPU" in said
    assert "train.steps        10000                  640 kimg, about 18 min on 2 CPUs" in said
    assert "[translation, cutout]" in said
    assert "Warning: 1 class has 7 images" in said
    narrow = rendered(chosen_table(chosen, Hardware(cpus=1)), 50)
    assert max(map(cell_len, narrow.splitlines())) <= 50
    assert "18 min" in narrow.replace("\n", " ")


def test_nothing_chosen_is_nothing_told() -> None:
    assert rendered(chosen_table([], Hardware(cpus=2))).strip() == ""


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (999, "999 B"),
        (1000, "1 kB"),
        (1_340_000, "1.34 MB"),
        (130e12, "130 TB"),
        (2.5e16, "25.0 PB"),
    ],
)
def test_bytes_are_told_in_powers_of_1000(size: float, text: str) -> None:
    assert human_bytes(size) == text


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "less than 1 s"), (45, "45 s"), (720, "12 min"), (12_600, "3.5 h"), (950_400, "11 days")],
)
def test_durations_are_told_in_the_unit_that_fits(seconds: float, text: str) -> None:
    assert human_duration(seconds) == text

"""augment.planning.budget: money and hours as seconds, and training's part of them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import ConfigError
from augment.planning.budget import MOST_KEPT, Held, allowance, training_share, usd_per_hour
from augment.planning.config import BudgetConfig, PricesConfig

prices = st.one_of(st.none(), st.floats(0, 100))
amounts = st.floats(0.01, 1e4)


@given(st.floats(1, 512), st.floats(0, 64), prices, prices, prices)
def test_an_hour_costs_what_each_thing_that_is_held_costs(
    cpus: float, gpus: float, cpu: float | None, gpu: float | None, machine: float | None
) -> None:
    hourly = usd_per_hour(PricesConfig(cpu=cpu, gpu=gpu, machine=machine), Held(cpus=cpus, gpus=gpus))

    if cpu is None and machine is None and (gpu is None or not gpus):
        assert hourly is None
    else:
        assert hourly == pytest.approx(cpus * (cpu or 0) + gpus * (gpu or 0) + (machine or 0))


@given(amounts, amounts, amounts)
def test_the_shorter_of_two_budgets_counts_and_is_named(hours: float, usd: float, price: float) -> None:
    budget = BudgetConfig(hours=hours, usd=usd)

    found = allowance(budget, PricesConfig(machine=price), Held(cpus=2))

    assert found is not None
    assert found.seconds == pytest.approx(3600 * min(hours, usd / price))
    assert found.field.startswith("budget.hours" if hours <= usd / price else "budget.usd")


@given(amounts, amounts, st.floats(1, 64))
def test_a_budget_in_dollars_is_spent_to_the_cent(usd: float, price: float, gpus: float) -> None:
    held = Held(cpus=8, gpus=gpus)

    found = allowance(BudgetConfig(usd=usd), PricesConfig(gpu=price), held)

    assert found is not None
    assert found.seconds / 3600 * gpus * price == pytest.approx(usd)


def test_without_a_budget_nothing_is_allowed_or_refused() -> None:
    assert allowance(BudgetConfig(), PricesConfig(gpu=2.5), Held(cpus=2)) is None


@pytest.mark.parametrize(
    ("prices", "held"),
    [
        (PricesConfig(), Held(cpus=2, gpus=1)),
        (PricesConfig(gpu=2.5), Held(cpus=2, gpus=0)),
        (PricesConfig(cpu=0.0), Held(cpus=2)),
    ],
)
def test_dollars_that_nothing_is_counted_by_are_refused(prices: PricesConfig, held: Held) -> None:
    with pytest.raises(ConfigError, match=r"budget\.usd=5 can't be counted.*cost\.prices\.cpu"):
        allowance(BudgetConfig(usd=5), prices, held)


@given(st.floats(-100, 1e6), st.floats(0, 1e6))
def test_training_leaves_time_for_generating_and_has_half_of_it_at_least(
    left: float, generating: float
) -> None:
    share = training_share(left, generating)

    assert share >= 0
    assert share >= (1 - MOST_KEPT) * left
    assert share <= max(0.0, left)
    if 2 * generating <= left / 2:
        assert left - share == pytest.approx(2 * generating, abs=1e-6)


def test_without_an_end_training_has_all_the_time() -> None:
    assert training_share(math.inf, 100) == math.inf


@given(amounts, amounts, amounts, st.floats(0, 1e4), st.floats(0, 1e4))
def test_what_was_spent_before_is_taken_off_each_budget_and_never_gives_less_than_nothing(
    hours: float, usd: float, price: float, spent_h: float, spent_usd: float
) -> None:
    found = allowance(
        BudgetConfig(hours=hours, usd=usd), PricesConfig(machine=price), Held(cpus=2),
        spent_s=3600 * spent_h, spent_usd=spent_usd,
    )  # fmt: skip

    assert found is not None
    left_h = min(hours - spent_h, (usd - spent_usd) / price)
    assert found.seconds == pytest.approx(max(0.0, 3600 * left_h), abs=1e-6)

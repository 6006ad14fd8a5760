"""pipelines.spending: when a budget is over, what is said of it, and that the next command goes on."""

from __future__ import annotations

from pathlib import Path

import pytest

from augment.config import Config, load_config
from augment.errors import ConfigError, PartialError
from augment.gan.hardware import Hardware
from pipelines.cli.jobs import run as run_verb
from pipelines.progress import Progress
from pipelines.run import run
from pipelines.spending import Spending
from tests.pipelines.conftest import Finished

TWO_CPUS = Hardware(cpus=2)


class Clock:
    """Tells the time that it is set to."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def begun(config: Config) -> tuple[Spending, Clock]:
    clock = Clock()
    spending = Spending(config, clock)
    spending.begin(TWO_CPUS)
    return spending, clock


def with_budget(config_file: Path, *overrides: str) -> Config:
    return load_config(config_file, overrides)


def test_a_step_is_refused_once_the_budget_is_over_and_not_before(config_file: Path) -> None:
    spending, clock = begun(with_budget(config_file, "budget.hours=2"))

    clock.now_s += 7_199
    spending.refuse("generating")
    clock.now_s += 1
    with pytest.raises(PartialError, match=r"budget\.hours=2 is used up before generating.*goes on"):
        spending.refuse("generating")


def test_dollars_run_with_what_the_cluster_has(config_file: Path) -> None:
    spending, _ = begun(with_budget(config_file, "budget.usd=1", "cost.prices.cpu=0.25"))

    assert spending.ends_at == 1_000 + 3_600 / (2 * 0.25)


def test_training_ends_in_time_for_generating(config_file: Path) -> None:
    spending, clock = begun(with_budget(config_file, "budget.hours=1"))
    clock.now_s += 600

    assert spending.training_ends_at(generating_s=100) == 1_000 + 3_600 - 200


def test_without_a_budget_nothing_ends(config: Config) -> None:
    spending, clock = begun(config)
    clock.now_s += 1e9

    spending.refuse("training")
    assert spending.ends_at is None
    assert spending.training_ends_at(generating_s=100) is None


def test_an_error_of_missing_shards_is_told_as_the_budgets(config_file: Path) -> None:
    spending, clock = begun(with_budget(config_file, "budget.hours=1"))

    with pytest.raises(PartialError, match=r"^3 shards are missing$"), spending.told():
        raise PartialError("3 shards are missing")
    clock.now_s += 3_600
    with pytest.raises(PartialError, match=r"budget\.hours=1 is used up: 3 shards"), spending.told():
        raise PartialError("3 shards are missing")


@pytest.mark.parametrize("given", ["budget.usd=5", "budget.hours=0", "budget.usd=-1"])
def test_a_budget_without_a_price_or_below_zero_is_refused_with_its_field(
    config_file: Path, given: str
) -> None:
    with pytest.raises(ConfigError, match=given.partition("=")[0].replace(".", r"\.")):
        load_config(config_file, [given])


def test_the_command_takes_a_budget_and_refuses_what_is_none(config_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"budget\.euros"):
        run_verb(config_file, budget=["euros=5"])


@pytest.mark.usefixtures("ray_and_s3")
def test_a_budget_that_is_over_before_training_leaves_a_run_that_the_next_command_finishes(
    config_file: Path, quiet: Progress
) -> None:
    small = ["train.steps=2", "train.evaluate_every=0", "train.workers=1"]

    with pytest.raises(PartialError, match=r"budget\.hours=1e-06 is used up before training"):
        run(load_config(config_file, [*small, "budget.hours=0.000001"]), quiet)
    result = run(load_config(config_file, small), quiet)

    assert result.version == 1


def test_generating_begins_no_shard_after_the_budget_and_the_next_command_makes_the_rest(
    finished: Finished, tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    import shutil

    shutil.copytree(finished.result.uri, tmp_path / "out")
    other_run = [f"output.uri={tmp_path / 'out'}", "output.on_existing=replace", "output.image_format=webp"]
    monkeypatch.setattr(Spending, "refuse", lambda self, step: None)  # the budget ends while generating

    with pytest.raises(PartialError, match=r"budget\.hours=1e-06 is used up: .*4 of 4 shards are missing"):
        run(load_config(finished.config_file, [*other_run, "budget.hours=0.000001"]), quiet)
    monkeypatch.undo()
    result = run(load_config(finished.config_file, other_run), quiet)

    assert result.version == 2
    assert sum(result.rows.values()) == 33

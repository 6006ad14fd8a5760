"""pipelines.spending: when a budget is over, what is said of it, and what the next command has of it."""

from __future__ import annotations

import time
import uuid
from pathlib import Path

import pytest

from augment.config import Config, load_config
from augment.errors import ConfigError, PartialError
from augment.gan.hardware import Hardware
from augment.objects import MemoryStore, ObjectStore, open_store
from augment.store.spent import Spent, spent_key, stored_spent
from pipelines.cli.jobs import run as run_verb
from pipelines.progress import Progress
from pipelines.run import run
from pipelines.spending import Spending, job_of
from pipelines.submit import record
from pipelines.submit.contract import SUBMISSION_VARIABLE
from tests.pipelines.conftest import Finished

TWO_CPUS = Hardware(cpus=2)


class Clock:
    """Tells the time that it is set to."""

    def __init__(self) -> None:
        self.now_s = 1_000.0

    def __call__(self) -> float:
        return self.now_s


def begun(config: Config, store: ObjectStore | None = None) -> tuple[Spending, Clock]:
    clock = Clock()
    spending = Spending(config, store or empty(), clock)
    spending.look_up()
    spending.begin(TWO_CPUS)
    return spending, clock


def empty() -> ObjectStore:
    return MemoryStore(f"memory://{uuid.uuid4().hex}")


def used(config: Config, store: ObjectStore, seconds: float) -> None:
    """A command of this config that ended after so long, not well."""
    spending, clock = begun(config, store)
    with spending.told():
        clock.now_s += seconds


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

    with pytest.raises(PartialError, match=r"^3 shards are missing$"), spending.blamed():
        raise PartialError("3 shards are missing")
    clock.now_s += 3_600
    with pytest.raises(PartialError, match=r"budget\.hours=1 is used up: 3 shards"), spending.blamed():
        raise PartialError("3 shards are missing")


def test_the_next_command_of_a_job_has_what_is_left_and_then_nothing(config_file: Path) -> None:
    config, store = with_budget(config_file, "budget.hours=2"), empty()
    used(config, store, 3_600)

    second, clock = begun(config, store)
    assert second.ends_at == clock.now_s + 3_600
    with second.told():
        clock.now_s += 3_600
        with pytest.raises(PartialError, match=r"budget\.hours=2 is used up before generating"):
            second.refuse("generating")

    with pytest.raises(
        ConfigError, match=r"budget\.hours=2 is used up by 2 command\(s\) .*: 2 h; .*larger budget"
    ):
        begun(config, store)
    assert begun(with_budget(config_file, "budget.hours=3"), store)[0].ends_at == 1_000 + 3_600
    assert begun(with_budget(config_file), store)[0].ends_at is None


def test_what_cannot_be_read_of_earlier_commands_does_not_hinder_a_job_that_ended_well(
    config_file: Path,
) -> None:
    config, store = with_budget(config_file, "budget.hours=2"), empty()
    store.put(spent_key("name-small"), b'{"commands": "many"}')

    Spending(config, store).done()

    assert stored_spent(store, "name-small") == Spent()


def test_dollars_are_counted_by_what_each_command_held(config_file: Path) -> None:
    config, store = with_budget(config_file, "budget.usd=1", "cost.prices.cpu=0.25"), empty()
    used(config, store, 3_600)  # two CPUs: half a dollar

    dearer = with_budget(config_file, "budget.usd=1", "cost.prices.cpu=0.5")
    assert begun(dearer, store)[0].ends_at == 1_000 + 1_800


def test_a_job_that_ended_well_leaves_nothing_for_the_next_one_to_pay(config_file: Path) -> None:
    config, store = with_budget(config_file, "budget.hours=2"), empty()
    used(config, store, 7_000)
    second, clock = begun(config, store)
    with second.told():
        clock.now_s += 100
        second.done()

    assert stored_spent(store, "name-small") == Spent()
    assert begun(config, store)[0].ends_at == 1_000 + 7_200


def test_what_is_used_is_told_while_a_command_runs_since_it_may_be_killed(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("pipelines.spending.TOLD_EVERY_S", 0.005)
    store = empty()
    spending, clock = begun(with_budget(config_file, "budget.hours=2"), store)

    with spending.told():
        clock.now_s += 600
        until_s = time.monotonic() + 30
        while stored_spent(store, "name-small").seconds < 600:
            assert time.monotonic() < until_s
            time.sleep(0.005)


def test_all_attempts_at_a_submission_spend_one_budget_and_another_tick_has_its_own(
    config_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config, store = with_budget(config_file, "budget.hours=2"), empty()
    for number in (1, 2):
        record.put_attempt(store, record.Attempt(run_id="tick-1", number=number, backend="told", settings={}))
    monkeypatch.setenv(SUBMISSION_VARIABLE, "tick-1")
    used(config, store, 3_600)

    left_s = {}
    for job in ("tick-1", "tick-1-2", "tick-2", ""):
        monkeypatch.setenv(SUBMISSION_VARIABLE, job)
        left_s[job] = (begun(config, store)[0].ends_at or 0) - 1_000

    assert left_s == {"tick-1": 3_600, "tick-1-2": 3_600, "tick-2": 7_200, "": 7_200}
    assert job_of(store, "small") == "name-small"


def test_without_a_budget_the_store_hears_nothing(config: Config) -> None:
    store = empty()
    used(config, store, 3_600)
    begun(config, store)[0].done()

    assert list(store.list()) == []


@pytest.mark.parametrize("given", ["budget.usd=5", "budget.hours=0", "budget.usd=-1"])
def test_a_budget_without_a_price_or_below_zero_is_refused_with_its_field(
    config_file: Path, given: str
) -> None:
    with pytest.raises(ConfigError, match=given.partition("=")[0].replace(".", r"\.")):
        load_config(config_file, [given])


def test_the_command_takes_a_budget_and_refuses_what_is_none(config_file: Path) -> None:
    with pytest.raises(ConfigError, match=r"budget\.euros"):
        run_verb(config_file, budget=["euros=5"])


@pytest.mark.slow
@pytest.mark.usefixtures("ray_and_s3")
def test_a_budget_that_is_over_before_training_leaves_a_run_that_the_next_command_finishes(
    config_file: Path, quiet: Progress
) -> None:
    small = ["train.steps=2", "train.evaluate_every=0", "train.workers=1"]

    with pytest.raises(PartialError, match=r"budget\.hours=1e-06 is used up before training"):
        run(load_config(config_file, [*small, "budget.hours=0.000001"]), quiet)
    with pytest.raises(ConfigError, match=r"budget\.hours=1e-06 is used up by 1 command"):
        run(load_config(config_file, [*small, "budget.hours=0.000001"]), quiet)
    store = open_store(load_config(config_file).output.uri)
    assert stored_spent(store, "name-small").commands == 1
    result = run(load_config(config_file, small), quiet)

    assert result.version == 1
    assert stored_spent(store, "name-small") == Spent(), "the next job begins at nothing"


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

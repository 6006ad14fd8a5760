"""Processes that race on one dataset: on a real server and on a real disk, many rounds each.

Whoever wins a round, the dataset must be sound: versions contiguous, each run listed once, every row there.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import partial

import pytest

from augment.objects import open_store
from augment.store.commit import begin_run
from augment.store.reading import open_dataset
from augment.store.records import snapshot_key
from augment.store.verification import verify
from tests.store.helpers import commit, tiny_run
from tests.store.server.acts import (
    append_sealed,
    collect_all,
    commit_round,
    make_shards,
    revoke_one_class,
    revoke_one_run,
    straggle,
)
from tests.store.server.processes import race

SEEDS = {tiny_run(seed=seed).run_id: seed for seed in range(4)}


@pytest.fixture(params=[4, pytest.param(60, marks=pytest.mark.slow)])
def rounds(request: pytest.FixtureRequest) -> int:
    """How often a race is run."""
    return int(request.param)


def seeds_in(uri: str) -> list[int]:
    """The runs of the newest version, by seed; every version is verified to the last pixel first."""
    versions = [found.key for found in open_store(uri).list("_snapshots/")]
    assert versions == [snapshot_key(version) for version in range(1, len(versions) + 1)]
    for version in range(1, len(versions) + 1):
        report = verify(uri, version, deep=True)
        assert report.ok, report.problems
    return [SEEDS[run.plan.run_id] for run in open_dataset(uri).runs] if versions else []


def sound(place: str, outcomes: list[tuple[str, ...]]) -> Iterator[tuple[tuple[str, ...], list[int]]]:
    """Every round's outcomes, and the seeds of the runs in its newest version."""
    for round_, outcome in enumerate(outcomes):
        yield outcome, seeds_in(f"{place}/{round_}")


def test_two_drivers_of_one_run_publish_it_once(place: str, rounds: int) -> None:
    outcomes = race([partial(commit_round, place, 1, "refuse")] * 2, rounds)

    for outcome, seeds in sound(place, outcomes):
        assert (outcome, seeds) == (("1", "1"), [1])


def test_two_runs_that_append_are_both_there(place: str, rounds: int) -> None:
    outcomes = race([partial(commit_round, place, seed, "append") for seed in (1, 2)], rounds)

    for outcome, seeds in sound(place, outcomes):
        assert sorted(outcome) == ["1", "2"]
        assert seeds == ([1, 2] if outcome == ("1", "2") else [2, 1])


def test_a_replacement_and_an_append_end_as_if_one_came_after_the_other(place: str, rounds: int) -> None:
    outcomes = race(
        [partial(commit_round, place, 1, "replace"), partial(commit_round, place, 2, "append")], rounds
    )

    for outcome, seeds in sound(place, outcomes):
        assert (outcome, seeds) in [(("1", "2"), [1, 2]), (("2", "1"), [1])]


def test_of_two_runs_that_refuse_company_exactly_one_wins(place: str, rounds: int) -> None:
    outcomes = race([partial(commit_round, place, seed, "refuse") for seed in (1, 2)], rounds)

    for outcome, seeds in sound(place, outcomes):
        assert (outcome, seeds) in [(("1", "ConfigError"), [1]), (("ConfigError", "1"), [2])]


def test_a_straggler_changes_no_committed_shard(place: str, rounds: int) -> None:
    outcomes = race([partial(commit_round, place, 1, "refuse"), partial(straggle, place, 1)], rounds)

    for outcome, seeds in sound(place, outcomes):
        assert (outcome[0], seeds) == ("1", [1])
        assert outcome[1].startswith("put ")


def test_two_publishers_of_one_sealed_run_list_it_once(place: str, rounds: int) -> None:
    for round_ in range(rounds):
        make_shards(open_store(f"{place}/{round_}"), tiny_run(seed=1))

    outcomes = race([partial(append_sealed, place, 1)] * 2, rounds)

    for outcome, seeds in sound(place, outcomes):
        assert (outcome, seeds) == (("1", "1"), [1])


def test_four_publishers_make_four_versions_each_with_all_before_it(place: str, rounds: int) -> None:
    for round_ in range(rounds):
        for seed in range(4):
            make_shards(open_store(f"{place}/{round_}"), tiny_run(seed=seed))

    outcomes = race([partial(append_sealed, place, seed) for seed in range(4)], rounds)

    for outcome, seeds in sound(place, outcomes):
        assert sorted(outcome) == ["1", "2", "3", "4"]
        assert seeds == sorted(range(4), key=lambda seed: int(outcome[seed]))


def test_a_collector_without_grace_either_aborts_a_driver_or_leaves_it_alone(place: str, rounds: int) -> None:
    for round_ in range(rounds):
        begin_run(
            open_store(f"{place}/{round_}"), tiny_run(seed=1)
        )  # of an empty place, gc says that it is one

    outcomes = race([partial(commit_round, place, 1, "refuse"), partial(collect_all, place)], rounds)

    for outcome, seeds in sound(place, outcomes):
        assert outcome[1] == "collected"
        assert (outcome[0], seeds) in [("1", [1]), ("RetryLaterError", [])]


def test_a_revocation_and_a_publication_of_another_run_both_hold(place: str, rounds: int) -> None:
    for round_ in range(rounds):
        commit(open_store(f"{place}/{round_}"), tiny_run(seed=1))
        make_shards(open_store(f"{place}/{round_}"), tiny_run(seed=2))

    outcomes = race([partial(revoke_one_run, place, 1), partial(append_sealed, place, 2)], rounds)

    for outcome, seeds in sound(place, outcomes):
        assert sorted(outcome) == ["2", "3"]
        assert seeds == [2]


def test_a_revocation_of_a_class_and_a_publication_both_hold(place: str, rounds: int) -> None:
    """The class leaves the run that was there; the new one keeps it only if it came after the revocation."""
    for round_ in range(rounds):
        commit(open_store(f"{place}/{round_}"), tiny_run(seed=1))
        make_shards(open_store(f"{place}/{round_}"), tiny_run(seed=2))

    outcomes = race([partial(revoke_one_class, place, "test"), partial(append_sealed, place, 2)], rounds)

    for round_, (outcome, seeds) in enumerate(sound(place, outcomes)):
        rows = open_dataset(f"{place}/{round_}").counts()["test"]
        assert (outcome, rows) in [(("2", "3"), 4), (("3", "2"), 0)]
        assert seeds == [1, 2]

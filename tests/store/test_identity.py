"""Which run a job is: found again, after others' samples, or the next attempt."""

from __future__ import annotations

import uuid

import pytest

from augment.errors import RetryLaterError
from augment.objects import ObjectStore, open_store
from augment.store.collect import collect
from augment.store.commit import ExistingPolicy, begin_run, publish, seal_run
from augment.store.identity import run_for
from augment.store.reading import open_dataset
from augment.store.revoke import revoke_run
from augment.store.verification import verify
from augment.types import RunPlan, Snapshot
from tests.store.helpers import ROWS, commit, make_shard, tiny_run

JOB, SAME_SEED = tiny_run(), tiny_run(shard_rows=5)  # of one generator and seed


@pytest.fixture
def memory() -> ObjectStore:
    return open_store(f"memory://{uuid.uuid4().hex}")


def do(store: ObjectStore, job: RunPlan, policy: ExistingPolicy = "append") -> Snapshot:
    """As the program: which run it is, and the straight path."""
    return commit(store, run_for(store, job, policy), policy)


def firsts(run: RunPlan) -> dict[str, int]:
    return {target.name: target.first for target in run.plan.classes if target.synthetic}


def pictures(store: ObjectStore) -> list[bytes]:
    return [
        row["image"]["bytes"]
        for table in open_dataset(store.uri).tables(["image"])
        for row in table.to_pylist()
    ]


def test_an_appended_run_repeats_no_picture_of_the_same_generator_and_seed(memory: ObjectStore) -> None:
    do(memory, JOB, "refuse")
    assert do(memory, SAME_SEED).rows == 2 * ROWS
    assert len(set(pictures(memory))) == 2 * ROWS
    assert firsts(open_dataset(memory.uri).runs[1].plan) == {"dog | wild": 7, "test": 4}
    assert verify(memory.uri, deep=True).ok


def test_another_seed_needs_no_other_indices(memory: ObjectStore) -> None:
    do(memory, JOB)
    other = tiny_run(seed=8)
    assert run_for(memory, other, "append") == other


def test_the_same_append_again_is_found_and_adds_nothing(memory: ObjectStore) -> None:
    do(memory, JOB)
    appended = do(memory, SAME_SEED)
    assert do(memory, SAME_SEED) == appended
    assert do(memory, JOB) == appended
    upgraded = JOB.model_copy(update={"versions": {"torch": "2.7.0"}})
    assert do(memory, upgraded) == appended


def test_an_append_that_was_killed_is_planned_the_same(memory: ObjectStore) -> None:
    do(memory, JOB)
    run = run_for(memory, SAME_SEED, "append")
    begin_run(memory, run)
    make_shard(memory, run, 0)
    assert run_for(memory, SAME_SEED, "append") == run


def test_a_job_that_a_replace_dropped_comes_back_unless_its_samples_are_there(memory: ObjectStore) -> None:
    first = do(memory, JOB)
    do(memory, tiny_run(seed=8), "replace")
    assert run_for(memory, JOB, "append").run_id == first.runs[0].run_id
    do(memory, SAME_SEED, "replace")  # from index 0, as it shares the version with nothing
    assert do(memory, JOB).rows == 2 * ROWS
    assert len(set(pictures(memory))) == 2 * ROWS
    assert do(memory, JOB).version == 4


def test_a_job_that_was_revoked_is_still_that_run(memory: ObjectStore) -> None:
    do(memory, JOB)
    revoke_run(memory, JOB.run_id, "why")
    assert run_for(memory, JOB, "append") == JOB


@pytest.mark.parametrize("policy", ["append", "refuse", "replace"])
def test_a_run_that_was_collected_is_begun_anew_by_the_same_command(
    memory: ObjectStore, policy: ExistingPolicy
) -> None:
    for attempt in range(3):
        run = run_for(memory, JOB, policy)
        assert run.attempt == attempt
        begin_run(memory, run)
        make_shard(memory, run, 0)
        collect(memory, grace_s=0, delete=True)
    snapshot = do(memory, JOB, policy)
    assert (snapshot.version, snapshot.rows) == (1, ROWS)
    assert do(memory, JOB, policy) == snapshot
    assert verify(memory.uri, deep=True).ok


@pytest.mark.parametrize("sealed", [False, True])
def test_of_two_appends_that_race_for_the_same_samples_the_second_is_told_to_run_again(
    memory: ObjectStore, sealed: bool
) -> None:
    late = run_for(memory, JOB, "append")
    begin_run(memory, late)
    for index in range(late.plan.num_shards):
        make_shard(memory, late, index)
    if sealed:
        manifest = seal_run(memory, late, "append")
    do(memory, SAME_SEED)
    with pytest.raises(
        RetryLaterError, match=r"label 1, 2 both .* the same pictures; run the same command again"
    ):
        publish(memory, manifest, "append") if sealed else seal_run(memory, late, "append")
    assert do(memory, JOB).rows == 2 * ROWS
    assert len(set(pictures(memory))) == 2 * ROWS

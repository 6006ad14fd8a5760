"""Submissions in the store: put once, compared, and told apart field by field."""

from __future__ import annotations

import pytest

from augment.errors import ConfigError, InputError, IntegrityError
from augment.objects import ObjectStore, open_store
from pipelines.submit import record
from pipelines.submit.contract import Submission, cancelled, ended_with
from pipelines.submit.record import Attempt


@pytest.fixture
def store(store_uri: str) -> ObjectStore:
    """Of every kind."""
    return open_store(store_uri)


def attempt(number: int, place: str = "a") -> Attempt:
    """An attempt at run `defects-1`."""
    return Attempt(run_id="defects-1", number=number, backend="told", settings={"place": place})


def test_a_submission_is_put_once_and_found_again(store: ObjectStore, submission: Submission) -> None:
    record.put_submission(store, submission)
    record.put_submission(store, submission)

    assert record.read_submission(store, "defects-1") == submission
    assert [stored.key for stored in store.list()] == ["_submissions/defects-1.json"]


def test_of_two_submitters_one_begins_the_attempt_and_the_other_adopts_it(store: ObjectStore) -> None:
    assert record.last_attempt(store, "defects-1") is None

    first = record.put_attempt(store, attempt(1, "mine"))
    second = record.put_attempt(store, attempt(1, "theirs"))
    for number in (2, 10):
        record.put_attempt(store, attempt(number))

    assert first == (attempt(1, "mine"), True)
    assert second == (attempt(1, "mine"), False)
    assert record.last_attempt(store, "defects-1") == attempt(10)
    assert attempt(10).name == "defects-1-10"


def test_an_ending_is_as_it_was_seen_first(store: ObjectStore) -> None:
    assert record.seen_ending(store, attempt(1)) is None
    failed = ended_with(3, where="here")

    assert record.put_ending(store, attempt(1), failed) == failed
    assert record.put_ending(store, attempt(1), cancelled(where="here")) == failed
    assert record.seen_ending(store, attempt(1)) == failed
    assert record.seen_ending(store, attempt(2)) is None


def test_the_same_id_with_another_config_is_an_error_that_shows_each_difference(
    submission: Submission,
) -> None:
    store = open_store("memory://differs")
    record.put_submission(store, submission)
    train = {**submission.config["train"], "steps": 7, "diffaugment": []}
    config = {**submission.config, "train": train, "extra": {"deep": 1}}
    other = submission.model_copy(update={"config": config, "code_version": "0.2.0+1111", "tick": "today"})

    with pytest.raises(ConfigError) as caught:
        record.put_submission(store, other)

    steps = submission.config["train"]["steps"]
    lines = str(caught.value).splitlines()
    assert "run defects-1 was submitted before" in lines[0]
    assert "--run-id" in lines[0]
    assert f"  train.steps: {steps} there, 7 here" in lines
    assert "  extra.deep: nothing there, 1 here" in lines
    assert "  code_version: 0.1.0+0000 there, 0.2.0+1111 here" in lines
    assert "  tick: None there, today here" in lines
    assert sum(line.startswith("  train.diffaugment:") for line in lines) == 1
    assert len(lines) == 6


def test_many_differences_are_cut_and_counted(submission: Submission) -> None:
    store = open_store("memory://many")
    record.put_submission(store, submission.model_copy(update={"config": {str(n): 0 for n in range(50)}}))

    with pytest.raises(ConfigError, match="and 30 more"):
        record.put_submission(store, submission.model_copy(update={"config": {str(n): 1 for n in range(50)}}))


def test_the_newest_run_is_the_one_that_was_attempted_last(
    tmp_path_factory: pytest.TempPathFactory, submission: Submission
) -> None:
    store = open_store(str(tmp_path_factory.mktemp("newest")))
    with pytest.raises(InputError, match="nothing was ever submitted"):
        record.newest_run_id(store)

    record.put_submission(store, submission)
    record.put_submission(store, submission.model_copy(update={"run_id": "later"}))
    assert record.newest_run_id(store) == "later"
    record.put_attempt(store, attempt(1))
    assert record.newest_run_id(store) == "defects-1"


def test_what_is_not_there_or_damaged_is_named(submission: Submission) -> None:
    store = open_store("memory://damaged")
    with pytest.raises(InputError, match="no run nightly"):
        record.read_submission(store, "nightly")

    store.put("_submissions/nightly.json", b'{"run_id": "nightly"}')
    with pytest.raises(IntegrityError, match=r"nightly\.json is not a valid Submission"):
        record.read_submission(store, "nightly")


def test_a_job_is_told_to_be_an_attempt_at_its_run_by_the_record_alone(store: ObjectStore) -> None:
    for number in (1, 2, 10):
        record.put_attempt(store, attempt(number))

    names = ("defects-1", "defects-1-2", "defects-1-10", "defects-1-3", "nightly", "a-1")
    assert [record.run_id_of_job(store, name) for name in names] == [
        "defects-1", "defects-1", "defects-1", "defects-1-3", "nightly", "a-1",
    ]  # fmt: skip

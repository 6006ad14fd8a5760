"""Submit or attach, wait, cancel: what holds on every backend, with one that does as it is told."""

from __future__ import annotations

import logging
import threading

import pytest

from augment.errors import ConfigError, RetryLaterError
from augment.objects import ObjectStore, open_store
from pipelines.progress import log
from pipelines.submit import record
from pipelines.submit.contract import Job, JobStatus, Submission, cancelled, ended_with
from pipelines.submit.desk import Desk
from tests.pipelines.submit.conftest import Told, ToldSettings, Watch

RUNNING = JobStatus(state="running", where="told")
HERE, THERE = ToldSettings(), ToldSettings(place="there")


@pytest.fixture
def store(tmp_path_factory: pytest.TempPathFactory) -> ObjectStore:
    """An empty folder."""
    return open_store(str(tmp_path_factory.mktemp("desk")))


@pytest.fixture
def desk(store: ObjectStore, watch: Watch, told: Told) -> Desk:
    """Its submissions."""
    return Desk(store, clock=watch.clock())


@pytest.fixture
def logged(caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch) -> pytest.LogCaptureFixture:
    """What the command would say on standard error."""
    monkeypatch.setattr(log, "propagate", True)
    caplog.set_level(logging.INFO, logger="augment")
    return caplog


def test_submitting_twice_runs_once(desk: Desk, told: Told, submission: Submission) -> None:
    first = desk.submit(submission, "told", HERE)
    second = desk.submit(submission, "told", HERE)

    assert (first.attached, second.attached) == (False, True)
    assert (first.status.state, second.status.state) == ("running", "running")
    assert told.submits == ["defects-1"]


def test_many_submitters_at_once_run_once(desk: Desk, told: Told, submission: Submission) -> None:
    barrier = threading.Barrier(8)
    attached: list[bool] = []

    def submit() -> None:
        barrier.wait()
        attached.append(desk.submit(submission, "told", HERE).attached)

    threads = [threading.Thread(target=submit) for _ in range(8)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()

    assert set(told.submits) == {
        "defects-1"
    }  # a backend of names does the rest: see test_ray_jobs, test_kuberay
    assert len(attached) == 8
    last = record.last_attempt(desk.store, "defects-1")
    assert last is not None
    assert last.number == 1


def test_a_run_that_has_succeeded_is_attached_to_wherever_it_is_submitted(
    desk: Desk, told: Told, submission: Submission
) -> None:
    desk.submit(submission, "told", HERE)
    told.answers["defects-1"] = [ended_with(0, where="told")]

    again = desk.submit(submission, "other", THERE)

    assert (again.attached, again.status.state) == (True, "succeeded")
    assert told.submits == ["defects-1"]


@pytest.mark.parametrize("end", [ended_with(2, where=""), ended_with(5, where=""), cancelled(where="")])
def test_a_run_that_failed_or_was_cancelled_is_attempted_again_under_a_new_name(
    desk: Desk, told: Told, submission: Submission, end: JobStatus
) -> None:
    desk.submit(submission, "told", HERE)
    told.answers["defects-1"] = [end]

    second = desk.submit(submission, "other", THERE)

    assert (second.attempt.name, second.attempt.backend, second.attached) == ("defects-1-2", "other", False)
    assert second.attempt.settings == {"place": "there"}
    assert told.submits == ["defects-1", "defects-1-2"]
    assert desk.look(second.attempt).status.state == "running"


def test_a_run_that_is_alive_elsewhere_is_not_run_twice(
    desk: Desk, told: Told, submission: Submission
) -> None:
    desk.submit(submission, "told", HERE)

    with pytest.raises(
        ConfigError, match=r"is running on --backend told .*augment cancel .* --run-id defects-1"
    ):
        desk.submit(submission, "other", HERE)

    assert told.submits == ["defects-1"]


def test_an_attempt_that_was_recorded_and_never_started_is_started(
    desk: Desk, told: Told, submission: Submission
) -> None:
    told.refusals = [ConfigError("no such namespace")]
    with pytest.raises(ConfigError, match="no such namespace"):
        desk.submit(submission, "told", HERE)

    seen = desk.submit(submission, "told", HERE)

    assert (seen.attempt.number, seen.attached) == (1, False)
    assert told.submits == ["defects-1"]


def test_settings_that_were_wrong_can_be_corrected(desk: Desk, told: Told, submission: Submission) -> None:
    told.refusals = [ConfigError("no such namespace")]
    with pytest.raises(ConfigError):
        desk.submit(submission, "told", HERE)

    seen = desk.submit(submission, "told", THERE)

    assert (seen.attempt.number, seen.attempt.settings) == (2, {"place": "there"})
    assert told.submits == ["defects-1-2"]


def test_a_backend_that_does_not_answer_is_asked_again_with_the_reason_in_the_log(
    desk: Desk, told: Told, submission: Submission, watch: Watch, logged: pytest.LogCaptureFixture
) -> None:
    told.refusals = [RetryLaterError("No available agent"), RetryLaterError("No available agent")]

    desk.submit(submission, "told", HERE)

    assert told.submits == ["defects-1"]
    assert watch.slept == [1, 2]
    said = [entry.getMessage() for entry in logged.records]
    assert said[0] == "submitting to told: No available agent; try 2 of 6 in 1 s"


def test_a_backend_that_is_gone_for_good_can_be_left(desk: Desk, told: Told, submission: Submission) -> None:
    desk.submit(submission, "told", HERE)
    told.answers["defects-1"] = [RetryLaterError("connection refused")]

    with pytest.raises(RetryLaterError, match=r"connection refused.*--new-attempt"):
        desk.submit(submission, "told", HERE)
    seen = desk.submit(submission, "told", THERE, new_attempt=True)

    assert seen.attempt.name == "defects-1-2"


def test_waiting_ends_with_the_job_and_remembers_how(
    desk: Desk, told: Told, submission: Submission, logged: pytest.LogCaptureFixture
) -> None:
    attempt = desk.submit(submission, "told", HERE).attempt
    waiting = JobStatus(state="waiting", reason="no node yet", where="told")
    told.answers["defects-1"] = [
        waiting,
        waiting,
        RUNNING,
        RetryLaterError("503"),
        ended_with(4, where="told"),
    ]

    ended = desk.wait(attempt)

    assert (ended.status.state, ended.status.exit_code) == ("failed", 4)
    told.answers["defects-1"] = [RetryLaterError("the cluster is gone")]
    assert desk.look(attempt).status == ended.status
    said = [entry.getMessage() for entry in logged.records]
    assert said.count("defects-1 is waiting: no node yet") == 1
    assert "defects-1 is running" in said


def test_waiting_ends_with_the_timeout_while_the_job_goes_on(
    desk: Desk, told: Told, submission: Submission, watch: Watch
) -> None:
    attempt = desk.submit(submission, "told", HERE).attempt

    with pytest.raises(RetryLaterError, match="--timeout") as caught:
        desk.wait(attempt, timeout_s=60.0)

    assert caught.value.exit_code == 75
    assert 60 <= watch.now < 70
    assert desk.look(attempt).status.state == "running"


def test_waiting_bears_a_silent_backend_for_a_quarter_of_an_hour(
    desk: Desk, told: Told, submission: Submission, watch: Watch
) -> None:
    attempt = desk.submit(submission, "told", HERE).attempt
    told.answers["defects-1"] = [RetryLaterError("connection refused")]

    with pytest.raises(RetryLaterError, match="connection refused"):
        desk.wait(attempt)

    assert 900 <= watch.now < 1100


def test_a_job_that_somebody_deleted_is_partly_done(desk: Desk, told: Told, submission: Submission) -> None:
    attempt = desk.submit(submission, "told", HERE).attempt
    told.jobs.clear()

    ended = desk.wait(attempt)

    assert (ended.status.state, ended.status.exit_code) == ("failed", 5)
    assert "no longer knows" in ended.status.reason
    assert desk.submit(submission, "told", HERE).attempt.number == 2


def test_cancel_leaves_a_run_that_the_same_command_goes_on_with(
    desk: Desk, told: Told, submission: Submission
) -> None:
    desk.submit(submission, "told", HERE)

    stopped = desk.cancel("defects-1")
    again = desk.cancel("defects-1")
    resumed = desk.submit(submission, "told", HERE)

    assert (stopped.status.state, stopped.status.exit_code) == ("cancelled", 5)
    assert again.status == stopped.status
    assert (resumed.attempt.name, resumed.status.state) == ("defects-1-2", "running")


def test_cancelling_what_has_ended_changes_nothing(desk: Desk, told: Told, submission: Submission) -> None:
    desk.submit(submission, "told", HERE)
    told.answers["defects-1"] = [ended_with(0, where="told")]

    assert desk.cancel("defects-1").status.state == "succeeded"
    assert "defects-1" in told.jobs


def test_settings_of_today_replace_those_recorded(desk: Desk, told: Told, submission: Submission) -> None:
    attempt = desk.submit(submission, "told", HERE).attempt

    Desk(desk.store, settings=THERE).look(attempt)

    assert told.opened_with[-1] == THERE
    assert told.opened_with[0] == HERE


def test_logs_are_those_of_the_last_attempt(desk: Desk, told: Told, submission: Submission) -> None:
    desk.submit(submission, "told", HERE)
    desk.cancel("defects-1")
    desk.submit(submission, "told", HERE)

    assert list(desk.logs("defects-1", follow=False)) == ["log of defects-1-2\n"]


def test_a_run_that_was_recorded_and_never_begun_is_named(desk: Desk, submission: Submission) -> None:
    record.put_submission(desk.store, submission)

    with pytest.raises(ConfigError, match="never begun"):
        desk.cancel("defects-1")


# ---- what comes at the same time ------------------------------------------------------------------------


def test_a_cancel_between_the_record_and_the_start_keeps_the_job_from_running(
    desk: Desk, told: Told, submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    start, stopped = told.submit, []

    def cancelled_just_before(job: Job) -> None:
        stopped.append(Desk(desk.store, clock=desk.clock).cancel("defects-1").status)
        start(job)

    monkeypatch.setattr(told, "submit", cancelled_just_before)

    seen = desk.submit(submission, "told", HERE)

    assert told.submits == ["defects-1"], "it was on its way already"
    assert told.jobs == {}, "and was stopped by who started it"
    assert [status.state for status in (*stopped, seen.status)] == ["cancelled", "cancelled"]


def test_a_start_between_a_cancel_and_its_record_is_stopped_by_who_cancels(
    desk: Desk, told: Told, submission: Submission, monkeypatch: pytest.MonkeyPatch
) -> None:
    told.refusals = [ConfigError("killed before it started anything")]
    with pytest.raises(ConfigError):
        desk.submit(submission, "told", HERE)
    put_ending = record.put_ending

    def started_just_before(store: ObjectStore, attempt: record.Attempt, status: JobStatus) -> JobStatus:
        told.submit(Job(name=attempt.name, submission=submission, nonce=attempt.nonce))
        return put_ending(store, attempt, status)

    monkeypatch.setattr(record, "put_ending", started_just_before)

    assert desk.cancel("defects-1").status.state == "cancelled"
    assert told.submits == ["defects-1"]
    assert told.jobs == {}


def test_an_attempt_that_was_cancelled_before_it_started_is_not_started(
    desk: Desk, told: Told, submission: Submission
) -> None:
    told.refusals = [ConfigError("killed before it started anything")]
    with pytest.raises(ConfigError):
        desk.submit(submission, "told", HERE)
    desk.cancel("defects-1")

    seen = desk.submit(submission, "told", HERE)

    assert (seen.attempt.number, seen.status.state) == (2, "running")
    assert told.submits == ["defects-1-2"]


def other(submission: Submission, run_id: str, **config: object) -> Submission:
    """Another submission, of the same config's name unless it is given."""
    changed = {**submission.config, **config}
    return submission.model_copy(update={"run_id": run_id, "config": changed})


def test_a_tick_is_left_out_while_the_one_before_it_is_at_work_and_taken_once_it_has_ended(
    desk: Desk, told: Told, submission: Submission
) -> None:
    desk.submit(other(submission, "tick-1"), "told", HERE)

    with pytest.raises(
        RetryLaterError, match=r"tick-1, .*'defects', is running on --backend told .*tick-2 again"
    ):
        desk.submit(other(submission, "tick-2"), "told", HERE)
    assert record.newest_run_id(desk.store) == "tick-1", "of the one that was left out there is no trace"
    assert desk.submit(other(submission, "tick-1"), "told", HERE).attached
    told.answers["tick-1"] = [ended_with(0, where="told")]

    assert not desk.submit(other(submission, "tick-2"), "told", HERE).attached
    assert told.submits == ["tick-1", "tick-2"]


def test_a_failed_tick_is_not_tried_again_beside_the_next_one(
    desk: Desk, told: Told, submission: Submission
) -> None:
    desk.submit(other(submission, "tick-1"), "told", HERE)
    told.answers["tick-1"] = [ended_with(5, where="told")]
    desk.submit(other(submission, "tick-2"), "told", HERE)

    with pytest.raises(RetryLaterError, match=r"tick-2, .* is running"):
        desk.submit(other(submission, "tick-1"), "told", HERE)


def test_jobs_of_other_names_run_beside_each_other(desk: Desk, told: Told, submission: Submission) -> None:
    desk.submit(other(submission, "a"), "told", HERE)
    desk.submit(other(submission, "b", name="another"), "told", HERE)

    assert told.submits == ["a", "b"]


def test_a_tick_before_that_cannot_be_asked_is_waited_for_unless_it_never_will_be(
    desk: Desk, told: Told, submission: Submission, logged: pytest.LogCaptureFixture
) -> None:
    desk.submit(other(submission, "tick-1"), "told", HERE)
    told.answers["tick-1"] = [RetryLaterError("connection refused")]
    with pytest.raises(RetryLaterError, match=r"tick-1.*connection refused.*--new-attempt"):
        desk.submit(other(submission, "tick-2"), "told", HERE)

    desk.submit(other(submission, "tick-2"), "told", HERE, new_attempt=True)
    told.answers["tick-2"] = [ConfigError("it was submitted on another machine")]
    desk.submit(other(submission, "tick-3"), "told", HERE)

    assert told.submits == ["tick-1", "tick-2", "tick-3"]
    assert (
        "tick-2, submitted before under the name 'defects': it was submitted on another machine"
        in logged.text
    )


def test_the_ending_of_a_dataset_that_was_deleted_is_not_that_of_the_next_one(
    desk: Desk, told: Told, submission: Submission, watch: Watch, tmp_path_factory: pytest.TempPathFactory
) -> None:
    first = desk.submit(submission, "told", HERE)
    emptied = Desk(open_store(str(tmp_path_factory.mktemp("again"))), clock=watch.clock())

    second = emptied.submit(submission, "told", HERE)

    assert (first.attempt.name, first.attached) == (second.attempt.name, second.attached)
    assert first.attempt.nonce != second.attempt.nonce
    assert told.submits == ["defects-1", "defects-1"]
    assert desk.look(first.attempt).status.state == "absent"

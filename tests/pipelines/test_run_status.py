"""How a job stands: of submissions, heartbeats and shards in a store, with backends that answer, don't, or are gone."""

from __future__ import annotations

import time
import uuid
from datetime import datetime, timezone

import pytest

from augment.errors import ConfigError, InputError, RetryLaterError
from augment.objects import MemoryStore, ObjectStore
from augment.store.commit import begin_run, put_shard
from augment.store.heartbeat import Heartbeat, StageState, StoredHeartbeat, put_heartbeat
from pipelines.run_status import RunStatus, ShardCount, Submitted, run_status, verdict
from pipelines.submit.contract import JobStatus, Submission, cancelled, ended_with
from pipelines.submit.desk import Desk
from pipelines.submit.record import Attempt
from tests.pipelines.submit import conftest as submitting
from tests.pipelines.submit.conftest import Told, ToldSettings, Watch
from tests.store.helpers import commit, shard_bytes, tiny_run

told = submitting.told  # the fixture

BEGAN = datetime(2026, 11, 23, 4, 0, tzinfo=timezone.utc)


def heartbeat(name: str = "defects", **fields: object) -> Heartbeat:
    return Heartbeat.model_validate(
        {"name": name, "command": "run", "version": "0.1.0", "started": BEGAN, "updated": BEGAN, **fields}
    )


def training(**fields: object) -> StageState:
    points = tuple((10.0 + index, 10.0 * index) for index in range(1, 11))  # 10 steps a second
    return StageState(
        name="train", done=100, total=1_000, unit="steps", elapsed_s=20.0, points=points, **fields
    )  # type: ignore[arg-type]


def submission(run_id: str = "nightly", name: str | None = "defects") -> Submission:
    config = {"source": {"uri": "s3://b/train"}, "output": {"uri": "s3://b/out"}} | (
        {"name": name} if name else {}
    )
    return Submission(run_id=run_id, config=config, code_version="0.1.0")


@pytest.fixture
def store() -> MemoryStore:
    return MemoryStore(f"memory://{uuid.uuid4().hex}")


def submit(store: ObjectStore, of: Submission | None = None) -> None:
    Desk(store).submit(of or submission(), "told", ToldSettings())
    time.sleep(0.002)  # what follows is newer


def asked(store: ObjectStore, later_s: float = 0.0, **which: str) -> RunStatus:
    """With a clock that nobody waits for, as seen `later_s` from now."""
    return run_status(Desk(store, clock=Watch().clock()), now_s=time.time() + later_s, **which)


def test_a_run_that_was_never_submitted_is_told_from_its_heartbeat_alone(store: MemoryStore) -> None:
    put_heartbeat(store, heartbeat(stage=training(), seconds={"decode": 3.0}))

    found = asked(store)

    assert (found.state, found.exit_code, found.submitted, found.version) == ("running", None, None, None)
    assert found.eta is not None
    assert found.eta.left_s == pytest.approx(90, abs=1)
    document = found.document()
    assert document["heartbeat"]["stage"]["done"] == 100
    assert "points" not in document["heartbeat"]["stage"]
    assert document["submission"] is None


def test_a_driver_that_is_silent_for_a_minute_is_thought_dead_and_has_no_time_left(
    store: MemoryStore,
) -> None:
    put_heartbeat(store, heartbeat(stage=training()))

    assert asked(store, later_s=55).state == "running"
    found = asked(store, later_s=65)
    assert (found.state, found.eta) == ("silent", None)
    assert found.document()["heartbeat"]["silent"] is True


def test_the_time_since_the_last_beat_has_passed(store: MemoryStore) -> None:
    put_heartbeat(store, heartbeat(stage=training(limit_left_s=60.0)))

    found = asked(store, later_s=20)

    assert found.eta is not None
    assert found.eta.left_s == pytest.approx(40, abs=1), "train.max_time ends it before its steps do"


@pytest.mark.parametrize(("code", "state"), [(0, "succeeded"), (5, "failed"), (75, "failed")])
def test_a_command_that_ended_is_never_silent(store: MemoryStore, code: int, state: str) -> None:
    put_heartbeat(store, heartbeat(exit_code=code, last_error="2 shards are missing"))

    found = asked(store, later_s=1e6)

    assert (found.state, found.exit_code) == (state, code)
    assert found.reason == ("2 shards are missing" if code else "")


def test_shards_are_counted_in_the_store(store: MemoryStore) -> None:
    run = tiny_run()
    put_heartbeat(store, heartbeat(run_id=run.run_id))
    assert asked(store).shards is None, "its plan is not there yet"

    begin_run(store, run)
    assert asked(store).shards == ShardCount(run.run_id, 0, 3, 0, 11, committed=False)
    put_shard(store, run.run_id, 1, 4, shard_bytes(run, 1))
    assert asked(store).shards == ShardCount(run.run_id, 1, 3, 4, 11, committed=False)
    commit(store, run)
    found = asked(store)
    assert found.shards == ShardCount(run.run_id, 3, 3, 11, 11, committed=True)
    assert found.version == 1


def test_a_submission_and_its_heartbeat_are_one_job(store: MemoryStore, told: Told) -> None:
    put_heartbeat(store, heartbeat(exit_code=0))
    time.sleep(0.002)
    submit(store)
    before = asked(store)
    assert before.submitted is not None
    assert before.heartbeat is None, "what was heard before the attempt says nothing of it"
    assert before.state == "running"

    put_heartbeat(store, heartbeat(submission="nightly", stage=training()))
    during = asked(store)
    assert during.state == "running"
    assert during.eta is not None
    assert asked(store, later_s=100).state == "silent", "whatever its backend says"

    told.answers["nightly"] = [ended_with(5, where="told", reason="its node was lost")]
    after = asked(store, later_s=100)
    assert (after.state, after.exit_code, after.reason) == ("failed", 5, "its node was lost")
    assert after.document()["submission"]["job"] == "nightly"


@pytest.mark.parametrize("error", [RetryLaterError("nobody answers"), ConfigError("log in again")])
def test_with_the_cluster_gone_the_store_tells(store: MemoryStore, told: Told, error: Exception) -> None:
    submit(store)
    told.answers["nightly"] = [error]
    unknown = asked(store)
    assert (unknown.state, unknown.reason) == ("unknown", str(error))

    put_heartbeat(store, heartbeat(submission="nightly", stage=training()))
    found = asked(store)
    assert found.state == "running"
    assert found.eta is not None
    assert found.document()["submission"]["reason"] == str(error)
    assert asked(store, later_s=61).state == "silent"


def test_a_backend_that_has_forgotten_the_job_does_not_make_it_undone(store: MemoryStore, told: Told) -> None:
    submit(store)
    put_heartbeat(store, heartbeat(submission="nightly", exit_code=0))
    told.answers["nightly"] = [JobStatus(state="absent", where="told")]

    assert asked(store).state == "succeeded"


def test_a_command_that_came_after_the_submission_is_the_news(store: MemoryStore, told: Told) -> None:
    told.answers["nightly"] = [ended_with(2, where="told")]
    submit(store)
    put_heartbeat(store, heartbeat(stage=training()))

    same_name = asked(store)
    assert same_name.state == "running"
    assert same_name.submitted is not None
    assert asked(store, run_id="nightly").state == "failed"

    put_heartbeat(store, heartbeat("other", stage=training()))
    other = asked(store)
    assert other.heartbeat is not None
    assert (other.heartbeat.record.name, other.submitted) == ("other", None)
    of_name = asked(store, name="defects")
    assert of_name.heartbeat is not None
    assert of_name.heartbeat.record.name == "defects"


def test_a_submission_is_found_by_its_config_s_name_though_a_newer_one_has_another(
    store: MemoryStore, told: Told
) -> None:
    submit(store)
    submit(store, submission("unnamed", name=None))

    by_name, newest, of_default = asked(store, name="defects"), asked(store), asked(store, name="augment")

    assert [one.submitted.attempt.run_id for one in (by_name, newest, of_default) if one.submitted] == [
        "nightly", "unnamed", "unnamed",
    ]  # fmt: skip


def test_where_nothing_was_ever_run_it_is_the_user_s_error(store: MemoryStore, told: Told) -> None:
    with pytest.raises(InputError, match="nothing was ever submitted or run"):
        asked(store)
    put_heartbeat(store, heartbeat())
    with pytest.raises(InputError, match="under the name 'another'"):
        asked(store, name="another")
    with pytest.raises(InputError, match="no run nightly"):
        asked(store, run_id="nightly")


@pytest.mark.parametrize(
    ("status", "said", "age_s", "state"),
    [
        (JobStatus(state="waiting"), {}, 0, "waiting"),
        (JobStatus(state="running"), {}, 0, "running"),
        (JobStatus(state="running"), {}, 61, "silent"),
        (JobStatus(state="waiting"), {}, 61, "waiting"),  # requeued: its next life has not begun
        (JobStatus(state="running"), {"exit_code": 5}, 61, "running"),  # tried again where it is
        (JobStatus(state="absent"), {}, 0, "running"),
        (JobStatus(state="absent"), {}, 61, "silent"),
        (JobStatus(state="absent"), {"exit_code": 3}, 61, "failed"),
        (cancelled(where="told"), {}, 0, "cancelled"),
        (ended_with(0, where="told"), {}, 61, "succeeded"),
        (None, {}, 0, "running"),
        (None, {"exit_code": 0}, 61, "succeeded"),
    ],
)
def test_a_backend_is_believed_about_the_end_and_the_heartbeat_about_life(
    status: JobStatus | None, said: dict[str, int], age_s: float, state: str
) -> None:
    attempt = Attempt(run_id="nightly", number=1, backend="told", settings={})
    heard = StoredHeartbeat(heartbeat(submission="nightly", **said), modified_s=1_000.0)

    assert verdict(Submitted(attempt, status), heard, 1_000.0 + age_s)[0] == state

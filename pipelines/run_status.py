"""How a job stands: what its backend says, where it was submitted, and what the dataset's own store says.

The store is enough: the cluster may be gone, and the job need never have been submitted. Of two accounts of one process
the backend's is believed about its end, and the heartbeat about its life. Owns which accounts belong together, and what
comes of them; prints nothing. Imports neither torch nor Ray, unless the submission was to Ray.
"""

from __future__ import annotations

import time
from dataclasses import asdict, dataclass
from typing import Any, Literal

from augment.errors import ConfigError, InputError, RetryLaterError
from augment.objects import ObjectStore
from augment.store.commit import list_shards
from augment.store.heartbeat import StageState, StoredHeartbeat, stored_heartbeats
from augment.store.records import plan_key, read_plan, stored_manifest, version_times
from pipelines.eta import Eta, Point, remaining
from pipelines.submit import record
from pipelines.submit.contract import JobStatus
from pipelines.submit.desk import Desk
from pipelines.submit.record import Attempt

__all__ = ["RunState", "RunStatus", "ShardCount", "Submitted", "eta_of", "run_status", "verdict"]

RunState = Literal["waiting", "running", "silent", "succeeded", "failed", "cancelled", "absent", "unknown"]
"""A job's state on a backend; `silent`: not heard of for a minute; `unknown`: nobody could tell."""

ASKED = 2  # how often a backend is asked that does not answer: the store is asked anyway


@dataclass(frozen=True)
class Submitted:
    """The last attempt at a submission, and its backend's word; `unasked` says why there is none."""

    attempt: Attempt
    status: JobStatus | None
    unasked: str = ""

    def document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        known: dict[str, Any] = {"state": None, "exit_code": None, "reason": self.unasked, "where": ""}
        if self.status is not None:
            known = self.status.model_dump(mode="json")
        attempt = self.attempt
        return {
            "run_id": attempt.run_id, "attempt": attempt.number, "backend": attempt.backend, "job": attempt.name,
            **known,
        }  # fmt: skip


@dataclass(frozen=True)
class ShardCount:
    """How much of a run lies in the store; `committed`: its manifest does, too."""

    run_id: str
    stored: int
    planned: int
    rows_stored: int
    rows_planned: int
    committed: bool


@dataclass(frozen=True)
class RunStatus:
    """How a job stands now."""

    dataset: str
    state: RunState
    exit_code: int | None
    reason: str
    submitted: Submitted | None
    heartbeat: StoredHeartbeat | None
    now_s: float  # when the heartbeat's age was told
    eta: Eta | None  # of the stage that runs
    shards: ShardCount | None
    version: int | None  # the dataset's newest

    def document(self) -> dict[str, Any]:
        """As `--json` prints it."""
        heartbeat, shards, eta = self.heartbeat, self.shards, self.eta
        return {
            "dataset": self.dataset,
            "state": self.state,
            "exit_code": self.exit_code,
            "reason": self.reason,
            "version": self.version,
            "submission": self.submitted.document() if self.submitted is not None else None,
            "heartbeat": _heard(heartbeat, self.now_s) if heartbeat is not None else None,
            "eta": _seconds(eta) if eta is not None else None,
            "shards": asdict(shards) if shards is not None else None,
        }


def run_status(
    desk: Desk, *, name: str | None = None, run_id: str | None = None, now_s: float | None = None
) -> RunStatus:
    """How the job of a config's `name` stands, or that of a submission; without either, the newest of both.

    Raises InputError where nothing was ever submitted or run there, or not under this name or id.
    """
    store, now_s = desk.store, time.time() if now_s is None else now_s
    attempt, heartbeat = _chosen(store, name, run_id)
    submitted = _asked(desk, attempt) if attempt is not None else None
    state, exit_code, reason = verdict(submitted, heartbeat, now_s)
    stage = heartbeat.record.stage if heartbeat is not None and state == "running" else None
    return RunStatus(
        dataset=store.uri,
        state=state,
        exit_code=exit_code,
        reason=reason,
        submitted=submitted,
        heartbeat=heartbeat,
        now_s=now_s,
        eta=eta_of(stage, heartbeat.age_s(now_s)) if heartbeat is not None and stage is not None else None,
        shards=_shards(store, heartbeat.record.run_id) if heartbeat is not None else None,
        version=max(version_times(store), default=None),
    )


def verdict(
    submitted: Submitted | None, heartbeat: StoredHeartbeat | None, now_s: float
) -> tuple[RunState, int | None, str]:
    """State, exit code and reason, of a backend's word and a heartbeat's; at least one of them is given.

    The heartbeat is that of the attempt, or of a command that was begun after it.
    """
    heard = _own_word(heartbeat, now_s) if heartbeat is not None else None
    if submitted is None or (heartbeat is not None and heartbeat.record.submission != submitted.attempt.name):
        assert heard is not None  # noqa: S101  # by the contract above
        return heard
    status = submitted.status
    if status is None:
        return heard or ("unknown", None, submitted.unasked)
    if heard is None or status.ended or status.state == "waiting":
        return status.state, status.exit_code, status.reason
    if status.state == "absent":  # its backend keeps nothing for long
        return heard
    return (heard[0] if heard[0] == "silent" else status.state), None, heard[2] or status.reason


def eta_of(stage: StageState, age_s: float) -> Eta | None:
    """What is left of a stage that was told of `age_s` seconds ago; None where that can't be told."""
    if not stage.unit:
        return None
    limit_s = None if stage.limit_left_s is None else stage.limit_left_s - age_s
    points = [Point(*point) for point in stage.points]
    return remaining(points, stage.total, now_s=stage.elapsed_s + age_s, limit_left_s=limit_s)


def _chosen(
    store: ObjectStore, name: str | None, run_id: str | None
) -> tuple[Attempt | None, StoredHeartbeat | None]:
    """The last attempt at the submission that is meant, and the heartbeat that says most of it; one of the two may lack.

    A heartbeat from before the attempt says nothing of it. One from after it, of a command that was not submitted, is
    news: of the same name it is told beside the attempt, of another name instead of it.
    """
    heartbeats = [each for each in stored_heartbeats(store) if name in (None, each.record.name)]
    begun = record.newest_attempt(store, run_id=run_id, name=name)
    newest = heartbeats[0] if heartbeats else None
    if begun is None:
        if newest is None:
            raise InputError(_nothing(store, name))
        return None, newest
    of_attempt = (each for each in heartbeats if each.record.submission == begun.attempt.name)
    own = next(of_attempt, None)
    if run_id is not None or newest is None or newest is own:
        return begun.attempt, own
    if newest.modified_s <= begun.begun_s:
        return begun.attempt, None
    return (begun.attempt if newest.record.name == begun.name else None), newest


def _nothing(store: ObjectStore, name: str | None) -> str:
    of_name = "" if name is None else f" under the name {name!r}"
    return (
        f"nothing was ever submitted or run for {store.uri}{of_name}; check the URI, or `augment submit` or `augment run` "
        "first"
    )


def _asked(desk: Desk, attempt: Attempt) -> Submitted:
    """The backend's word, or why it gives none: it, or the way to it, is gone."""
    try:
        return Submitted(attempt, desk.look(attempt, tries=ASKED).status)
    except (ConfigError, RetryLaterError) as error:
        return Submitted(attempt, None, str(error))


def _own_word(heartbeat: StoredHeartbeat, now_s: float) -> tuple[RunState, int | None, str]:
    said = heartbeat.record
    if said.exit_code is None:
        return ("silent" if heartbeat.is_silent(now_s) else "running"), None, ""
    state: RunState = "failed" if said.exit_code else "succeeded"
    return state, said.exit_code, (said.last_error or "") if said.exit_code else ""


def _shards(store: ObjectStore, run_id: str | None) -> ShardCount | None:
    """Counted in the store; None while there is no plan."""
    if run_id is None or not any(found.key == plan_key(run_id) for found in store.list(plan_key(run_id))):
        return None
    run = read_plan(store, run_id).record
    stored, manifest = list_shards(store, run), stored_manifest(store, run_id)
    return ShardCount(
        run_id=run_id,
        stored=len(stored),
        planned=run.plan.num_shards,
        rows_stored=sum(shard.rows for shard in stored.values()),
        rows_planned=run.plan.rows,
        committed=manifest is not None and manifest.record.status == "committed",
    )


def _heard(heartbeat: StoredHeartbeat, now_s: float) -> dict[str, Any]:
    known = heartbeat.record.model_dump(mode="json")
    if (stage := heartbeat.record.stage) is not None:
        known["stage"] = stage.model_dump(mode="json", exclude={"points"})
    return {"age_s": round(heartbeat.age_s(now_s), 1), "silent": heartbeat.is_silent(now_s), **known}


def _seconds(eta: Eta) -> dict[str, float]:
    return {
        "left_s": round(eta.left_s, 1),
        "low_s": round(eta.low_s, 1),
        "high_s": round(eta.high_s, 1),
    }

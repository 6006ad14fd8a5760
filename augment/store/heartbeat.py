"""How a job goes, as its driver last said: one small object, put again and again while the job runs.

    _status/<name>.json     `name` is the config's, which names the job's model in the dataset

Keyed by that name, and not by the run: a run's id follows from its plan, which is made hours into a job with a training,
and a job that fails before has none. One object a name needs no collecting, however long a job runs and however often
it is begun. Of two drivers of one name, the one that spoke last is heard.

Owns the record, its key, and reading it. Nothing here decides what is made: it is for looking, may be lost, and no
version refers to it. How old it is, is told by the store's own clock, and never by the driver's.
"""

from __future__ import annotations

import time
from dataclasses import dataclass

from pydantic import AwareDatetime, Field

from augment.errors import IntegrityError
from augment.objects import ObjectNotFoundError, ObjectStore
from augment.stored_record import parsed_record
from augment.types import Record

__all__ = [
    "SILENT_AFTER_S",
    "Heartbeat",
    "StageState",
    "StoredHeartbeat",
    "heartbeat_key",
    "put_heartbeat",
    "stored_heartbeats",
]

SILENT_AFTER_S = 60.0
"""A driver speaks every 15 s, so one that has been silent for this long is dead, or the store was."""

_ROOT = "_status/"
_MOST_BYTES = 1 << 20  # nothing larger is parsed


class StageState(Record):
    """The step that a job was in."""

    name: str
    done: float
    total: float
    unit: str  # '' of a step that is not counted
    elapsed_s: float  # since it began
    points: tuple[tuple[float, float], ...] = ()  # its progress: seconds since it began, units done; thinned
    per_s: float | None = None  # units a second of late
    limit_left_s: float | None = None  # what a limit on its time left


class Heartbeat(Record):
    """What a driver says of itself. No host, process id, address or secret is in it."""

    name: str  # of the config
    command: str  # run, train, generate, lift or demo
    version: str  # of augment
    submission: str | None = None  # the job's name on its backend, where it was submitted
    run_id: str | None = None  # of the run's plan, once it is made
    started: AwareDatetime
    updated: AwareDatetime
    stage: StageState | None = None  # None between two steps, and at the end
    seconds: dict[str, float] = Field(default_factory=dict)  # of the steps that are done
    last_warning: str | None = None
    last_error: str | None = None
    exit_code: int | None = None  # by the contract of augment.errors, once the command has ended
    schema_version: int = 1


@dataclass(frozen=True)
class StoredHeartbeat:
    """A heartbeat and when it was put: seconds since 1970 by the store's clock."""

    record: Heartbeat
    modified_s: float

    def age_s(self, now_s: float | None = None) -> float:
        """Seconds since it was put; 0 where this machine's clock is behind the store's."""
        return max(0.0, (time.time() if now_s is None else now_s) - self.modified_s)

    def is_silent(self, now_s: float | None = None) -> bool:
        """Whether its job has not ended, and has not been heard of for too long."""
        return self.record.exit_code is None and self.age_s(now_s) > SILENT_AFTER_S


def heartbeat_key(name: str) -> str:
    """Where the job of a config's `name` says how it goes."""
    return f"{_ROOT}{name}.json"


def put_heartbeat(store: ObjectStore, heartbeat: Heartbeat) -> None:
    """Say how the job goes, in place of what it said before."""
    store.put(heartbeat_key(heartbeat.name), heartbeat.to_json())


def stored_heartbeats(store: ObjectStore) -> list[StoredHeartbeat]:
    """Those of all names, the newest first. Raises IntegrityError, naming the object, if one is corrupt."""
    found = []
    for stored in store.list(_ROOT):
        if not stored.key.endswith(".json"):
            continue
        try:
            data = store.get(stored.key)
        except ObjectNotFoundError:
            continue  # removed since it was listed
        found.append(StoredHeartbeat(_parsed(data, store.uri_of(stored.key)), stored.modified_s))
    return sorted(found, key=lambda heartbeat: heartbeat.modified_s, reverse=True)


def _parsed(data: bytes, where: str) -> Heartbeat:
    mend = "remove it: the next command writes it anew"
    if len(data) > _MOST_BYTES:
        raise IntegrityError(f"{where} has {len(data)} bytes, and no heartbeat is that large; {mend}")
    return parsed_record(
        Heartbeat, data, where, called="heartbeat", mend=f"a newer version of augment wrote it, or {mend}"
    )

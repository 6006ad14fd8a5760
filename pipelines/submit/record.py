"""Submissions in the dataset's own store: what was submitted, each attempt at it, and how attempts ended.

    _submissions/<run id>.json                 the submission: put once, then compared
    _submissions/<run id>/attempt-0001.json    where that attempt runs: put once, so that of two submitters one starts it;
                                               its nonce tells its job from any other of the same name
    _submissions/<run id>/ended-0001.json      how it ended, by whoever saw it first: backends forget

Owns these objects and knows no backend. No secret is in them: a config and a cluster file hold none.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, TypeVar

from augment.config import Config
from augment.errors import ConfigError, InputError
from augment.objects import ObjectNotFoundError, ObjectStore
from augment.stored_record import parsed_record, stored_record
from augment.types import Record
from pipelines.submit.contract import JobStatus, Submission, checked_run_id, job_name

__all__ = [
    "Attempt",
    "Begun",
    "config_name",
    "differences",
    "last_attempt",
    "newest_attempt",
    "newest_run_id",
    "put_attempt",
    "put_ending",
    "put_submission",
    "read_submission",
    "run_id_of_job",
    "seen_ending",
]

R = TypeVar("R", bound=Record)

_ROOT = "_submissions"
_SHOWN_DIFFERENCES = 20


class Attempt(Record):
    """Where one attempt at a submission was begun."""

    run_id: str
    number: int  # from 1
    backend: str
    settings: dict[str, Any]  # the backend's, as JSON
    nonce: str = ""  # drawn when it was recorded; '' of attempts of older versions

    @property
    def name(self) -> str:
        """The job's name on the backend."""
        return job_name(self.run_id, self.number)


@dataclass(frozen=True)
class Begun:
    """An attempt, the name of its config, and when it was begun: seconds since 1970 by the store's clock."""

    attempt: Attempt
    name: str
    begun_s: float


def put_submission(store: ObjectStore, submission: Submission) -> None:
    """Record it, or find it recorded. ConfigError, naming each difference, if its id means something else there."""
    key = f"{_ROOT}/{submission.run_id}.json"
    if store.put_if_absent(key, submission.to_json()):
        return
    differing = differences(_read(store, key, Submission), submission)
    if differing:
        more = len(differing) - _SHOWN_DIFFERENCES
        lines = differing[:_SHOWN_DIFFERENCES] + ([f"and {more} more"] if more > 0 else [])
        raise ConfigError(
            f"run {submission.run_id} was submitted before as something else; give another --run-id, or none:\n  "
            + "\n  ".join(lines)
        )


def differences(there: Submission, here: Submission) -> list[str]:
    """What two submissions of one id differ in, a field a line: `train.steps: 100 there, 200 here`."""
    before, now = (dict(_leaves(each.model_dump(mode="json", exclude={"run_id"}))) for each in (there, here))
    return [
        f"{path.removeprefix('config.')}: {before.get(path, 'nothing')} there, {now.get(path, 'nothing')} here"
        for path in sorted({*before, *now})
        if before.get(path, before) != now.get(path, now)
    ]


def read_submission(store: ObjectStore, run_id: str) -> Submission:
    """The recorded submission; InputError where none has this id."""
    try:
        return _read(store, f"{_ROOT}/{checked_run_id(run_id)}.json", Submission)
    except ObjectNotFoundError as error:
        raise InputError(f"no run {run_id} was ever submitted for {store.uri}") from error


def newest_run_id(store: ObjectStore) -> str:
    """The run whose last attempt is the newest, by the store's clock; InputError where nothing was submitted."""
    found = [
        (stored.modified_s, match[1])
        for stored in store.list(f"{_ROOT}/")
        if (match := re.fullmatch(rf"{_ROOT}/([a-z0-9-]+)(?:/attempt-\d+)?\.json", stored.key))
    ]
    if not found:
        raise InputError(
            f"nothing was ever submitted for {store.uri}; check the URI, or `augment submit` first"
        )
    return max(found)[1]


def newest_attempt(store: ObjectStore, *, run_id: str | None = None, name: str | None = None) -> Begun | None:
    """The attempt that was begun last: at this submission, or at any whose config has this `name`, or at any at all.

    None where there is none. InputError for a `run_id` that was never submitted, ConfigError for one never begun.
    """
    begun: dict[str, float] = {}  # each submission's last attempt, by the store's clock
    for stored in store.list(f"{_ROOT}/"):
        if match := re.fullmatch(rf"{_ROOT}/([a-z0-9-]+)/attempt-\d+\.json", stored.key):
            begun[match[1]] = max(stored.modified_s, begun.get(match[1], 0.0))
    newest_first = sorted(begun, key=lambda each: begun[each], reverse=True)
    for each in newest_first if run_id is None else [run_id]:
        of_name = config_name(read_submission(store, each))
        if name not in (None, of_name):
            continue
        attempt = last_attempt(store, each)
        if attempt is None:
            raise ConfigError(f"run {each} was recorded and never begun; submit it again")
        return Begun(attempt, of_name, begun[each])
    return None


def last_attempt(store: ObjectStore, run_id: str) -> Attempt | None:
    """The attempt with the highest number, if there is any."""
    prefix = f"{_ROOT}/{checked_run_id(run_id)}/attempt-"
    keys = [stored.key for stored in store.list(prefix)]
    return _read(store, max(keys), Attempt) if keys else None


def run_id_of_job(store: ObjectStore, job: str) -> str:
    """The run that a job of this name is an attempt at; the name itself where no second or later attempt is recorded."""
    run_id, _, number = job.rpartition("-")
    if run_id and re.fullmatch(r"[2-9]|[1-9]\d+", number):
        key = _attempt_key(run_id, int(number))
        if any(found.key == key for found in store.list(key)):
            return run_id
    return job


def put_attempt(store: ObjectStore, attempt: Attempt) -> tuple[Attempt, bool]:
    """Begin this attempt, or adopt the one that another submitter began under its number; whether it is ours."""
    key = _attempt_key(attempt.run_id, attempt.number)
    ours = store.put_if_absent(key, attempt.to_json())
    return (attempt if ours else _read(store, key, Attempt)), ours


def put_ending(store: ObjectStore, attempt: Attempt, status: JobStatus) -> JobStatus:
    """Remember how the attempt ended, as it was seen first."""
    key = _ending_key(attempt)
    return status if store.put_if_absent(key, status.to_json()) else _read(store, key, JobStatus)


def seen_ending(store: ObjectStore, attempt: Attempt) -> JobStatus | None:
    """How the attempt ended, where anyone has seen it."""
    return stored_record(JobStatus, store, _ending_key(attempt))


def config_name(submission: Submission) -> str:
    """The name in a submission's config, which names a job's model; it holds the fields that its user has set alone."""
    return str(submission.config.get("name", Config.model_fields["name"].default))


def _attempt_key(run_id: str, number: int) -> str:
    return f"{_ROOT}/{run_id}/attempt-{number:04d}.json"


def _ending_key(attempt: Attempt) -> str:
    return f"{_ROOT}/{attempt.run_id}/ended-{attempt.number:04d}.json"


def _leaves(value: Any, path: str = "") -> Iterator[tuple[str, Any]]:
    """Dotted paths of a JSON value's scalars and lists."""
    if isinstance(value, Mapping) and value:
        for key, item in value.items():
            yield from _leaves(item, f"{path}.{key}" if path else key)
    else:
        yield path, value


def _read(store: ObjectStore, key: str, kind: type[R]) -> R:
    return parsed_record(kind, store.get(key), store.uri_of(key))

"""The JSON records of a dataset: their keys, and reading them with every check that one record allows.

Owns `_runs/` and `_snapshots/`. Whoever reads a record gets its digest with it, since each is pinned by
another: a snapshot pins manifests, a manifest pins its plan, a snapshot pins the version before it.
Knows neither the order of writes (commit.py) nor shards' content.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import Generic, TypeVar

from pydantic import ValidationError

from augment.errors import ConfigError, InputError, IntegrityError
from augment.objects import ObjectNotFoundError, ObjectStore
from augment.types import Manifest, Record, RunPlan, Snapshot, sha256_hex

__all__ = [
    "MAX_JSON_BYTES",
    "Stored",
    "latest_snapshot",
    "manifest_key",
    "plan_key",
    "read_manifest",
    "read_plan",
    "read_snapshot",
    "snapshot_key",
    "stored_manifest",
]

MAX_JSON_BYTES = 256 << 20  # a manifest of about a million shards; nothing larger is parsed

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Stored(Generic[R]):
    """A record and the digest of its stored bytes."""

    record: R
    sha256: str


def plan_key(run_id: str) -> str:
    """Key of a run's plan."""
    return f"_runs/{_checked_run_id(run_id)}/plan.json"


def manifest_key(run_id: str) -> str:
    """Key of a run's manifest."""
    return f"_runs/{_checked_run_id(run_id)}/manifest.json"


def snapshot_key(version: int) -> str:
    """Key of a dataset version; versions start at 1."""
    return f"_snapshots/{version:020d}.json"


def read_plan(store: ObjectStore, run_id: str) -> Stored[RunPlan]:
    """A run's plan. Raises IntegrityError if it is missing or corrupt."""
    stored = _read(store, plan_key(run_id), RunPlan)
    _check_run_id(store, plan_key(run_id), stored.record.run_id, run_id)
    return stored


def read_manifest(store: ObjectStore, run_id: str) -> Stored[Manifest]:
    """A run's manifest. Raises IntegrityError if it is missing or corrupt."""
    stored = _read(store, manifest_key(run_id), Manifest)
    _check_run_id(store, manifest_key(run_id), stored.record.run_id, run_id)
    return stored


def stored_manifest(store: ObjectStore, run_id: str) -> Stored[Manifest] | None:
    """A run's manifest, or None if the run is not sealed yet."""
    if not any(found.key == manifest_key(run_id) for found in store.list(manifest_key(run_id))):
        return None
    return read_manifest(store, run_id)


def latest_snapshot(store: ObjectStore) -> Stored[Snapshot] | None:
    """The dataset's newest version, or None if nothing was published yet."""
    versions = [_version_of(found.key) for found in store.list("_snapshots/")]
    newest = max((version for version in versions if version is not None), default=None)
    return None if newest is None else read_snapshot(store, newest)


def read_snapshot(store: ObjectStore, version: int) -> Stored[Snapshot]:
    """One dataset version. Raises InputError if there is none, IntegrityError if it is corrupt."""
    key = snapshot_key(version)
    try:
        stored = _read(store, key, Snapshot)
    except _MissingRecordError as error:
        raise InputError(f"{store.uri} has no version {version}") from error
    if stored.record.version != version:
        raise IntegrityError(f"{store.uri_of(key)} calls itself version {stored.record.version}")
    return stored


class _MissingRecordError(IntegrityError):
    """A record that another record, or the caller, relies on is not there."""


def _read(store: ObjectStore, key: str, kind: type[R]) -> Stored[R]:
    try:
        data = store.get(key)
    except ObjectNotFoundError as error:
        raise _MissingRecordError(f"{store.uri_of(key)} is missing; the dataset is damaged") from error
    if len(data) > MAX_JSON_BYTES:
        raise IntegrityError(f"{store.uri_of(key)} has {len(data)} bytes; no {kind.__name__} is that large")
    try:
        record = kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        where = ".".join(str(part) for part in first["loc"])
        raise IntegrityError(
            f"{store.uri_of(key)} is not a valid {kind.__name__} ({where or 'JSON'}: {first['msg']}); "
            "it is corrupt, or a newer version of augment wrote it"
        ) from error
    return Stored(record, sha256_hex(data))


def _check_run_id(store: ObjectStore, key: str, found: str, expected: str) -> None:
    if found != expected:
        raise IntegrityError(f"{store.uri_of(key)} calls itself run {found!r}")


def _checked_run_id(run_id: str) -> str:
    if not re.fullmatch(r"[0-9a-z-]{1,64}", run_id):
        raise ConfigError(f"run id {run_id!r} is not 1 to 64 of the characters 0-9, a-z and '-'")
    return run_id


def _version_of(key: str) -> int | None:
    match = re.fullmatch(r"_snapshots/([0-9]{20})\.json", key)
    return int(match[1]) if match else None

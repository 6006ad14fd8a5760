"""The JSON records of a dataset: their keys, and reading them with every check that one record allows.

Owns `_runs/` and `_snapshots/`. Whoever reads a record gets its digest with it, since each is pinned by
another: a snapshot pins manifests, a manifest pins its plan, a snapshot pins the version before it.
Knows neither the order of writes (commit.py) nor shards' content.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Generic, TypeVar

from augment.errors import ConfigError, InputError, IntegrityError
from augment.objects import ObjectNotFoundError, ObjectStore
from augment.stored_record import parsed_record
from augment.types import Manifest, Record, RunPlan, Snapshot, canonical_json, sha256_hex

__all__ = [
    "MAX_JSON_BYTES",
    "MOST_SHARDS",
    "Stored",
    "latest_snapshot",
    "manifest_key",
    "plan_key",
    "read_manifest",
    "read_plan",
    "read_snapshot",
    "run_ids",
    "run_manifests",
    "snapshot_key",
    "stored_manifest",
    "version_times",
]

MAX_JSON_BYTES = 256 << 20  # nothing larger is parsed
MOST_SHARDS = 1_000_000
"""Of a run: its manifest, at about 240 bytes a shard, stays readable."""

R = TypeVar("R", bound=Record)


@dataclass(frozen=True)
class Stored(Generic[R]):
    """A record and the digest of its stored bytes."""

    record: R
    sha256: str


def plan_key(run_id: str) -> str:
    """Key of a run's plan."""
    return f"_runs/{_checked_run_id(run_id)}/plan.json"


def manifest_key(run_id: str, without: Sequence[int] = ()) -> str:
    """Key of a run's manifest, or of the one that leaves out the classes with the labels `without`.

    A hash of the labels names them, since there may be more than a key has room for.
    """
    folder = f"_runs/{_checked_run_id(run_id)}"
    if not without:
        return f"{folder}/manifest.json"
    return f"{folder}/without-{sha256_hex(canonical_json(sorted(set(without))))[:16]}.json"


def snapshot_key(version: int) -> str:
    """Key of a dataset version; versions start at 1."""
    return f"_snapshots/{version:020d}.json"


def read_plan(store: ObjectStore, run_id: str) -> Stored[RunPlan]:
    """A run's plan. Raises IntegrityError if it is missing or corrupt."""
    stored = _read(store, plan_key(run_id), RunPlan)
    _check_run_id(store, plan_key(run_id), stored.record.run_id, run_id)
    if stored.record.plan.num_shards > MOST_SHARDS:  # whoever walks over its shards would not come back
        raise IntegrityError(
            f"{store.uri_of(plan_key(run_id))} plans {stored.record.plan.num_shards} shards, more than a "
            "manifest can list; it is corrupt"
        )
    return stored


def read_manifest(store: ObjectStore, run_id: str, without: Sequence[int] = ()) -> Stored[Manifest]:
    """A run's manifest, or the one without these labels. Raises IntegrityError if it is missing or corrupt."""
    key = manifest_key(run_id, without)
    stored = _read(store, key, Manifest)
    _check_run_id(store, key, stored.record.run_id, run_id)
    if stored.record.without != tuple(sorted(set(without))):
        raise IntegrityError(f"{store.uri_of(key)} leaves out labels {stored.record.without}, not {without}")
    return stored


def stored_manifest(store: ObjectStore, run_id: str, without: Sequence[int] = ()) -> Stored[Manifest] | None:
    """A run's manifest, or the one without these labels; None if it was not put yet."""
    key = manifest_key(run_id, without)
    if not any(found.key == key for found in store.list(key)):
        return None
    return read_manifest(store, run_id, without)


def run_ids(store: ObjectStore) -> list[str]:
    """Every run that was begun, whatever became of it, ascending."""
    plans = (re.fullmatch(r"_runs/([0-9a-z-]{1,64})/plan\.json", found.key) for found in store.list("_runs/"))
    return [match[1] for match in plans if match]


def run_manifests(store: ObjectStore, run_id: str) -> tuple[Manifest, ...]:
    """All that name shards of a run: its manifest, and those without revoked classes; none before it is sealed.

    Raises IntegrityError if one is corrupt.
    """
    folder = f"_runs/{_checked_run_id(run_id)}/"
    keys = [found.key for found in store.list(folder)]
    narrowed = [key for key in keys if re.fullmatch(r"without-[0-9a-f]{16}\.json", key.removeprefix(folder))]
    if not narrowed and manifest_key(run_id) not in keys:
        return ()
    # The run's own is read even where the listing does not show it: it may have been put behind its page.
    return tuple(_read(store, key, Manifest).record for key in (manifest_key(run_id), *narrowed))


def latest_snapshot(store: ObjectStore) -> Stored[Snapshot] | None:
    """The dataset's newest version, or None if nothing was published yet."""
    newest = max(version_times(store), default=None)
    return None if newest is None else read_snapshot(store, newest)


def version_times(store: ObjectStore) -> dict[int, float]:
    """Every version that there is, ascending, and when it was put: seconds since 1970 by the store's clock."""
    versions = {_version_of(found.key): found.modified_s for found in store.list("_snapshots/")}
    return {version: time_s for version, time_s in versions.items() if version is not None}


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
    return Stored(parsed_record(kind, data, store.uri_of(key)), sha256_hex(data))


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

"""Garbage collection: what no reader can ever need again, found, named and, when asked, deleted.

    abandoned   the shards of a run that was aborted, or that nobody has gone on with for the grace period;
                such a run is sealed as aborted before anything of it is deleted
    unlisted    shards of a sealed run that none of its manifests names, and that are older than the grace
    revoked     shards that only revoked rows need, longer than the grace after their revocation
    unfinished  what killed processes left of single writes
    unused      decoded pixels that no job has read or written for the grace period; they can be decoded again

What lies among the shards and is of no run of this dataset is told as `foreign`, and stays: it is not ours to delete.
A shard's ledger and the refused candidates that were kept beside it go with it, for the same reason.
Plans, manifests, snapshots and models are kept for ever. The grace period is a courtesy to those at work,
measured by the store's own clock. Safety rests on order alone, so that no clock can break it:

- An unsealed run can only be aborted by the same put-if-absent that commits it: one of the two happens.
- A run's data is listed before its manifests are read. Shards that a revocation writes are put after the
  manifest that names them, all others before the run is sealed: what the listing shows of a sealed run is
  named by then, or never will be.
- The newest version is read before both. What it has revoked, no later version lists again.

Owns deletion. Knows no pixels and no versions but the newest.
"""

from __future__ import annotations

import secrets
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Literal

from augment.errors import ConfigError, InputError, IntegrityError
from augment.objects import LocalStore, ObjectStore, StoredObject
from augment.store.foreign import SHARDS_PREFIX, foreign_among
from augment.store.ledgers import ledger_prefix
from augment.store.pixel_cache import PIXEL_CACHES, unused_objects
from augment.store.records import (
    latest_snapshot,
    manifest_key,
    plan_key,
    read_manifest,
    read_plan,
    run_ids,
    run_manifests,
    snapshot_key,
    version_times,
)
from augment.store.rejected import rejected_prefix
from augment.store.shards import parse_shard_key, shard_prefix
from augment.types import Manifest, Revocation

__all__ = ["DEFAULT_GRACE_S", "CollectionReport", "Garbage", "Reason", "collect"]

DEFAULT_GRACE_S = 72 * 3600.0

Reason = Literal["abandoned", "unlisted", "revoked", "unfinished", "unused", "foreign"]

_LEAST_UNFINISHED_S = 3600.0  # whatever the grace: a write that is at work now is not a leftover
_RESERVED = "_gc/"  # this module's own objects: probes of the store's clock


@dataclass(frozen=True)
class Garbage:
    """Objects that go for one reason; `run_id` is None for those of no run."""

    run_id: str | None
    reason: Reason
    keys: tuple[str, ...]
    size_bytes: int


@dataclass(frozen=True)
class CollectionReport:
    """What `collect` found; `deleted` says whether it is gone or would go."""

    uri: str
    grace_s: float
    deleted: bool
    garbage: tuple[Garbage, ...]
    foreign: tuple[Garbage, ...] = ()  # never deleted, and in no sum

    @property
    def objects(self) -> int:
        """Objects over all reasons."""
        return sum(len(found.keys) for found in self.garbage)

    @property
    def size_bytes(self) -> int:
        """Bytes over all reasons."""
        return sum(found.size_bytes for found in self.garbage)


def collect(
    store: ObjectStore, *, grace_s: float = DEFAULT_GRACE_S, delete: bool = False
) -> CollectionReport:
    """Find what nobody needs any more, and with `delete` remove it; killed anywhere, it can be repeated.

    Even without `delete` a small object is written and removed again, to read the store's clock. Raises
    ConfigError for a negative grace, InputError where nothing was ever begun, IntegrityError for a corrupt
    record: then nothing more is deleted.
    """
    if grace_s < 0:
        raise ConfigError(f"a grace period of {grace_s:g} s is negative; give 0 or more, such as 72h")
    runs = run_ids(store)
    if not runs and next(iter(store.list(PIXEL_CACHES)), None) is None:
        raise InputError(f"nothing was ever begun at {store.uri}: there is nothing to collect; check the URI")
    now_s = _store_time_s(store)
    until_s = now_s - grace_s
    revoked = _revoked_until(store, until_s)
    garbage: list[Garbage] = []
    for found in _no_longer_needed(store, runs, until_s, revoked, seal=delete):
        garbage.append(found)
        if delete:
            _delete(store, found)
    garbage.extend(_unfinished(store, now_s - max(grace_s, _LEAST_UNFINISHED_S), delete=delete))
    foreign = tuple(_garbage(None, "foreign", list(foreign_among(store, store.list(SHARDS_PREFIX)))))
    return CollectionReport(store.uri, grace_s, delete, tuple(garbage), foreign)


def _delete(store: ObjectStore, garbage: Garbage) -> None:
    if garbage.reason != "unused":
        store.delete_all(garbage.keys)
        return
    for key in garbage.keys:  # in this order: a cache's index goes before its parts
        store.delete(key)


def _no_longer_needed(
    store: ObjectStore, runs: Sequence[str], until_s: float, revoked: Sequence[Revocation], *, seal: bool
) -> Iterator[Garbage]:
    """What goes by its key, run after run, then the caches."""
    for run_id in runs:
        yield from _garbage_of_run(store, run_id, until_s, revoked, seal=seal)
    yield from _garbage(None, "unused", unused_objects(store, until_s))


def _store_time_s(store: ObjectStore) -> float:
    """Now, as the store dates what it is given: our own clock may disagree with it."""
    key = f"{_RESERVED}clock-{secrets.token_hex(8)}"
    store.put_if_absent(key, b"")
    try:
        found = next((found for found in store.list(key) if found.key == key), None)
    finally:
        store.delete(key)
    if found is None:
        raise ConfigError(
            f"{store.uri}: a listing does not show what was just put; see `augment doctor` on this store"
        )
    return found.modified_s


def _revoked_until(store: ObjectStore, until_s: float) -> tuple[Revocation, ...]:
    """The newest version's revocations that are older than the grace."""
    latest = latest_snapshot(store)
    if latest is None or not latest.record.revoked:
        return ()
    times = version_times(store)
    for revocation in latest.record.revoked:
        if revocation.version not in times:
            key = store.uri_of(snapshot_key(revocation.version))
            raise IntegrityError(f"{key} is missing, though version {latest.record.version} names it")
    return tuple(revocation for revocation in latest.record.revoked if times[revocation.version] <= until_s)


def _garbage_of_run(
    store: ObjectStore, run_id: str, until_s: float, revoked: Sequence[Revocation], *, seal: bool
) -> Iterator[Garbage]:
    """What may go of one run; with `seal` an abandoned run is aborted first."""
    data = _data_of(store, run_id)
    manifests = run_manifests(store, run_id)  # after the listing: see the module's docstring
    if not manifests:
        if not _is_abandoned(store, run_id, [found for _, found in data], until_s):
            return
        aborted = _aborted(store, run_id)
        manifests = (_sealed(store, aborted) if seal else aborted,)
    if all(manifest.status == "aborted" for manifest in manifests):
        yield from _garbage(run_id, "abandoned", [found for _, found in data if found.modified_s <= until_s])
        return
    live = _named(manifest for manifest in manifests if not _is_revoked(store, manifest, revoked))
    dead = _named(manifests) - live
    unlisted = [found for shard, found in data if shard not in live and shard not in dead]
    yield from _garbage(run_id, "unlisted", [found for found in unlisted if found.modified_s <= until_s])
    yield from _garbage(run_id, "revoked", [found for shard, found in data if shard in dead])


def _data_of(store: ObjectStore, run_id: str) -> list[tuple[str, StoredObject]]:
    """A run's shards, their ledgers and their refused candidates, each with the key of the shard it belongs to."""
    data = [(found.key, found) for found in store.list(shard_prefix(run_id)) if parse_shard_key(found.key)]
    for prefix in (ledger_prefix(run_id), rejected_prefix(run_id)):
        for found in store.list(prefix):
            name, _, _ = found.key.removeprefix(prefix).rpartition(".")
            shard = f"{shard_prefix(run_id)}{name}.parquet"
            if parse_shard_key(shard) is not None:
                data.append((shard, found))
    return data


def _is_abandoned(store: ObjectStore, run_id: str, data: Sequence[StoredObject], until_s: float) -> bool:
    """Neither the plan nor any of the run's data is younger than the grace."""
    plan = [found for found in store.list(plan_key(run_id)) if found.key == plan_key(run_id)]
    return all(found.modified_s <= until_s for found in (*plan, *data))


def _aborted(store: ObjectStore, run_id: str) -> Manifest:
    return Manifest(run_id=run_id, status="aborted", plan_sha256=read_plan(store, run_id).sha256)


def _sealed(store: ObjectStore, aborted: Manifest) -> Manifest:
    """The run's manifest from now on: aborted, unless its driver has committed it meanwhile."""
    if store.put_if_absent(manifest_key(aborted.run_id), aborted.to_json()):
        return aborted
    return read_manifest(store, aborted.run_id).record


def _is_revoked(store: ObjectStore, manifest: Manifest, revoked: Sequence[Revocation]) -> bool:
    """Whether a revocation forbids every later version to list this manifest."""
    if not revoked:
        return False
    generator = read_plan(store, manifest.run_id).record.generator_sha256
    return any(
        revocation.concerns(manifest.run_id, generator)
        and not (revocation.labels and set(revocation.labels) <= set(manifest.without))
        for revocation in revoked
    )


def _named(manifests: Sequence[Manifest] | Iterator[Manifest]) -> set[str]:
    return {shard.key for manifest in manifests for shard in manifest.shards}


def _garbage(run_id: str | None, reason: Reason, found: Sequence[StoredObject]) -> Iterator[Garbage]:
    if found:
        yield Garbage(run_id, reason, tuple(one.key for one in found), sum(one.size for one in found))


def _unfinished(store: ObjectStore, until_s: float, *, delete: bool) -> Iterator[Garbage]:
    """Old probes, and a local store's temporary files. (An S3 write is one request: it leaves no parts.)"""
    probes = [found for found in store.list(_RESERVED) if found.modified_s <= until_s]
    temporary: list[StoredObject] = []
    if isinstance(store, LocalStore):
        temporary = [found for found in store.unfinished() if found.modified_s <= until_s]
        for found in temporary if delete else ():
            store.discard_unfinished(found.key)
    if delete:
        store.delete_all(found.key for found in probes)
    yield from _garbage(None, "unfinished", [*probes, *temporary])

"""The protocol with one thing broken at a time. A harness that does not find each of them out proves nothing.

A mutant replaces one function, or two that only make sense together, where everybody calls it.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import replace
from typing import Any
from unittest import mock

from augment.errors import RetryLaterError
from augment.objects import ObjectStore
from augment.store import collect, commit, existing, identity, reading, records, revoke
from augment.store.shards import held_spec, parse_shard_key, shard_key, shard_prefix
from augment.types import (
    Manifest,
    RunPlan,
    ShardLedger,
    ShardReceipt,
    Snapshot,
    SnapshotRun,
    sha256_hex,
)

__all__ = ["MUTANTS", "mutated"]

Patch = tuple[Any, str, Callable[..., Any]]

_put_shard, _list_shards = commit.put_shard, commit.list_shards
_seal_run, _publish = commit.seal_run, commit.publish
_read_run, _shards_left = reading.read_run, revoke._shards_left
_run_ids, _run_manifests = records.run_ids, records.run_manifests


class _Altered:
    """A store that does one thing otherwise."""

    def __init__(self, store: ObjectStore) -> None:
        self._store = store

    def __getattr__(self, name: str) -> Any:
        return getattr(self._store, name)


class _Overwriting(_Altered):
    def put_if_absent(self, key: str, data: bytes) -> bool:
        self._store.put(key, data)
        return True


class _AlwaysWinning(_Altered):
    def put_if_absent(self, key: str, data: bytes) -> bool:
        self._store.put_if_absent(key, data)
        return True


# ---- shards ---------------------------------------------------------------------------------------------


def put_under_a_fixed_name(
    store: ObjectStore, run_id: str, index: int, rows: int, data: bytes
) -> ShardReceipt:
    key = shard_key(run_id, index, sha256_hex(b"%d" % index))
    store.put(key, data)
    return ShardReceipt(index=index, key=key, rows=rows, size_bytes=len(data), sha256=sha256_hex(data))


def list_by_content(store: ObjectStore, run: RunPlan) -> dict[int, ShardReceipt]:
    found = {}
    for index, receipt in _list_shards(store, run).items():
        sha256 = sha256_hex(store.get(receipt.key))
        found[index] = replace(receipt, sha256=sha256)
    return found


def put_swallowing_failures(store: Any, run_id: str, index: int, rows: int, data: bytes) -> ShardReceipt:
    with suppress(RetryLaterError):
        _put_shard(store, run_id, index, rows, data)
    receipt = commit.shard_receipt(run_id, index, rows, data)
    store.receipts = {**getattr(store, "receipts", {}), index: receipt}
    return receipt


def list_trusting_receipts(store: Any, run: RunPlan) -> dict[int, ShardReceipt]:
    return {**_list_shards(store, run), **getattr(store, "receipts", {})}


# ---- the run's seal -------------------------------------------------------------------------------------


def seal_overwriting(store: ObjectStore, run: RunPlan, policy: Any) -> Manifest:
    return _seal_run(_Overwriting(store), run, policy)


def take_any_plan(store: ObjectStore, stored: RunPlan, ours: RunPlan) -> None:
    pass


def take_aborted_for_committed(store: ObjectStore, manifest: Manifest) -> Manifest:
    return manifest


# ---- versions -------------------------------------------------------------------------------------------


def publish_overwriting(store: ObjectStore, manifest: Manifest, policy: Any) -> Snapshot:
    return _publish(_Overwriting(store), manifest, policy)


def publish_believing_it_won(store: ObjectStore, manifest: Manifest, policy: Any) -> Snapshot:
    return _publish(_AlwaysWinning(store), manifest, policy)


def publish_without_looking(store: ObjectStore, manifest: Manifest, policy: Any) -> Snapshot:
    run, plan = _as_listed(store, manifest), records.read_plan(store, manifest.run_id).record
    while True:
        latest = records.latest_snapshot(store)
        commit._check_publishable(store, latest, plan, policy)
        snapshot = commit._next_snapshot(latest, run, policy)
        if store.put_if_absent(records.snapshot_key(snapshot.version), snapshot.to_json()):
            return snapshot


def publish_what_it_first_saw(store: ObjectStore, manifest: Manifest, policy: Any) -> Snapshot:
    run, latest = _as_listed(store, manifest), records.latest_snapshot(store)
    if latest is not None and run in latest.record.runs:
        return latest.record
    commit._check_publishable(store, latest, records.read_plan(store, run.run_id).record, policy)
    snapshot = commit._next_snapshot(latest, run, policy)
    while not store.put_if_absent(records.snapshot_key(snapshot.version), snapshot.to_json()):
        before = records.read_snapshot(store, snapshot.version)
        numbered = {"version": snapshot.version + 1, "parent_sha256": before.sha256}
        snapshot = snapshot.model_copy(update=numbered)
    return snapshot


def _as_listed(store: ObjectStore, manifest: Manifest) -> SnapshotRun:
    stored = records.read_manifest(store, manifest.run_id)
    rows = sum(shard.rows for shard in stored.record.shards)
    return SnapshotRun(run_id=manifest.run_id, manifest_sha256=stored.sha256, rows=rows)


def let_it_pass(*_: Any) -> None:
    pass


def append_from_0(store: ObjectStore, job: RunPlan) -> RunPlan:
    return job


def see_no_manifest(store: ObjectStore, run_id: str) -> None:
    return None


def read_what_lies_there(store: ObjectStore, listed: SnapshotRun) -> reading.CommittedRun:
    run = _read_run(store, listed)
    shards = []
    for found in store.list(shard_prefix(listed.run_id)):
        parsed = parse_shard_key(found.key)
        assert parsed is not None
        shards.append(
            ShardReceipt(
                index=parsed.index, key=found.key, rows=1, size_bytes=found.size, sha256=parsed.sha256
            )
        )
    return reading.CommittedRun(run.plan, run.manifest.model_copy(update={"shards": tuple(shards)}))


# ---- collection and revocation --------------------------------------------------------------------------


def collect_unsealed(store: ObjectStore, aborted: Manifest) -> Manifest:
    return aborted


def collect_what_only_older_versions_list(store: ObjectStore, manifest: Manifest, revoked: Any) -> bool:
    latest = records.latest_snapshot(store)
    return latest is not None and manifest.run_id not in {listed.run_id for listed in latest.record.runs}


def read_manifests_first(store: Any) -> list[str]:
    found = _run_ids(store)
    store.early = {run_id: _run_manifests(store, run_id) for run_id in found}
    return found


def manifests_read_first(store: Any, run_id: str) -> tuple[Manifest, ...]:
    early: dict[str, tuple[Manifest, ...]] = store.early
    return early[run_id]


def write_shards_before_their_manifest(
    store: ObjectStore, run: reading.CommittedRun, without: Any
) -> Iterator[ShardReceipt]:
    for shard in run.manifest.shards:
        left = held_spec(run.plan.plan, shard.index, without)
        if left.rows == shard.rows:
            yield shard
        elif left.rows:
            data = revoke._shard_left(store, run, shard, left)
            yield _put_shard(store, run.plan.run_id, shard.index, left.rows, data)


def narrow_to_nothing(store: ObjectStore, run: reading.CommittedRun, without: Any) -> Iterator[ShardReceipt]:
    return iter(())


def narrow_nothing(store: ObjectStore, run: reading.CommittedRun, without: Any) -> Iterator[ShardReceipt]:
    return iter(run.manifest.shards)


def narrow_and_lose_a_shard(
    store: ObjectStore, run: reading.CommittedRun, without: Any
) -> Iterator[ShardReceipt]:
    return iter(list(_shards_left(store, run, without))[1:])


# ---- gates ----------------------------------------------------------------------------------------------


def seal_as_planned(*_: Any) -> Any:
    return (), ()


def read_the_first_ledger_of_each_index(
    store: ObjectStore, run_id: str, shards: Sequence[ShardReceipt]
) -> list[ShardLedger]:
    firsts: dict[str, str] = {}
    for found in store.list(f"_ledgers/{run_id}/"):
        firsts.setdefault(found.key.rpartition("/")[2][:6], found.key)
    return [ShardLedger.model_validate_json(store.get(firsts[f"{shard.index:06d}"])) for shard in shards]


def count_as_planned(run: RunPlan, manifest: Manifest) -> dict[int, int]:
    return {
        target.label: 0 if target.label in manifest.without else target.synthetic
        for target in run.plan.classes
    }


MUTANTS: dict[str, tuple[Patch, ...]] = {
    "shards have fixed names, and a put overwrites": (
        (commit, "put_shard", put_under_a_fixed_name),
        (commit, "list_shards", list_by_content),
    ),
    "a failed upload is swallowed, and receipts are trusted": (
        (commit, "put_shard", put_swallowing_failures),
        (commit, "list_shards", list_trusting_receipts),
    ),
    "the manifest can be overwritten": ((commit, "seal_run", seal_overwriting),),
    "a snapshot can be overwritten": ((commit, "publish", publish_overwriting),),
    "plans of one run id are not compared": ((commit, "_check_same_plan", take_any_plan),),
    "an aborted run passes for a committed one": ((commit, "_committed", take_aborted_for_committed),),
    "who loses a race believes that it won": ((commit, "publish", publish_believing_it_won),),
    "a run that is listed already is listed again": ((commit, "publish", publish_without_looking),),
    "who loses a race publishes what it first saw": ((commit, "publish", publish_what_it_first_saw),),
    "revoked runs come back": ((commit, "_check_not_revoked", let_it_pass),),
    "a top-up is published whatever came between": ((commit, "_check_still_missing", let_it_pass),),
    "an appended run repeats samples": ((commit, "_check_disjoint", let_it_pass),),
    "an appended run begins at index 0": (
        (identity, "_appended", append_from_0),
        (commit, "_check_disjoint", let_it_pass),
    ),
    "an aborted run is tried again and again": ((identity, "stored_manifest", see_no_manifest),),
    "a label may be of two classes": ((commit, "_check_agreement", let_it_pass),),
    "readers take what lies in the folder": ((reading, "read_run", read_what_lies_there),),
    "abandoned runs are collected without a seal": ((collect, "_sealed", collect_unsealed),),
    "what only older versions list is collected": (
        (collect, "_is_revoked", collect_what_only_older_versions_list),
    ),
    "manifests are read before data is listed": (
        (collect, "run_ids", read_manifests_first),
        (collect, "run_manifests", manifests_read_first),
    ),
    "a revocation writes shards before their manifest": (
        (revoke, "_shards_left", write_shards_before_their_manifest),
    ),
    "revoking a class loses the rows beside it": ((revoke, "_shards_left", narrow_to_nothing),),
    "revoking a class removes nothing": ((revoke, "_shards_left", narrow_nothing),),
    "revoking a class loses one shard more": ((revoke, "_shards_left", narrow_and_lose_a_shard),),
    "a seal takes samples for made because they were planned": ((commit, "_passed", seal_as_planned),),
    "a shard's ledger may be another worker's": (
        (commit, "read_ledgers", read_the_first_ledger_of_each_index),
    ),
    "a top-up counts what was planned": ((existing, "rows_by_label", count_as_planned),),
}
"""What is broken, and the functions that break it."""


@contextmanager
def mutated(name: str) -> Iterator[None]:
    """While this holds, the protocol has this one fault."""
    with ExitStack() as stack:
        for module, attribute, replacement in MUTANTS[name]:
            stack.enter_context(mock.patch.object(module, attribute, replacement))
        yield

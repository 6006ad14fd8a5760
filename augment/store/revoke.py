"""Revocation: the next version without rows that should not be used, and why. Nothing is deleted.

    _runs/<run>/without-<hash of labels>.json    the shards of a run without the rows of these classes
    data/<run>/<index:06d>-<sha256>.parquet      those that held other rows beside them, written again

Owns what a revocation leaves. A whole run, or all runs of a model, is listed no more; a class leaves the files
themselves, so that any Parquet reader of the listed files is rid of it. Whatever is written follows from the
run and the labels alone and is put once, so that a revocation may be killed anywhere, run again, and race with
publishers: of one version there is one, and who comes second looks at it and goes on from there. That what was
revoked does not come back is commit.publish's.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq

from augment.errors import ConfigError, InputError, IntegrityError
from augment.objects import ObjectStore
from augment.store.commit import put_shard, shard_receipt
from augment.store.existing import published_runs
from augment.store.ledgers import narrowed_ledger, narrowed_missing
from augment.store.reading import CommittedRun, read_run, read_shard
from augment.store.records import (
    Stored,
    latest_snapshot,
    manifest_key,
    read_manifest,
    read_plan,
    run_ids,
    snapshot_key,
    stored_manifest,
)
from augment.store.shards import build_shard, held_spec, marks_of, sample_ids, shard_prefix
from augment.types import (
    Manifest,
    Revocation,
    RunPlan,
    ShardReceipt,
    ShardSpec,
    Snapshot,
    SnapshotRun,
    sha256_hex,
)

__all__ = ["Revoked", "revoke_classes", "revoke_model", "revoke_run"]

_LEAST_DIGITS = 8  # of a digest or a run id that is not given whole
_SHOWN = 20  # names in a message


@dataclass(frozen=True)
class Revoked:
    """What a revocation came to: the revocations that hold, and the newest version, which is without the rows.

    `rows` is how many left with this call: 0 where only older versions, or none, held them, and where all was
    revoked before; then `made` is False.
    """

    snapshot: Snapshot
    revocations: tuple[Revocation, ...]
    rows: int
    made: bool


@dataclass(frozen=True)
class _Choice:
    """Revocations that the next version makes, and those asked for that an earlier one made."""

    new: tuple[Revocation, ...]
    old: tuple[Revocation, ...]


def revoke_model(store: ObjectStore, sha256: str, why: str) -> Revoked:
    """A version without the runs of the generator `sha256`, whole or its first 8 or more digits.

    Any generator of a run that was ever begun here can be revoked, so that none of its runs comes (back). Raises
    ConfigError, naming the generators that are there, for another; InputError if nothing is committed.
    """

    def choose(snapshot: Snapshot) -> _Choice:
        plans = (read_plan(store, run_id).record for run_id in run_ids(store))
        there = {plan.generator_sha256 for plan in plans if plan.generator_sha256 is not None}
        old = {made.generator_sha256: made for made in snapshot.revoked if made.generator_sha256 is not None}
        found = _matching(sha256, there | old.keys(), f"model of a run at {store.uri}")
        if found in old:
            return _Choice(new=(), old=(old[found],))
        return _Choice(
            new=(Revocation(version=snapshot.version + 1, generator_sha256=found, why=why),), old=()
        )

    return _revoke(store, choose, why)


def revoke_run(store: ObjectStore, run_id: str, why: str) -> Revoked:
    """A version without the run `run_id`, whole or its first 8 or more digits. Raises as `revoke_model`.

    Any run that was ever begun can be revoked: one that a `replace` dropped does not come back, and one that
    was sealed and never published becomes garbage.
    """

    def choose(snapshot: Snapshot) -> _Choice:
        there = set(run_ids(store))
        old = {made.run_id: made for made in snapshot.revoked if made.run_id is not None and not made.labels}
        found = _matching(run_id, there | old.keys(), f"run at {store.uri}")
        if found in old:
            return _Choice(new=(), old=(old[found],))
        return _Choice(new=(Revocation(version=snapshot.version + 1, run_id=found, why=why),), old=())

    return _revoke(store, choose, why)


def revoke_classes(store: ObjectStore, names: Sequence[str], why: str) -> Revoked:
    """A version without the rows of these classes, in all runs that any version ever listed.

    A later run may bring such a class again, but none of these runs does. Raises ConfigError, naming the classes
    that have rows, for another; InputError if nothing is committed.
    """

    def choose(snapshot: Snapshot) -> _Choice:
        published = {run.run_id: run for run in published_runs(store, snapshot)}
        new = tuple(
            Revocation(version=snapshot.version + 1, run_id=run_id, labels=labels, why=why)
            for run_id, run in published.items()
            if (labels := _labels_with_rows(run, names, _labels_revoked(run, snapshot.revoked)))
        )
        old = tuple(
            made
            for made in snapshot.revoked
            if made.run_id in published and set(made.labels) & set(_labels_of(published[made.run_id], names))
        )
        found = {
            name
            for made in (*new, *old)
            if made.run_id is not None
            for name in _names_of(published[made.run_id], made.labels)
        }
        if missing := [name for name in names if name not in found]:
            raise ConfigError(
                f"{store.uri} has no rows of {_quoted(missing)} to revoke in any version; the classes with rows in "
                f"the newest are {_quoted(_names_with_rows(snapshot, published)) or 'none'}"
            )
        return _Choice(new, old)

    return _revoke(store, choose, why)


def _revoke(store: ObjectStore, choose: Callable[[Snapshot], _Choice], why: str) -> Revoked:
    if not why.strip():
        raise ConfigError(
            "a revocation needs a reason (--why): the log shows it for as long as the dataset lives"
        )
    while True:
        latest = latest_snapshot(store)
        if latest is None:
            raise InputError(f"no dataset is committed at {store.uri}: there is nothing to revoke")
        choice = choose(latest.record)
        if not choice.new:
            return Revoked(latest.record, choice.old, rows=0, made=False)
        snapshot = Snapshot(
            version=latest.record.version + 1,
            parent_sha256=latest.sha256,
            runs=_remaining_runs(store, latest, choice.new),
            revoked=(*latest.record.revoked, *choice.new),
        )
        if store.put_if_absent(snapshot_key(snapshot.version), snapshot.to_json()):
            rows = latest.record.rows - snapshot.rows
            return Revoked(snapshot, (*choice.old, *choice.new), rows, made=True)


def _remaining_runs(
    store: ObjectStore, latest: Stored[Snapshot], revocations: Sequence[Revocation]
) -> tuple[SnapshotRun, ...]:
    """The version's runs without what is revoked; what the narrowed ones need is stored on the way."""
    remaining = []
    for listed in latest.record.runs:
        generator = read_plan(store, listed.run_id).record.generator_sha256
        concerning = [each for each in revocations if each.concerns(listed.run_id, generator)]
        if not concerning:
            remaining.append(listed)
        elif all(each.labels for each in concerning):
            labels = {label for each in concerning for label in each.labels}
            narrowed = _narrowed(store, listed, tuple(sorted({*listed.without, *labels})))
            remaining += [narrowed] if narrowed.rows else []
    return tuple(remaining)


def _narrowed(store: ObjectStore, listed: SnapshotRun, without: tuple[int, ...]) -> SnapshotRun:
    """The run without these labels: its second manifest, then the shards written for it, are put or found.

    In this order, so that a collector never sees a shard that a manifest is still to name.
    """
    run = read_run(store, listed)
    stored = stored_manifest(store, listed.run_id, without)
    if stored is None:
        manifest = Manifest(
            run_id=listed.run_id,
            status="committed",
            plan_sha256=run.manifest.plan_sha256,
            without=without,
            shards=tuple(_shards_left(store, run, without)),
            ledger=narrowed_ledger(run.manifest.ledger, without),
            missing=narrowed_missing(run.plan, run.manifest.missing, without),
        )
        store.put_if_absent(manifest_key(listed.run_id, without), manifest.to_json())
        stored = read_manifest(store, listed.run_id, without)  # another driver's, if that was first
    _put_missing_shards(store, run, stored.record)
    return SnapshotRun(
        run_id=listed.run_id,
        manifest_sha256=stored.sha256,
        rows=sum(shard.rows for shard in stored.record.shards),
        without=without,
    )


def _shards_left(store: ObjectStore, run: CommittedRun, without: Collection[int]) -> Iterator[ShardReceipt]:
    """Shards without such rows as they are; those with others beside them as they will be; the empty left out."""
    for shard in run.manifest.shards:
        left = held_spec(run.plan.plan, shard.index, without, run.manifest.missing)
        if left.rows and left.rows == shard.rows:
            yield shard
        elif left.rows:
            data = _shard_left(store, run, shard, left)
            yield shard_receipt(run.plan.run_id, shard.index, left.rows, data)


def _put_missing_shards(store: ObjectStore, run: CommittedRun, narrowed: Manifest) -> None:
    """Make the shards that a narrowed manifest names and the store does not hold yet, one at a time."""
    there = {found.key for found in store.list(shard_prefix(run.plan.run_id))}
    sources = {shard.index: shard for shard in run.manifest.shards}
    for shard in narrowed.shards:
        if shard.key in there:
            continue
        left = held_spec(run.plan.plan, shard.index, narrowed.without, narrowed.missing)
        data = _shard_left(store, run, sources[shard.index], left)
        if sha256_hex(data) != shard.sha256:
            raise ConfigError(
                f"{store.uri_of(shard.key)} was to be written by a revocation that did not end, and the "
                "libraries installed here write it otherwise; revoke with the version of pyarrow that began it"
            )
        put_shard(store, run.plan.run_id, shard.index, left.rows, data)


def _shard_left(store: ObjectStore, run: CommittedRun, shard: ShardReceipt, left: ShardSpec) -> bytes:
    """The Parquet bytes of what is `left` of a shard: the same for whatever was revoked of it before."""
    there = held_spec(run.plan.plan, shard.index, run.manifest.without, run.manifest.missing)
    table = pq.read_table(pa.BufferReader(read_shard(store, shard)))
    identities = sample_ids(run.plan, there)
    if table["sample_id"].to_pylist() != identities:
        raise IntegrityError(f"{store.uri_of(shard.key)} does not hold the rows that its plan gives")
    encoded: list[Any] = table.flatten()["image.bytes"].to_pylist()
    rows = dict(zip(identities, zip(encoded, marks_of(table), strict=True), strict=True))
    kept = [rows[identity] for identity in sample_ids(run.plan, left)]
    return build_shard(run.plan, left, [image for image, _ in kept], [marks for _, marks in kept])


# ---- what is meant ----------------------------------------------------------------------------------------


def _matching(text: str, there: Collection[str], what: str) -> str:
    """The one of `there` that `text` is, or begins."""
    found = [text] if text in there else sorted(name for name in there if name.startswith(text))
    if len(found) == 1 and (found[0] == text or re.fullmatch(rf"[0-9a-f]{{{_LEAST_DIGITS},}}", text)):
        return found[0]
    listed = _listed(sorted(there))
    if not listed:
        raise ConfigError(f"{text!r} names no {what}: nothing here was made by one")
    if len(text) < _LEAST_DIGITS:
        raise ConfigError(
            f"{text!r} names no {what}: give at least {_LEAST_DIGITS} digits of one of {listed}"
        )
    if found:
        raise ConfigError(f"{text!r} begins more than one {what}: {_listed(found)}; give more digits")
    raise ConfigError(f"{text!r} names no {what}; there are {listed}")


def _labels_revoked(run: RunPlan, revocations: Sequence[Revocation]) -> set[int]:
    """Labels of which the run can't be published any more: all, where it was revoked as a whole."""
    labels: set[int] = set()
    for made in revocations:
        if made.concerns(run.run_id, run.generator_sha256):
            labels.update(made.labels or (target.label for target in run.plan.classes))
    return labels


def _names_with_rows(snapshot: Snapshot, plans: Mapping[str, RunPlan]) -> list[str]:
    """Classes of which this version holds rows."""
    named = {
        target.name
        for listed in snapshot.runs
        for target in plans[listed.run_id].plan.classes
        if target.synthetic and target.label not in listed.without
    }
    return sorted(named)


def _labels_of(run: RunPlan, names: Collection[str]) -> tuple[int, ...]:
    return tuple(sorted(target.label for target in run.plan.classes if target.name in names))


def _labels_with_rows(run: RunPlan, names: Collection[str], without: Collection[int]) -> tuple[int, ...]:
    """Labels of these classes of which a run, but for those left out already, holds rows."""
    empty = {target.label for target in run.plan.classes if not target.synthetic}
    return tuple(label for label in _labels_of(run, names) if label not in without and label not in empty)


def _names_of(run: RunPlan, labels: Collection[int]) -> list[str]:
    return [target.name for target in run.plan.classes if target.label in labels]


def _quoted(names: Sequence[str]) -> str:
    return _listed([repr(name) for name in names])


def _listed(names: Sequence[str]) -> str:
    return ", ".join(names[:_SHOWN]) + (f" and {len(names) - _SHOWN} more" if len(names) > _SHOWN else "")

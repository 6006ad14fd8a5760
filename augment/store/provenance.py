"""Where a sample lies and what it was made from, by its id alone.

Owns the search. An id is a hash of run, label and index, so that the candidates are computed from the plans: no
shard is read. Knows no pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass

from augment.errors import ConfigError, InputError
from augment.objects import ObjectStore
from augment.store.existing import snapshots_back_from
from augment.store.reading import read_run, read_version
from augment.store.records import read_plan
from augment.store.shards import held_spec, sample_id
from augment.types import ClassTarget, Revocation, RunPlan, ShardReceipt, ShardSpec, Snapshot

__all__ = ["FoundSample", "find_sample"]


@dataclass(frozen=True)
class FoundSample:
    """One sample: what made it, and in which row of which shard the newest version that has it holds it."""

    sample_id: str
    run: RunPlan
    class_index: int
    sample_index: int
    versions: tuple[int, ...]  # that hold it, ascending
    shard: ShardReceipt
    row: int
    revoked: tuple[Revocation, ...]  # those that it fell to

    @property
    def target(self) -> ClassTarget:
        """Its class."""
        return self.run.plan.classes[self.class_index]


def find_sample(store: ObjectStore, identity: str, version: int | None = None) -> FoundSample:
    """The sample with this id, in any version or in the one given.

    Takes about a second for a million rows. Raises ConfigError if there is no such sample or version, InputError
    if its row is gone (revoked, or refused by the gates) or nothing is committed; IntegrityError if a record is
    damaged.
    """
    newest = read_version(store, version).record
    snapshots = [newest] if version is not None else list(snapshots_back_from(store, newest))
    plans = {
        run_id: read_plan(store, run_id).record
        for run_id in dict.fromkeys(listed.run_id for snapshot in snapshots for listed in snapshot.runs)
    }
    for run in plans.values():
        for class_index, sample_index in _candidates(run):
            if sample_id(run.run_id, run.plan.classes[class_index].label, sample_index) == identity:
                return _found(store, identity, snapshots, run, class_index, sample_index)
    rows = sum(run.plan.rows for run in plans.values())
    where = f"version {version}" if version is not None else "any version"
    raise ConfigError(
        f"no sample {identity!r} in {where} of {store.uri} ({rows:,} samples of {len(plans)} run(s) were "
        "looked at); ids are in the column `sample_id`, 32 hex digits each"
    )


def _candidates(run: RunPlan) -> Iterator[tuple[int, int]]:
    for class_index, target in enumerate(run.plan.classes):
        for sample_index in range(target.first, target.first + target.synthetic):
            yield class_index, sample_index


def _found(
    store: ObjectStore,
    identity: str,
    snapshots: Sequence[Snapshot],
    run: RunPlan,
    class_index: int,
    sample_index: int,
) -> FoundSample:
    label = run.plan.classes[class_index].label
    holding = [
        (snapshot.version, listed)
        for snapshot in snapshots
        for listed in snapshot.runs
        if listed.run_id == run.run_id and label not in listed.without
    ]
    if not holding:
        raise InputError(
            f"version {snapshots[0].version} of {store.uri} holds sample {identity!r} no more: its class was revoked"
        )
    manifest = read_run(store, holding[0][1]).manifest
    index, _ = run.plan.locate(class_index, sample_index)
    row = _row(held_spec(run.plan, index, manifest.without, manifest.missing), class_index, sample_index)
    if row is None:
        raise InputError(
            f"sample {identity!r} of {store.uri} was planned, but no candidate for it passed the gates"
        )
    return FoundSample(
        sample_id=identity,
        run=run,
        class_index=class_index,
        sample_index=sample_index,
        versions=tuple(sorted(version for version, _ in holding)),
        shard=next(shard for shard in manifest.shards if shard.index == index),
        row=row,
        revoked=tuple(
            made
            for made in read_version(store, None).record.revoked  # whichever version was asked about
            if made.concerns(run.run_id, run.generator_sha256) and (not made.labels or label in made.labels)
        ),
    )


def _row(spec: ShardSpec, class_index: int, sample_index: int) -> int | None:
    """In which row a sample lies; None where the shard lacks it."""
    row = 0
    for piece in spec.pieces:
        if piece.class_index == class_index and piece.first <= sample_index < piece.first + piece.count:
            return row + sample_index - piece.first
        row += piece.count
    return None

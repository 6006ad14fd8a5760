"""What a dataset holds already, class by class: where a top-up, and a run that is appended, go on.

Owns counting rows from plans and versions alone: no manifest and no shard is opened. Only published versions
count, so that a killed run computes the same plan again. Knows no targets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from augment.objects import ObjectStore
from augment.store.records import latest_snapshot, read_plan, read_snapshot
from augment.types import AugmentPlan, ExistingRows, RunPlan, Snapshot

__all__ = ["existing_rows", "next_indices", "published_runs", "shared_samples", "snapshots_back_from"]


def existing_rows(store: ObjectStore) -> tuple[ExistingRows, ...]:
    """Every class that a version ever held, ordered by label; none where nothing is published.

    Rows are those of the newest version, a class's name is that of the newest run that has it, and indices go
    on after all that were ever published: revoked and replaced samples had their noise, too. Raises
    IntegrityError if a record is missing or corrupt.
    """
    latest = latest_snapshot(store)
    if latest is None:
        return ()
    plans = {run.run_id: run.plan for run in published_runs(store, latest.record)}
    rows = _rows_by_label(latest.record, plans)
    next_index = next_indices(plans.values())
    names: dict[int, str] = {}
    for plan in plans.values():
        for target in plan.classes:
            names.setdefault(target.label, target.name)
    return tuple(
        ExistingRows(label=label, name=names[label], rows=rows[label], next_index=next_index[label])
        for label in sorted(names)
    )


def published_runs(store: ObjectStore, newest: Snapshot) -> tuple[RunPlan, ...]:
    """Every run that this version or one before it lists, the last to come first; each once."""
    runs: dict[str, RunPlan] = {}
    for snapshot in snapshots_back_from(store, newest):
        for listed in reversed(snapshot.runs):
            if listed.run_id not in runs:
                runs[listed.run_id] = read_plan(store, listed.run_id).record
    return tuple(runs.values())


def next_indices(plans: Iterable[AugmentPlan]) -> Counter[int]:
    """One past the highest sample index of these plans, by label; 0 for a label that none of them has."""
    ends: Counter[int] = Counter()
    for plan in plans:
        for target in plan.classes:
            ends[target.label] = max(ends[target.label], target.first + target.synthetic)
    return ends


def shared_samples(one: RunPlan, other: RunPlan, without: Collection[int] = ()) -> tuple[int, ...]:
    """Labels, but for those in `without`, of which both runs hold a sample of the same noise and generator."""
    if (one.generator_sha256, one.plan.seed) != (other.generator_sha256, other.plan.seed):
        return ()
    theirs = {target.label: target for target in other.plan.classes if target.label not in without}
    return tuple(
        ours.label
        for ours in one.plan.classes
        if (there := theirs.get(ours.label)) is not None
        and max(ours.first, there.first) < min(ours.first + ours.synthetic, there.first + there.synthetic)
    )


def snapshots_back_from(store: ObjectStore, newest: Snapshot) -> Iterator[Snapshot]:
    """This version and every one before it, down to the first. Raises InputError where one is missing."""
    yield newest
    for version in range(newest.version - 1, 0, -1):
        yield read_snapshot(store, version).record


def _rows_by_label(snapshot: Snapshot, plans: dict[str, AugmentPlan]) -> Counter[int]:
    rows: Counter[int] = Counter()
    for listed in snapshot.runs:
        for target in plans[listed.run_id].classes:
            if target.label not in listed.without:
                rows[target.label] += target.synthetic
    return rows

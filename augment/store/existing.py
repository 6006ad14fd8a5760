"""What a dataset holds already, class by class: where a top-up goes on.

Owns counting rows from plans and versions alone: no manifest and no shard is opened. Only published versions
count, so that a killed top-up computes the same plan again. Knows no targets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator

from augment.objects import ObjectStore
from augment.store.records import latest_snapshot, read_plan, read_snapshot
from augment.types import AugmentPlan, ExistingRows, Snapshot

__all__ = ["existing_rows", "snapshots_back_from"]


def existing_rows(store: ObjectStore) -> tuple[ExistingRows, ...]:
    """Every class that a version ever held, ordered by label; none where nothing is published.

    Rows are those of the newest version, a class's name is that of the newest run that has it, and indices go
    on after all that were ever published: revoked and replaced samples had their noise, too. Raises
    IntegrityError if a record is missing or corrupt.
    """
    latest = latest_snapshot(store)
    if latest is None:
        return ()
    plans: dict[str, AugmentPlan] = {}  # newest run first
    for snapshot in snapshots_back_from(store, latest.record):
        for listed in reversed(snapshot.runs):
            if listed.run_id not in plans:
                plans[listed.run_id] = read_plan(store, listed.run_id).record.plan
    rows = _rows_by_label(latest.record, plans)
    names: dict[int, str] = {}
    next_index: Counter[int] = Counter()
    for plan in plans.values():
        for target in plan.classes:
            names.setdefault(target.label, target.name)
            end = target.first + target.synthetic
            next_index[target.label] = max(next_index[target.label], end)
    return tuple(
        ExistingRows(label=label, name=names[label], rows=rows[label], next_index=next_index[label])
        for label in sorted(names)
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

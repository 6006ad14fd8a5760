"""What a dataset holds already, class by class: where a top-up, and a run that is appended, go on.

Owns counting rows from plans, versions and, of runs with gates, manifests: no shard is opened. Only published
versions count, so that a killed run computes the same plan again. Knows no targets.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator

from augment.objects import ObjectStore
from augment.store.records import latest_snapshot, read_manifest, read_plan, read_snapshot
from augment.types import AugmentPlan, ClassTarget, ExistingRows, Manifest, RunPlan, Snapshot

__all__ = [
    "existing_rows",
    "published_runs",
    "repeats",
    "rows_by_label",
    "shared_samples",
    "snapshots_back_from",
]


def existing_rows(store: ObjectStore) -> tuple[ExistingRows, ...]:
    """Every class that a version ever held, ordered by label; none where nothing is published.

    Rows are those of the newest version, a class's name is that of the newest run that has it, and indices go
    on after all that were ever published: revoked and replaced samples had their noise, too. Raises
    IntegrityError if a record is missing or corrupt.
    """
    latest = latest_snapshot(store)
    if latest is None:
        return ()
    runs = {run.run_id: run for run in published_runs(store, latest.record)}
    rows = _rows_in(store, latest.record, runs)
    next_index = _next_indices(run.plan for run in runs.values())
    names: dict[int, str] = {}
    for run in runs.values():
        for target in run.plan.classes:
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


def _next_indices(plans: Iterable[AugmentPlan]) -> Counter[int]:
    """One past the highest sample index of these plans, by label; 0 for a label that none of them has."""
    ends: Counter[int] = Counter()
    for plan in plans:
        for target in plan.classes:
            ends[target.label] = max(ends[target.label], target.first + target.synthetic)
    return ends


def repeats(ours: RunPlan, our_class: ClassTarget, theirs: RunPlan, their_class: ClassTarget) -> bool:
    """Whether samples of these classes with one index may be the same: of one noise and generator, or of one recipe.

    A recipe makes the same of a class's images whatever else has changed in the source; the one that fills a
    shortfall counts too.
    """
    if ours.plan.seed != theirs.plan.seed:
        return False
    common = set(ours.recipes_of(our_class)) & set(theirs.recipes_of(their_class))
    if "gan" in common and ours.generator_sha256 == theirs.generator_sha256:
        return True
    return bool(common - {"gan", "none"})


def shared_samples(one: RunPlan, other: RunPlan, without: Collection[int] = ()) -> tuple[int, ...]:
    """Labels, but for those in `without`, of which both runs hold a sample that `repeats` the other's."""
    theirs = {target.label: target for target in other.plan.classes if target.label not in without}
    return tuple(
        ours.label
        for ours in one.plan.classes
        if (there := theirs.get(ours.label)) is not None
        and repeats(one, ours, other, there)
        and max(ours.first, there.first) < min(ours.first + ours.synthetic, there.first + there.synthetic)
    )


def rows_by_label(run: RunPlan, manifest: Manifest) -> dict[int, int]:
    """Rows that a manifest of `run` lists, by the label of every class of the plan; 0 for one that was revoked."""
    missing: Counter[int] = Counter()
    for piece in manifest.missing:
        missing[piece.class_index] += piece.count
    return {
        target.label: 0 if target.label in manifest.without else target.synthetic - missing[index]
        for index, target in enumerate(run.plan.classes)
    }


def snapshots_back_from(store: ObjectStore, newest: Snapshot) -> Iterator[Snapshot]:
    """This version and every one before it, down to the first. Raises InputError where one is missing."""
    yield newest
    for version in range(newest.version - 1, 0, -1):
        yield read_snapshot(store, version).record


def _rows_in(store: ObjectStore, snapshot: Snapshot, runs: dict[str, RunPlan]) -> Counter[int]:
    rows: Counter[int] = Counter()
    for listed in snapshot.runs:
        run = runs[listed.run_id]
        if run.gates is not None:  # samples may be missing
            rows.update(rows_by_label(run, read_manifest(store, listed.run_id, listed.without).record))
        else:
            for target in run.plan.classes:
                if target.label not in listed.without:
                    rows[target.label] += target.synthetic
    return rows

"""What happened to a dataset: each version's runs, what it added and dropped and why; two versions compared.

Owns the account that versions give of themselves: whatever is said follows from stored records, and the time is
the store's own. Opens no shard and prints nothing.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterator, Mapping, Sequence
from itertools import islice
from typing import Literal

from augment.errors import ConfigError
from augment.objects import ObjectStore
from augment.store.existing import snapshots_back_from
from augment.store.reading import CommittedRun, read_run, read_version
from augment.store.records import read_plan, run_ids, version_times
from augment.types import ClassInfo, Manifest, Record, Revocation, Snapshot

__all__ = [
    "ClassChange",
    "Comparison",
    "RunChange",
    "RunSummary",
    "VersionEntry",
    "compare_versions",
    "version_log",
]

_Known = dict[tuple[str, str], "RunSummary"]  # by run and digest of its manifest: records never change


class RunSummary(Record):
    """A run as a version holds it, and what it came from."""

    run_id: str
    plan_id: str
    generator_sha256: str | None  # None where no class has the recipe `gan`
    source_fingerprint: str | None
    rows: int
    files: int
    classes: tuple[ClassInfo, ...]  # that it made samples of
    without: tuple[int, ...] = ()  # labels of those that were revoked


class RunChange(Record):
    """What a version did to one run: brought it, dropped it for another, or revoked it or classes of it."""

    what: Literal["added", "replaced", "revoked"]
    run: RunSummary  # as it is where it came, as it was where it left
    rows: int  # that came, or that left
    why: str = ""  # of a revocation
    classes: tuple[str, ...] = ()  # that were revoked; none where the whole run was


class VersionEntry(Record):
    """One version: when the store took it, what it holds, and what it changed."""

    version: int
    modified_s: float  # since 1970, by the store's clock
    rows: int
    files: int
    runs: tuple[RunSummary, ...]
    changes: tuple[RunChange, ...]


class ClassChange(Record):
    """Rows of one class in two versions, and how many came and left between them."""

    label: int
    name: str
    before: int
    added: int
    removed: int

    @property
    def after(self) -> int:
        """Rows in the second version."""
        return self.before + self.added - self.removed


class Comparison(Record):
    """Two versions of a dataset; `first` may be the newer one."""

    first: int
    second: int
    classes: tuple[ClassChange, ...]  # ordered by label; unchanged ones, too
    added: tuple[RunSummary, ...]  # runs that only the second has
    removed: tuple[RunSummary, ...]  # runs that only the first has
    narrowed: tuple[str, ...]  # ids of runs that both have, with other classes revoked


def version_log(store: ObjectStore, version: int | None = None) -> Iterator[VersionEntry]:
    """Every version from the newest (or `version`) back to the first.

    Raises InputError if nothing is committed, or a version is missing; IntegrityError if a record is damaged.
    """
    newest = read_version(store, version).record
    times, known = version_times(store), _Known()
    child = newest
    for parent in islice(snapshots_back_from(store, newest), 1, None):
        yield _entry(store, child, parent, times, known)
        child = parent
    yield _entry(store, child, None, times, known)


def compare_versions(store: ObjectStore, first: int, second: int) -> Comparison:
    """What `second` has that `first` has not, and the other way round, class by class.

    Rows are told apart by their run and class: what is in a run never changes. Raises as `version_log`, and
    ConfigError for versions below 1.
    """
    if min(first, second) < 1:
        raise ConfigError(f"versions start at 1; {min(first, second)} is none")
    before, after = (
        {listed.run_id: read_run(store, listed) for listed in read_version(store, version).record.runs}
        for version in (first, second)
    )
    both = [run_id for run_id in before if run_id in after]
    return Comparison(
        first=first,
        second=second,
        classes=_class_changes(before.values(), after.values()),
        added=tuple(_summary(run) for run_id, run in after.items() if run_id not in before),
        removed=tuple(_summary(run) for run_id, run in before.items() if run_id not in after),
        narrowed=tuple(
            run_id for run_id in both if before[run_id].manifest.without != after[run_id].manifest.without
        ),
    )


def _class_changes(
    before: Collection[CommittedRun], after: Collection[CommittedRun]
) -> tuple[ClassChange, ...]:
    """By label and name: after a `replace` a label may be of another class."""
    had, has = _rows_by_run_and_class(before), _rows_by_run_and_class(after)
    classes = {(target.label, target.name) for run in (*before, *after) for target in run.plan.plan.classes}
    return tuple(
        ClassChange(
            label=label,
            name=name,
            before=_of_class(had, label, name),
            added=_of_class(has - had, label, name),
            removed=_of_class(had - has, label, name),
        )
        for label, name in sorted(classes)
    )


_RunAndClass = tuple[str, int, str]  # run id, label, class name


def _rows_by_run_and_class(runs: Collection[CommittedRun]) -> Counter[_RunAndClass]:
    rows: Counter[_RunAndClass] = Counter()
    for run in runs:
        names = {target.label: target.name for target in run.plan.plan.classes}
        for label, count in run.rows_by_label.items():
            rows[run.plan.run_id, label, names[label]] += count
    return rows


def _of_class(rows: Counter[_RunAndClass], label: int, name: str) -> int:
    return sum(count for (_, *its_class), count in rows.items() if its_class == [label, name])


# ---- one version ------------------------------------------------------------------------------------------


def _entry(
    store: ObjectStore, snapshot: Snapshot, parent: Snapshot | None, times: Mapping[int, float], known: _Known
) -> VersionEntry:
    runs = _summaries(store, snapshot, known)
    before = {} if parent is None else _summaries(store, parent, known)
    return VersionEntry(
        version=snapshot.version,
        modified_s=times[snapshot.version],
        rows=snapshot.rows,
        files=sum(run.files for run in runs.values()),
        runs=tuple(runs.values()),
        changes=(*_changes(snapshot, runs, before), *_revoked_elsewhere(store, snapshot, before)),
    )


def _changes(
    snapshot: Snapshot, runs: Mapping[str, RunSummary], before: Mapping[str, RunSummary]
) -> Iterator[RunChange]:
    """What became of each run of the version before, then what came."""
    revoked = [made for made in snapshot.revoked if made.version == snapshot.version]
    for run_id, had in before.items():
        has = runs.get(run_id)
        if has is not None and has.without == had.without:
            continue
        why = next((made.why for made in revoked if made.concerns(run_id, had.generator_sha256)), None)
        yield RunChange(
            what="replaced" if why is None else "revoked",
            run=had,
            rows=had.rows - (has.rows if has is not None else 0),
            why=why or "",
            classes=_revoked_classes(revoked, had),
        )
    for run_id, has in runs.items():
        if run_id not in before:
            yield RunChange(what="added", run=has, rows=has.rows)


def _revoked_elsewhere(
    store: ObjectStore, snapshot: Snapshot, before: Mapping[str, RunSummary]
) -> Iterator[RunChange]:
    """What this version revoked of runs that the one before it did not list: no rows, so as not to come back."""
    revoked = [made for made in snapshot.revoked if made.version == snapshot.version]
    for run_id in run_ids(store) if revoked else ():
        if run_id in before:
            continue
        plan = read_plan(store, run_id).record
        concerning = [made for made in revoked if made.concerns(run_id, plan.generator_sha256)]
        if concerning:
            run = _summary(CommittedRun(plan, Manifest(run_id=run_id, status="committed", plan_sha256="")))
            classes = _revoked_classes(concerning, run)
            yield RunChange(what="revoked", run=run, rows=0, why=concerning[0].why, classes=classes)


def _revoked_classes(revoked: Sequence[Revocation], run: RunSummary) -> tuple[str, ...]:
    labels = {label for made in revoked if made.run_id == run.run_id for label in made.labels}
    return tuple(info.name for info in run.classes if info.label in labels)


def _summaries(store: ObjectStore, snapshot: Snapshot, known: _Known) -> dict[str, RunSummary]:
    found = {}
    for listed in snapshot.runs:
        name = (listed.run_id, listed.manifest_sha256)
        if name not in known:
            known[name] = _summary(read_run(store, listed))
        found[listed.run_id] = known[name]
    return found


def _summary(run: CommittedRun) -> RunSummary:
    plan = run.plan.plan
    return RunSummary(
        run_id=run.plan.run_id,
        plan_id=plan.plan_id,
        generator_sha256=run.plan.generator_sha256,
        source_fingerprint=run.plan.source_fingerprint,
        rows=sum(shard.rows for shard in run.manifest.shards),
        files=len(run.manifest.shards),
        classes=tuple(
            ClassInfo(label=target.label, name=target.name) for target in plan.classes if target.synthetic
        ),
        without=run.manifest.without,
    )

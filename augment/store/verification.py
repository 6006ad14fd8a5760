"""Is what is stored what was committed? Every difference is found and named; nothing is repaired.

Shallow: the chain of versions, the digests of manifests and plans, each listed shard's presence and size,
and what lies among them without being of this dataset; it reads no shard. Deep: every shard's digest,
schema, rows and identities, and every image decoded. Sample ids need no set in memory to be known as
unique: each shard's must be those its plan implies, and a plan whose labels differ implies no id twice.
"""

from __future__ import annotations

import os
from collections.abc import Iterable, Iterator, Sequence
from concurrent.futures import FIRST_COMPLETED, Future, ThreadPoolExecutor, wait
from dataclasses import dataclass
from itertools import chain

import pyarrow as pa
import pyarrow.parquet as pq

from augment.errors import InputError, IntegrityError
from augment.objects import ObjectStore, StoredObject, open_store
from augment.store.decoding import decode_sample
from augment.store.foreign import SHARDS_PREFIX, foreign_among
from augment.store.reading import CommittedRun, read_run, read_shard, read_version, split_version
from augment.store.records import Stored, manifest_key, plan_key, read_snapshot, snapshot_key
from augment.store.shards import (
    SOURCE_IMAGES,
    held_spec,
    marks_of,
    scalar_columns,
    shard_key,
    shard_schema,
)
from augment.types import RowMarks, RunPlan, ShardReceipt, ShardSpec, Snapshot

__all__ = ["VerifyReport", "verify"]

_THREADS = min(4, os.cpu_count() or 1)  # each holds one shard in memory


@dataclass(frozen=True)
class VerifyReport:
    """What `verify` found; `problems` name the keys at fault, and there are none if `ok`."""

    ok: bool
    version: int
    rows: int
    files: int
    problems: list[str]


def verify(uri: str, version: int | None = None, deep: bool = False) -> VerifyReport:
    """Check one version of a dataset, the newest by default (`uri@3` pins too), and those it descends from.

    Raises InputError if nothing is committed there, ConfigError if there is no such version, and ConfigError
    or RetryLaterError if the store cannot be read. Damage is reported and not raised, but for a corrupt
    snapshot of the version itself (IntegrityError).
    """
    uri, version = split_version(uri, version)
    store = open_store(uri)
    stored = read_version(store, version)
    problems = list(_chain_problems(store, stored))
    runs: list[CommittedRun] = []
    for listed in stored.record.runs:
        try:
            run = read_run(store, listed)
        except IntegrityError as error:
            problems.append(str(error))
            continue
        runs.append(run)
        where = store.uri_of(snapshot_key(stored.record.version))
        if sum(shard.rows for shard in run.manifest.shards) != listed.rows:
            problems.append(f"{where}: run {listed.run_id} has other rows in its manifest")
        problems.extend(f"{where}: {text}" for text in _revocation_problems(stored.record, run))
    for run in runs:
        problems.extend(_manifest_problems(store, run))
    problems.extend(_listing_problems(store, runs))
    if deep:
        problems.extend(_deep_problems(store, runs))
    return VerifyReport(
        ok=not problems,
        version=stored.record.version,
        rows=stored.record.rows,
        files=sum(len(run.manifest.shards) for run in runs),
        problems=problems,
    )


def _chain_problems(store: ObjectStore, newest: Stored[Snapshot]) -> Iterator[str]:
    """Every version down to 1 is there, and is the one that its successor pins."""
    child = newest.record
    while child.version > 1:
        key = store.uri_of(snapshot_key(child.version - 1))
        try:
            parent = read_snapshot(store, child.version - 1)
        except InputError:
            yield f"{key} is missing: versions are not contiguous"
            return
        except IntegrityError as error:
            yield str(error)
            return
        if parent.sha256 != child.parent_sha256:
            yield f"{key} is not what version {child.version} pins as its parent"
        if child.revoked[: len(parent.record.revoked)] != parent.record.revoked:
            yield f"{store.uri_of(snapshot_key(child.version))} forgets what version {parent.record.version} revoked"
        child = parent.record
    if child.parent_sha256 is not None:
        yield f"{store.uri_of(snapshot_key(1))} names a parent, though it is the first version"
    run_ids = [run.run_id for run in newest.record.runs]
    if len(set(run_ids)) != len(run_ids):
        yield f"{store.uri_of(snapshot_key(newest.record.version))} lists a run twice"


def _revocation_problems(snapshot: Snapshot, run: CommittedRun) -> Iterator[str]:
    """A run lacks exactly the classes that were revoked, and one that was revoked whole is not there."""
    run_id = run.plan.run_id
    concerning = [made for made in snapshot.revoked if made.concerns(run_id, run.plan.generator_sha256)]
    if not all(made.labels for made in concerning):
        yield f"run {run_id} is listed, though it was revoked"
    elif {label for made in concerning for label in made.labels} != set(run.manifest.without):
        yield f"run {run_id} is listed without labels {list(run.manifest.without)}, which is not what was revoked"


def _manifest_problems(store: ObjectStore, run: CommittedRun) -> Iterator[str]:
    """The manifest lists exactly the shards that the plan has, but for those that revocations emptied."""
    plan, shards, without = run.plan.plan, run.manifest.shards, run.manifest.without
    where = store.uri_of(manifest_key(run.plan.run_id, without))
    missing = run.manifest.missing
    left = {index: held_spec(plan, index, without, missing).rows for index in range(plan.num_shards)}
    expected = [index for index, rows in left.items() if rows or not without]
    if [shard.index for shard in shards] != expected:
        listed = (
            f"shards 0 to {plan.num_shards - 1}" if not without else f"the {len(expected)} shards with rows"
        )
        yield f"{where} does not list {listed} once each"
        return
    if len({target.label for target in plan.classes}) != len(plan.classes):
        yield f"{store.uri_of(plan_key(run.plan.run_id))} has two classes with one label: sample ids repeat"
    for shard in shards:
        if shard.key != shard_key(run.plan.run_id, shard.index, shard.sha256):
            yield f"{store.uri_of(shard.key)}: the key is not that of shard {shard.index} with its digest"
        if shard.rows != left[shard.index]:
            yield f"{store.uri_of(shard.key)}: listed with {shard.rows} rows, not the plan's"


def _listing_problems(store: ObjectStore, runs: Sequence[CommittedRun]) -> list[str]:
    """Each listed shard lies there with its size, and nothing but shards of this dataset lies beside it."""
    expected = {shard.key: shard.size_bytes for run in runs for shard in run.manifest.shards}
    problems = []

    def others() -> Iterator[StoredObject]:
        for found in store.list(SHARDS_PREFIX):
            size = expected.pop(found.key, None)
            if size is None:
                yield found
            elif size != found.size:
                problems.append(
                    f"{store.uri_of(found.key)} has {found.size} bytes, not the {size} its manifest lists"
                )

    problems += [
        f"{store.uri_of(found.key)} is not a shard of this dataset; readers of the whole folder may fail on it, or "
        "take it in"
        for found in foreign_among(store, others())
    ]
    missing = (f"{store.uri_of(key)} is missing, though its manifest lists it" for key in expected)
    return [*problems, *missing]


def _deep_problems(store: ObjectStore, runs: list[CommittedRun]) -> Iterator[str]:
    """Problems of the shards' contents; at most `_THREADS` shards are in memory."""
    work = chain.from_iterable(((run, shard) for shard in run.manifest.shards) for run in runs)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="verify") as pool:
        pending: set[Future[list[str]]] = set()
        for run, shard in work:
            if len(pending) == _THREADS:
                done, pending = wait(pending, return_when=FIRST_COMPLETED)
                yield from _results(done)
            pending.add(pool.submit(_shard_problems, store, run, shard))
        yield from _results(wait(pending).done)


def _results(done: Iterable[Future[list[str]]]) -> Iterator[str]:
    return chain.from_iterable(future.result() for future in done)


def _shard_problems(store: ObjectStore, committed: CommittedRun, shard: ShardReceipt) -> list[str]:
    """At most one problem of each kind a shard, so that a ruined shard does not fill the report."""
    run, where = committed.plan, store.uri_of(shard.key)
    try:
        data = read_shard(store, shard)
    except IntegrityError as error:
        return [str(error)]
    try:
        table = pq.read_table(pa.BufferReader(data))
    except (pa.ArrowException, OSError) as error:
        return [f"{where} is not readable Parquet: {error}"]
    if not table.schema.equals(shard_schema(run), check_metadata=True):
        return [f"{where} has other columns, types or features than its plan gives"]
    if shard.index >= run.plan.num_shards:
        return []  # named by _manifest_problems
    spec = held_spec(run.plan, shard.index, committed.manifest.without, committed.manifest.missing)
    if table.num_rows != spec.rows:
        return [f"{where} has {table.num_rows} rows, not the plan's {spec.rows}"]
    try:
        marks = marks_of(table)
    except ValueError as error:
        return [f"{where}: {error}"]
    problems = list(_mark_problems(where, run, spec, marks))
    expected = scalar_columns(run, spec, marks)
    differing = [name for name in table.column_names[1:] if table[name].to_pylist() != expected[name]]
    problems += [f"{where}: column {name} is not what the plan implies" for name in differing]
    names = [f"{identity}.{run.image_format}" for identity in expected["sample_id"]]
    flat = table.flatten()
    if flat["image.path"].to_pylist() != names:
        problems.append(f"{where}: column image.path is not what the plan implies")
    for name, image in zip(names, flat["image.bytes"], strict=True):
        try:
            decode_sample(image.as_py() or b"", run.plan.image, name)
        except IntegrityError as error:
            return [*problems, f"{where}: {error}"]
    return problems


def _mark_problems(where: str, run: RunPlan, spec: ShardSpec, marks: Sequence[RowMarks]) -> Iterator[str]:
    """The first row whose recipe its plan does not have, or that names too many or too few real images."""
    classes = [piece.class_index for piece in spec.pieces for _ in range(piece.count)]
    for row, (class_index, each) in enumerate(zip(classes, marks, strict=True)):
        if each.recipe not in run.recipes_of(run.plan.classes[class_index]):
            yield f"{where}: row {row} was made by the recipe {each.recipe}, which its plan does not have"
            return
        if len(each.source_images) != SOURCE_IMAGES[each.recipe]:
            yield f"{where}: row {row}, of the recipe {each.recipe}, names {len(each.source_images)} real images"
            return

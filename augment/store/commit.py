"""The commit protocol: from a run's plan to a dataset version, safe to kill, resume and race anywhere.

    _runs/<run>/plan.json                        what the run makes; written first, never changed
    data/<run>/<index:06d>-<sha256>.parquet      the shards; identical bytes have identical keys
    _runs/<run>/manifest.json                    the run's commit point: committed or aborted
    _snapshots/<version:020d>.json               the dataset's commit point

Owns the order of writes. Rests on one primitive, `ObjectStore.put_if_absent`: whoever finds an object there
reads and adopts it, so a lost acknowledgement, a second driver and a resumed run are one case. Nothing is
overwritten or deleted. A straight run is check_existing, begin_run, put_shard for each of missing_shards,
seal_run, publish; the same calls after any crash finish it. Knows no pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Literal

from augment.errors import ConfigError, IntegrityError, PartialError
from augment.objects import ObjectStore
from augment.store.records import (
    Stored,
    latest_snapshot,
    manifest_key,
    plan_key,
    read_manifest,
    read_plan,
    snapshot_key,
    stored_manifest,
)
from augment.store.shards import parse_shard_key, shard_key, shard_prefix
from augment.types import (
    AugmentPlan,
    Manifest,
    RunPlan,
    ShardReceipt,
    Snapshot,
    SnapshotRun,
    canonical_json,
    sha256_hex,
)

__all__ = [
    "ExistingPolicy",
    "RunProgress",
    "begin_run",
    "check_existing",
    "list_shards",
    "make_run_plan",
    "missing_shards",
    "publish",
    "put_shard",
    "seal_run",
]

ExistingPolicy = Literal["refuse", "append", "replace"]

_SHOWN = 8  # indices or fields named in a message


@dataclass(frozen=True)
class RunProgress:
    """A run that has begun; with a manifest, its shards are committed and only `publish` may be left."""

    plan: RunPlan
    manifest: Manifest | None


def make_run_plan(
    plan: AugmentPlan,
    *,
    generator_sha256: str,
    image_format: Literal["png", "webp"],
    augmentation: dict[str, Any] | None,
    versions: Mapping[str, str],
) -> RunPlan:
    """The plan of one run; its id is a hash of everything given but `versions`.

    So the same job after a library upgrade is a named difference from the run already there, not silently
    a second run. Raises ConfigError if the seed does not fit the `seed` column (int64).
    """
    if not -(2**63) <= plan.seed < 2**63:
        raise ConfigError(f"seed {plan.seed} does not fit 64 bits; choose one in 0 … 2^63 - 1")
    # albumentations puts its own version into a pipeline's dict form; that, too, is a version
    transforms = {key: value for key, value in (augmentation or {}).items() if key != "__version__"}
    identity = {
        "plan": plan.model_dump(mode="json"),
        "generator_sha256": generator_sha256,
        "image_format": image_format,
        "augmentation": transforms,
    }
    return RunPlan(
        run_id=sha256_hex(canonical_json(identity))[:16],
        plan=plan,
        generator_sha256=generator_sha256,
        image_format=image_format,
        augmentation=augmentation,
        versions=dict(versions),
    )


def check_existing(
    store: ObjectStore, run_id: str | None, policy: ExistingPolicy, plan: AugmentPlan | None = None
) -> None:
    """Refuse early what `publish` would refuse after hours of work; with `plan`, also an append that disagrees.

    `run_id` is None while it is not known yet. Raises ConfigError, naming the runs that are there, if the
    policy is 'refuse' and the latest version holds other runs.
    """
    latest = latest_snapshot(store)
    if latest is not None:
        _check_policy(store, latest.record, run_id, policy)
        if policy == "append" and plan is not None:
            _check_agreement(store, latest.record, plan)


def begin_run(store: ObjectStore, run: RunPlan) -> RunProgress:
    """Write the run's plan, or join the run if the same plan is there.

    Raises ConfigError, naming the fields, if another plan has this run's id, or if the run was aborted;
    IntegrityError if what is stored is corrupt.
    """
    stored = stored_manifest(store, run.run_id)
    if stored is not None:  # finished: which libraries are installed now no longer matters
        return RunProgress(plan=run, manifest=_committed(store, stored.record))
    if not store.put_if_absent(plan_key(run.run_id), run.to_json()):
        _check_same_plan(store, read_plan(store, run.run_id).record, run)
    return RunProgress(plan=run, manifest=None)


def list_shards(store: ObjectStore, run: RunPlan) -> dict[int, ShardReceipt]:
    """What lies in the store of a run, by index: key and size carry everything, so nothing is opened.

    Where two workers made different bytes of one shard (a GPU need not repeat itself bit for bit), the
    smallest digest stands, so that every driver chooses alike. Raises IntegrityError for a shard that the
    plan does not have.
    """
    found: dict[int, ShardReceipt] = {}
    for stored in store.list(shard_prefix(run.run_id)):
        parsed = parse_shard_key(stored.key)
        if parsed is None:
            continue  # not ours; no reader follows it, and verify names it
        if parsed.index >= run.plan.num_shards:
            raise IntegrityError(
                f"{store.uri_of(stored.key)} is a shard that run {run.run_id} does not have: "
                f"its plan ends with shard {run.plan.num_shards - 1}"
            )
        if parsed.index in found and found[parsed.index].sha256 <= parsed.sha256:
            continue
        found[parsed.index] = ShardReceipt(
            index=parsed.index,
            key=stored.key,
            rows=run.plan.shard(parsed.index).rows,
            size_bytes=stored.size,
            sha256=parsed.sha256,
        )
    return found


def missing_shards(store: ObjectStore, run: RunPlan) -> list[int]:
    """Indices of the shards still to make, ascending. Raises as `list_shards`."""
    found = list_shards(store, run)
    return [index for index in range(run.plan.num_shards) if index not in found]


def put_shard(store: ObjectStore, run_id: str, index: int, rows: int, data: bytes) -> ShardReceipt:
    """Store one shard; finding it there already is success, since its key holds its digest."""
    sha256 = sha256_hex(data)
    key = shard_key(run_id, index, sha256)
    store.put_if_absent(key, data)
    return ShardReceipt(index=index, key=key, rows=rows, size_bytes=len(data), sha256=sha256)


def seal_run(store: ObjectStore, run: RunPlan) -> Manifest:
    """Commit the run: write its manifest, or adopt the one that is there.

    Raises PartialError, with the missing shards, unless all of them lie in the store; ConfigError if the
    run was aborted meanwhile.
    """
    found = list_shards(store, run)
    missing = [index for index in range(run.plan.num_shards) if index not in found]
    if missing:
        raise PartialError(
            f"run {run.run_id} at {store.uri}: {len(missing)} of {run.plan.num_shards} shards are missing "
            f"({_some(missing)}); run the same command again to make them"
        )
    manifest = Manifest(
        run_id=run.run_id,
        status="committed",
        plan_sha256=sha256_hex(run.to_json()),
        shards=tuple(found[index] for index in range(run.plan.num_shards)),
    )
    if store.put_if_absent(manifest_key(run.run_id), manifest.to_json()):
        return manifest
    return _committed(store, read_manifest(store, run.run_id).record)


def publish(store: ObjectStore, manifest: Manifest, policy: ExistingPolicy) -> Snapshot:
    """Make a sealed run part of the dataset: the snapshot that holds it, new or already there.

    `append` keeps the runs of the version before, `replace` drops them (older versions stay readable) and
    `refuse` raises ConfigError if there are any. Of drivers that race, each finds the others' versions.
    """
    stored = read_manifest(store, manifest.run_id)
    run = SnapshotRun(
        run_id=manifest.run_id,
        manifest_sha256=stored.sha256,
        rows=sum(shard.rows for shard in _committed(store, stored.record).shards),
    )
    while True:
        latest = latest_snapshot(store)
        if latest is not None and any(listed.run_id == run.run_id for listed in latest.record.runs):
            return latest.record
        snapshot = _next_snapshot(store, latest, run, policy)
        if store.put_if_absent(snapshot_key(snapshot.version), snapshot.to_json()):
            return snapshot


def _next_snapshot(
    store: ObjectStore, latest: Stored[Snapshot] | None, run: SnapshotRun, policy: ExistingPolicy
) -> Snapshot:
    if latest is None:
        return Snapshot(version=1, parent_sha256=None, runs=(run,))
    _check_policy(store, latest.record, run.run_id, policy)
    if policy == "append":
        _check_agreement(store, latest.record, read_plan(store, run.run_id).record.plan)
    kept = latest.record.runs if policy == "append" else ()
    return Snapshot(version=latest.record.version + 1, parent_sha256=latest.sha256, runs=(*kept, run))


def _check_policy(store: ObjectStore, latest: Snapshot, run_id: str | None, policy: ExistingPolicy) -> None:
    present = [run.run_id for run in latest.runs]
    if policy == "refuse" and present and run_id not in present:
        raise ConfigError(
            f"{store.uri} already holds version {latest.version} with other runs ({_some(present)}); set "
            "output.on_existing to 'append' (a version with both) or 'replace' (a version with the new run "
            "only), or choose another output.uri"
        )


def _check_agreement(store: ObjectStore, latest: Snapshot, plan: AugmentPlan) -> None:
    """Rows of one version must mean the same: a label one class, an image one shape."""
    names = {target.label: target.name for target in plan.classes}
    for listed in latest.runs:
        there = read_plan(store, listed.run_id).record.plan
        for target in there.classes:
            if names.get(target.label, target.name) != target.name:
                raise ConfigError(
                    f"{store.uri} holds run {listed.run_id}, in which label {target.label} is {target.name!r}, and "
                    f"here it is {names[target.label]!r}; set output.on_existing=replace or choose another output.uri"
                )
        if there.image != plan.image:
            raise ConfigError(
                f"{store.uri} holds run {listed.run_id} with images of {there.image.size} px and "
                f"{there.image.channels} channel(s), and here they are {plan.image.size} px and "
                f"{plan.image.channels}; set output.on_existing=replace or choose another output.uri"
            )


def _committed(store: ObjectStore, manifest: Manifest) -> Manifest:
    if manifest.status == "aborted":
        raise ConfigError(
            f"run {manifest.run_id} at {store.uri} was aborted and its shards may be gone; "
            "change the seed to make a new run"
        )
    return manifest


def _check_same_plan(store: ObjectStore, stored: RunPlan, ours: RunPlan) -> None:
    differing = list(_differences(stored.model_dump(mode="json"), ours.model_dump(mode="json")))
    if differing:
        raise ConfigError(
            f"run {ours.run_id} at {store.uri} was begun with another plan: {_some(differing, '; ')}. Run it "
            "with what it was begun with, or change the seed or output.uri to make a new run"
        )


def _differences(stored: Any, ours: Any, path: str = "") -> Iterator[str]:
    """The leaves in which two JSON values differ, as 'path: is …, would be …'."""
    if isinstance(stored, dict) and isinstance(ours, dict):
        for key in sorted(stored.keys() | ours.keys()):
            yield from _differences(stored.get(key), ours.get(key), f"{path}.{key}" if path else key)
    elif isinstance(stored, list) and isinstance(ours, list) and len(stored) == len(ours):
        for index, (one, other) in enumerate(zip(stored, ours, strict=True)):
            yield from _differences(one, other, f"{path}[{index}]")
    elif stored != ours:
        yield f"{path} is {stored!r} there and {ours!r} here"


def _some(items: list[Any], separator: str = ", ") -> str:
    """The first few items, and that there are more."""
    return separator.join(str(item) for item in items[:_SHOWN]) + (
        separator + "…" if len(items) > _SHOWN else ""
    )

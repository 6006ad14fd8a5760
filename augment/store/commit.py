"""The commit protocol: from a run's plan to a dataset version, safe to kill, resume and race anywhere.

    _runs/<run>/plan.json                        what the run makes; written first, never changed
    _ledgers/<run>/<index:06d>-<sha256>.json     of a run with gates, put before the shard: what passed
    data/<run>/<index:06d>-<sha256>.parquet      the shards; identical bytes have identical keys
    _runs/<run>/manifest.json                    the run's commit point: committed or aborted
    _snapshots/<version:020d>.json               the dataset's commit point

Owns the order of writes. Rests on one primitive, `ObjectStore.put_if_absent`: whoever finds an object there
reads and adopts it, so a lost acknowledgement, a second driver and a resumed run are one case. Nothing is
overwritten or deleted. A straight run is run_for (identity.py: which run the job is), check_existing, begin_run,
put_shard for each of missing_shards, seal_run, publish; the same calls after any crash finish it. A run that
was planned for a dataset that has changed meanwhile, or that a collector aborted, is never published: its driver
hears RetryLaterError, and the same calls make another run. Knows no pixels.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Literal

from augment.errors import ConfigError, IntegrityError, PartialError, RetryLaterError
from augment.objects import ObjectStore
from augment.store.existing import existing_rows, shared_samples
from augment.store.ledgers import read_ledgers, summed_ledgers
from augment.store.records import (
    MAX_JSON_BYTES,
    Stored,
    latest_snapshot,
    manifest_key,
    plan_key,
    read_manifest,
    read_plan,
    snapshot_key,
    stored_manifest,
)
from augment.store.shards import held_spec, parse_shard_key, shard_key, shard_prefix
from augment.types import (
    AugmentPlan,
    ClassLedger,
    GatesPin,
    Manifest,
    RecipeSpecs,
    Revocation,
    RunPlan,
    ShardPiece,
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
    "run_id_of",
    "seal_run",
    "shard_receipt",
]

ExistingPolicy = Literal["refuse", "append", "replace", "top-up"]

_KEEPING = ("append", "top-up")  # policies that keep the runs of the version before
_SHOWN = 8  # indices or fields named in a message


@dataclass(frozen=True)
class RunProgress:
    """A run that has begun; with a manifest, its shards are committed and only `publish` may be left."""

    plan: RunPlan
    manifest: Manifest | None


def make_run_plan(
    plan: AugmentPlan,
    *,
    generator_sha256: str | None,
    image_format: Literal["png", "webp"],
    augmentation: dict[str, Any] | None,
    versions: Mapping[str, str],
    recipes: RecipeSpecs | None = None,
    gates: GatesPin | None = None,
    source_fingerprint: str | None = None,
    source_sha256: str | None = None,
) -> RunPlan:
    """The plan of one run, as its first attempt; its id is a hash of everything given but `versions`.

    A run is its plan, its generator and the source that the plan counts: where the source has changed, even to
    the same counts, the run is another, and a killed one is not in its way. The same job after a library
    upgrade, however, is a named difference from the run already there, not silently a second run. Raises ConfigError if the seed does not fit the `seed` column (int64).
    """
    if not -(2**63) <= plan.seed < 2**63:
        raise ConfigError(f"seed {plan.seed} does not fit 64 bits; choose one in 0 … 2^63 - 1")
    run = RunPlan(
        run_id="",
        plan=plan,
        generator_sha256=generator_sha256,
        image_format=image_format,
        augmentation=augmentation,
        recipes=recipes or RecipeSpecs(),
        gates=gates,
        source_fingerprint=source_fingerprint,
        source_sha256=source_sha256,
        versions=dict(versions),
    )
    return run.model_copy(update={"run_id": run_id_of(run)})


def run_id_of(run: RunPlan) -> str:
    """16 hex digits: a hash of all that decides the run's rows, of its attempt, and of no library's version."""
    identity = {
        "plan": run.plan.model_dump(mode="json"),
        "generator_sha256": run.generator_sha256,
        "image_format": run.image_format,
        "augmentation": _transforms(run.augmentation),
        "source_fingerprint": run.source_fingerprint,
        "source_sha256": run.source_sha256,
        "recipes": {"classic": _transforms(run.recipes.classic), "smote": run.recipes.smote},
        "gates": run.gates.model_dump(mode="json") if run.gates is not None else None,
    }
    attempt = {"attempt": run.attempt} if run.attempt else {}
    return sha256_hex(canonical_json(identity | attempt))[:16]


def _transforms(pipeline: dict[str, Any] | None) -> dict[str, Any]:
    """albumentations puts its own version into a pipeline's dict form; that, too, is a library's version."""
    return {key: value for key, value in (pipeline or {}).items() if key != "__version__"}


def check_existing(
    store: ObjectStore,
    run_id: str | None,
    policy: ExistingPolicy,
    plan: AugmentPlan | None = None,
    generator_sha256: str | None = None,
) -> None:
    """Refuse early what `publish` would refuse after hours of work; with `plan`, also an append that disagrees.

    `run_id` and `generator_sha256` are None while they are not known yet. Raises ConfigError if the run or its
    generator is revoked, or, naming the runs that are there, if the policy is 'refuse' and the latest version
    holds other runs.
    """
    latest = latest_snapshot(store)
    if latest is not None:
        _check_not_revoked(store, latest.record, run_id, generator_sha256)
        _check_policy(store, latest.record, run_id, policy)
        if policy in _KEEPING and plan is not None:
            _check_agreement(store, latest.record, plan)


def begin_run(store: ObjectStore, run: RunPlan) -> RunProgress:
    """Write the run's plan, or join the run if the same plan is there.

    Raises ConfigError, naming the fields, if another plan has this run's id; RetryLaterError if the run was
    aborted; IntegrityError if what is stored is corrupt.
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
            rows=run.plan.rows_of(parsed.index),
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
    receipt = shard_receipt(run_id, index, rows, data)
    store.put_if_absent(receipt.key, data)
    return receipt


def shard_receipt(run_id: str, index: int, rows: int, data: bytes) -> ShardReceipt:
    """What a manifest says of a shard with these bytes, whether it is stored yet or not."""
    sha256 = sha256_hex(data)
    key = shard_key(run_id, index, sha256)
    return ShardReceipt(index=index, key=key, rows=rows, size_bytes=len(data), sha256=sha256)


def seal_run(store: ObjectStore, run: RunPlan, policy: ExistingPolicy | None = None) -> Manifest:
    """Commit the run: write its manifest, or adopt the one that is there.

    With `policy`, what `publish` would refuse by now is refused before: an unsealed run can still be collected.
    Raises PartialError, with the missing shards, unless all of them lie in the store; RetryLaterError if the
    run was aborted meanwhile; with a policy, as `publish`.
    """
    found = list_shards(store, run)
    lacking = [index for index in range(run.plan.num_shards) if index not in found]
    if lacking:
        if (sealed := stored_manifest(store, run.run_id)) is not None:  # `augment gc` may have aborted it
            return _committed(store, sealed.record)
        raise PartialError(
            f"run {run.run_id} at {store.uri}: {len(lacking)} of {run.plan.num_shards} shards are missing "
            f"({_some(lacking)}); run the same command again to make them"
        )
    if policy is not None:
        _check_publishable(store, latest_snapshot(store), run, policy)
    shards = [found[index] for index in range(run.plan.num_shards)]
    ledger, missing = _passed(store, run, shards)
    manifest = Manifest(
        run_id=run.run_id,
        status="committed",
        plan_sha256=sha256_hex(run.to_json()),
        shards=tuple(_as_held(run, shard, missing) for shard in shards),
        ledger=ledger,
        missing=missing,
    )
    data = manifest.to_json()
    if len(data) > MAX_JSON_BYTES:  # sealed, it could neither be read nor published
        size = f"{len(data):,} bytes, above {MAX_JSON_BYTES:,}"
        raise ConfigError(f"the manifest of run {run.run_id} would have {size}; raise output.shard_rows")
    if store.put_if_absent(manifest_key(run.run_id), data):
        return manifest
    return _committed(store, read_manifest(store, run.run_id).record)


def _passed(
    store: ObjectStore, run: RunPlan, shards: Sequence[ShardReceipt]
) -> tuple[tuple[ClassLedger, ...], tuple[ShardPiece, ...]]:
    """What the gates let pass, by class, and the samples that are missing; nothing of a run without gates."""
    if run.gates is None:
        return (), ()
    return summed_ledgers(run, read_ledgers(store, run.run_id, shards))


def _as_held(run: RunPlan, shard: ShardReceipt, missing: Sequence[ShardPiece]) -> ShardReceipt:
    if not missing:
        return shard
    return replace(shard, rows=held_spec(run.plan, shard.index, (), missing).rows)


def publish(store: ObjectStore, manifest: Manifest, policy: ExistingPolicy) -> Snapshot:
    """Make a sealed run part of the dataset: the snapshot that holds it, new or already there.

    `append` keeps the runs of the version before, `replace` drops them (older versions stay readable) and
    `refuse` raises ConfigError if there are any. `top-up` keeps them as well, and raises RetryLaterError if they
    are no longer what the run was planned for; both it and `append` do where they hold a sample that the run
    would repeat. Of drivers that race, each finds the others' versions.

    Raises ConfigError if the run, classes of it or its generator were revoked, by whichever version.
    """
    stored = read_manifest(store, manifest.run_id)
    run = SnapshotRun(
        run_id=manifest.run_id,
        manifest_sha256=stored.sha256,
        rows=sum(shard.rows for shard in _committed(store, stored.record).shards),
    )
    plan = read_plan(store, run.run_id).record
    while True:
        latest = latest_snapshot(store)
        _check_publishable(store, latest, plan, policy)
        if latest is not None and _lists(latest.record, run.run_id):
            return latest.record
        snapshot = _next_snapshot(latest, run, policy)
        if store.put_if_absent(snapshot_key(snapshot.version), snapshot.to_json()):
            return snapshot


def _next_snapshot(latest: Stored[Snapshot] | None, run: SnapshotRun, policy: ExistingPolicy) -> Snapshot:
    if latest is None:
        return Snapshot(version=1, parent_sha256=None, runs=(run,))
    kept = latest.record.runs if policy in _KEEPING else ()
    return Snapshot(
        version=latest.record.version + 1,
        parent_sha256=latest.sha256,
        runs=(*kept, run),
        revoked=latest.record.revoked,
    )


def _check_publishable(
    store: ObjectStore, latest: Stored[Snapshot] | None, run: RunPlan, policy: ExistingPolicy
) -> None:
    """Whether the version after `latest` may be the one that adds the run, if `latest` does not list it yet."""
    if latest is not None:
        _check_not_revoked(store, latest.record, run.run_id, run.generator_sha256)
        if _lists(latest.record, run.run_id):
            return
        _check_policy(store, latest.record, run.run_id, policy)
    if policy == "top-up":
        _check_still_missing(store, run.plan)
    if latest is not None and policy in _KEEPING:
        _check_agreement(store, latest.record, run.plan)
        _check_disjoint(store, latest.record, run)


def _lists(snapshot: Snapshot, run_id: str) -> bool:
    return any(listed.run_id == run_id for listed in snapshot.runs)


def _check_policy(store: ObjectStore, latest: Snapshot, run_id: str | None, policy: ExistingPolicy) -> None:
    present = [run.run_id for run in latest.runs]
    if policy == "refuse" and present and run_id not in present:
        raise ConfigError(
            f"{store.uri} already holds version {latest.version} with other runs ({_some(present)}); set "
            "output.on_existing to 'top-up' (makes only what is missing, where the source has grown or the "
            "targets have), 'append' (a version with both) or 'replace' (a version with the new run only), or "
            "choose another output.uri"
        )


def _check_not_revoked(
    store: ObjectStore, latest: Snapshot, run_id: str | None, generator_sha256: str | None
) -> None:
    """What was revoked once does not come back, not even after a `replace` that dropped it."""
    for revocation in latest.revoked:
        if revocation.concerns(run_id, generator_sha256):
            other = (
                "" if revocation.run_id is None else "output.on_existing=top-up for other samples of it, or "
            )
            raise ConfigError(
                f"{store.uri}: {_what(revocation)} was revoked by version {revocation.version} "
                f"({revocation.why}), and does not come back; set {other}a new `name` for another model"
            )


def _what(revocation: Revocation) -> str:
    if revocation.generator_sha256 is not None:
        return f"the model {revocation.generator_sha256[:12]}"
    if revocation.labels:
        return f"label {_some(list(revocation.labels))} of run {revocation.run_id}"
    return f"run {revocation.run_id}"


def _check_still_missing(store: ObjectStore, plan: AugmentPlan) -> None:
    """A top-up was planned for what the dataset held then; meanwhile another driver may have published."""
    there = {held.label: held for held in existing_rows(store)}
    for target in plan.classes:
        held = there.get(target.label)
        rows, next_index = (held.rows, held.next_index) if held is not None else (0, 0)
        if (target.existing, target.first) != (rows, next_index):
            raise RetryLaterError(
                f"{store.uri} has changed since this top-up was planned: class {target.name!r} held "
                f"{target.existing} synthetic rows then and holds {rows} now; run the same command again to "
                "plan anew from what is there"
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


def _check_disjoint(store: ObjectStore, latest: Snapshot, run: RunPlan) -> None:
    """No sample twice: `run_for` gave the run indices of its own, but another driver may have published since."""
    for listed in latest.runs:
        shared = shared_samples(run, read_plan(store, listed.run_id).record, listed.without)
        if shared:
            raise RetryLaterError(
                f"{store.uri} holds run {listed.run_id}, published since this run began: of label "
                f"{_some(list(shared))} both have samples of the same generator, seed and index, which are the same "
                "pictures; run the same command again to make others"
            )


def _committed(store: ObjectStore, manifest: Manifest) -> Manifest:
    if manifest.status == "aborted":
        raise RetryLaterError(
            f"run {manifest.run_id} at {store.uri} was aborted by `augment gc` and its shards may be gone; "
            "run the same command again: it makes them anew, as another run"
        )
    return manifest


def _check_same_plan(store: ObjectStore, stored: RunPlan, ours: RunPlan) -> None:
    differing = list(_differences(stored.model_dump(mode="json"), ours.model_dump(mode="json")))
    if differing:
        raise ConfigError(
            f"run {ours.run_id} at {store.uri} was begun with another plan: {_some(differing, '; ')}. Run it "
            "with what it was begun with; or set another `name` or output.uri to make a new run; or abort this one "
            "(`augment gc` with --grace 0s --delete while nobody is at work) and run the same command again"
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

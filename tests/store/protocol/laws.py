"""What must hold after every schedule, whatever was killed, failed, lost or late.

Written anew from the protocol's description, without its functions, but for the records' classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TypeVar

from augment.types import Manifest, Record, Revocation, RunPlan, Snapshot, SnapshotRun, sha256_hex
from tests.store.protocol.actors import lacking
from tests.store.protocol.world import World

__all__ = ["Job", "Policies", "broken_laws", "job_of", "plan_of", "stored", "versions"]

R = TypeVar("R", bound=Record)

Job = tuple[
    int, int
]  # seed and rows a shard: what is one job in these schedules, whatever its attempts and indices
Policies = Mapping[Job, str]


def job_of(run: RunPlan) -> Job:
    """What the run is an attempt at."""
    return run.plan.seed, run.plan.shard_rows


@lru_cache(maxsize=4096)
def _parsed(kind: type[R], data: bytes) -> R:
    return kind.model_validate_json(data)


def stored(world: World, kind: type[R], key: str) -> R | None:
    """A record as it lies there."""
    found = world.objects.get(key)
    return _parsed(kind, found[0]) if found else None


def plan_of(world: World, run_id: str) -> RunPlan:
    """The plan of a run that was begun."""
    plan = stored(world, RunPlan, f"_runs/{run_id}/plan.json")
    assert plan is not None
    return plan


def versions(world: World) -> list[Snapshot]:
    """All versions, by key."""
    return [
        _parsed(Snapshot, world.objects[key][0])
        for key in sorted(world.objects)
        if key.startswith("_snapshots/")
    ]


def broken_laws(world: World, policies: Policies) -> Iterator[str]:
    """Every law that does not hold, in words; `policies` says how each job's runs are published."""
    for key in world.changed:
        yield f"{key} changed its bytes"
    history = versions(world)
    yield from _history_laws(world, history, policies)
    revoked = history[-1].revoked if history else ()
    live: set[str] = set()
    for key in sorted(world.objects):
        if key.startswith("_runs/") and not key.endswith("plan.json"):
            manifest = _parsed(Manifest, world.objects[key][0])
            plan = plan_of(world, manifest.run_id)
            yield from _manifest_laws(world, manifest, plan)
            if not _is_revoked(manifest, plan, revoked):
                live.update(shard.key for shard in manifest.shards)
                if not manifest.without:  # what narrows it may still be on its way to its shards
                    yield from _missing(world, manifest)
    for key in sorted(world.deleted & live - world.objects.keys()):
        yield f"{key} was deleted, though a manifest that is not revoked names it"


def _history_laws(world: World, history: list[Snapshot], policies: Policies) -> Iterator[str]:
    before: Snapshot | None = None
    for number, snapshot in enumerate(history, start=1):
        if snapshot.version != number:
            yield f"version {snapshot.version} stands where {number} should"
            return
        pinned = sha256_hex(world.objects[_snapshot_key(number - 1)][0]) if before else None
        if snapshot.parent_sha256 != pinned:
            yield f"version {number} does not pin the one before it"
        run_ids = [listed.run_id for listed in snapshot.runs]
        if len(set(run_ids)) != len(run_ids):
            yield f"version {number} lists a run twice"
        if not _follows(world, before, snapshot, policies):
            yield f"version {number} does not follow from the one before it"
        yield from _row_laws(world, snapshot)
        for listed in snapshot.runs:
            yield from _listed_laws(world, snapshot, listed, history[-1].revoked)
        before = snapshot


def _listed_laws(
    world: World, snapshot: Snapshot, listed: SnapshotRun, revoked: tuple[Revocation, ...]
) -> Iterator[str]:
    """What a version lists is a committed manifest, and all of it is there."""
    found = [
        data
        for key, (data, _) in world.objects.items()
        if key.startswith(f"_runs/{listed.run_id}/") and sha256_hex(data) == listed.manifest_sha256
    ]
    if not found:
        yield f"version {snapshot.version} pins a manifest of run {listed.run_id} that is not there"
        return
    manifest = _parsed(Manifest, found[0])
    if manifest.status != "committed" or manifest.without != listed.without:
        yield f"version {snapshot.version} lists run {listed.run_id} by a manifest that is not its"
    if sum(shard.rows for shard in manifest.shards) != listed.rows:
        yield f"version {snapshot.version} counts other rows than the manifest of run {listed.run_id}"
    plan = plan_of(world, manifest.run_id)
    if _is_revoked(manifest, plan, snapshot.revoked):
        yield f"version {snapshot.version} lists rows of run {listed.run_id} that are revoked"
    if not _is_revoked(manifest, plan, revoked):
        yield from _missing(world, manifest)


def _row_laws(world: World, snapshot: Snapshot) -> Iterator[str]:
    """In one version a label is one class, and no sample is there twice: it would be the same picture."""
    samples: set[tuple[str, int, int, int]] = set()
    names: dict[int, str] = {}
    for listed in snapshot.runs:
        run = plan_of(world, listed.run_id)
        for target in run.plan.classes:
            if names.setdefault(target.label, target.name) != target.name:
                yield f"version {snapshot.version} has two classes of label {target.label}"
        for label, index in _rows(run):
            if label not in listed.without:
                sample = (run.generator_sha256, run.plan.seed, label, index)
                if sample in samples:
                    yield f"version {snapshot.version} holds sample {index} of label {label} twice"
                samples.add(sample)


def _rows(run: RunPlan) -> list[tuple[int, int]]:
    """(label, index) of every row of a run, in order."""
    return [
        (target.label, target.first + offset)
        for target in run.plan.classes
        for offset in range(target.target - target.real - target.existing)
    ]


def _follows(world: World, before: Snapshot | None, after: Snapshot, policies: Policies) -> bool:
    """Each version comes from the one before it by one publication or one revocation."""
    old = before.runs if before else ()
    old_revoked = before.revoked if before else ()
    if after.revoked != old_revoked:
        new = after.revoked[len(old_revoked) :]
        return after.revoked[: len(old_revoked)] == old_revoked and _narrows(world, old, after.runs, new)
    if not after.runs:
        return False
    *kept, added = after.runs
    run = plan_of(world, added.run_id)
    policy = policies[job_of(run)]
    if policy == "replace":
        return not kept
    if policy == "top-up" and not _tops_up(world, old, run):
        return False
    return tuple(kept) == old and (policy in ("append", "top-up") or not old)


def _tops_up(world: World, old: tuple[SnapshotRun, ...], run: RunPlan) -> bool:
    """Whether the run was planned for exactly the rows that the version before holds."""
    held = [
        label
        for listed in old
        for plan in [plan_of(world, listed.run_id)]
        for label, index in _rows(plan)
        if label not in listed.without and (label, index) not in _lost(world, plan)
    ]
    return all(held.count(target.label) == target.existing for target in run.plan.classes)


def _narrows(
    world: World, old: tuple[SnapshotRun, ...], new: tuple[SnapshotRun, ...], by: tuple[Revocation, ...]
) -> bool:
    left = {listed.run_id: listed for listed in new}
    for listed in old:
        generator = plan_of(world, listed.run_id).generator_sha256
        concerning = [
            each for each in by if listed.run_id == each.run_id or generator == each.generator_sha256
        ]
        labels = {label for each in concerning for label in each.labels}
        after = left.pop(listed.run_id, None)
        if not concerning and after != listed:
            return False
        if any(not each.labels for each in concerning) and after is not None:
            return False
        if labels and after is not None and set(after.without) != labels | set(listed.without):
            return False
    return not left


def _manifest_laws(world: World, manifest: Manifest, plan: RunPlan) -> Iterator[str]:
    """A manifest names the plan that is there, and shards that were made under it, each index once."""
    plan_sha256 = sha256_hex(world.objects[f"_runs/{manifest.run_id}/plan.json"][0])
    if manifest.plan_sha256 != plan_sha256:
        yield f"the manifest of run {manifest.run_id} pins another plan than lies there"
    indices = [shard.index for shard in manifest.shards]
    whole = list(range(plan.plan.num_shards))
    if manifest.status == "committed" and not manifest.without and indices != whole:
        yield f"the manifest of run {manifest.run_id} lists shards {indices}, not {whole}"
    if manifest.status == "committed":
        lost = _lost(world, plan)
        left = [
            each for each in _shards_left(plan, manifest.without, lost) if each[1] or not manifest.without
        ]
        if [(shard.index, shard.rows) for shard in manifest.shards] != left:
            yield f"the manifest of run {manifest.run_id} without {manifest.without} does not list what is left"
        named = {
            (plan.plan.classes[gap.class_index].label, gap.first + n)
            for gap in manifest.missing
            for n in range(gap.count)
        }
        if named != {each for each in lost if each[0] not in manifest.without}:
            yield f"the manifest of run {manifest.run_id} names other samples as missing than its shards lack"
        if sum(one.missing for one in manifest.ledger) != len(named):
            yield f"the ledger of run {manifest.run_id} does not add up to what is missing"
    for shard in manifest.shards:
        found = world.objects.get(shard.key)
        if found and not found[0].startswith(plan_sha256.encode()):
            yield f"{shard.key} was made under another plan than its run's"


def _lost(world: World, run: RunPlan) -> set[tuple[int, int]]:
    """(label, index) of the samples that the makers of a committed run's shards had no candidate for."""
    data, _ = world.objects[f"_runs/{run.run_id}/manifest.json"]
    return {
        (run.plan.classes[class_index].label, sample)
        for shard in _parsed(Manifest, data).shards
        for class_index, sample in lacking(run, shard.index, _maker(world.first_bytes.get(shard.key, b"")))
    }


def _maker(shard: bytes) -> str:
    return shard.decode().partition(" by ")[2]


def _shards_left(run: RunPlan, without: tuple[int, ...], lost: set[tuple[int, int]]) -> list[tuple[int, int]]:
    """Index and rows of every shard, but for the rows with these labels and those that were lost."""
    rows, step = _rows(run), run.plan.shard_rows
    return [
        (index, sum(row[0] not in without and row not in lost for row in rows[start : start + step]))
        for index, start in enumerate(range(0, len(rows), step))
    ]


def _missing(world: World, manifest: Manifest) -> Iterator[str]:
    for shard in manifest.shards:
        found = world.objects.get(shard.key)
        if found is None:
            yield f"{shard.key} is not there, though it is committed"
        elif sha256_hex(found[0]) != shard.sha256:
            yield f"{shard.key} has other bytes than were committed"


def _is_revoked(manifest: Manifest, plan: RunPlan, revoked: tuple[Revocation, ...]) -> bool:
    for each in revoked:
        meant = each.run_id == manifest.run_id or each.generator_sha256 == plan.generator_sha256
        if meant and not (each.labels and set(each.labels) <= set(manifest.without)):
            return True
    return False


def _snapshot_key(version: int) -> str:
    return f"_snapshots/{version:020d}.json"

"""What must hold after every schedule, whatever was killed, failed, lost or late.

Written anew from the protocol's description, without its functions, but for the records' classes.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import TypeVar

from augment.types import Manifest, Record, Revocation, RunPlan, Snapshot, SnapshotRun, sha256_hex
from tests.store.protocol.world import World

__all__ = ["broken_laws", "stored", "versions"]

R = TypeVar("R", bound=Record)


@lru_cache(maxsize=4096)
def _parsed(kind: type[R], data: bytes) -> R:
    return kind.model_validate_json(data)


def stored(world: World, kind: type[R], key: str) -> R | None:
    """A record as it lies there."""
    found = world.objects.get(key)
    return _parsed(kind, found[0]) if found else None


def versions(world: World) -> list[Snapshot]:
    """All versions, by key."""
    return [
        _parsed(Snapshot, world.objects[key][0])
        for key in sorted(world.objects)
        if key.startswith("_snapshots/")
    ]


def broken_laws(world: World, policies: Mapping[str, str]) -> Iterator[str]:
    """Every law that does not hold, in words; `policies` says how each run is published."""
    for key in world.changed:
        yield f"{key} changed its bytes"
    history = versions(world)
    yield from _history_laws(world, history, policies)
    revoked = history[-1].revoked if history else ()
    live: set[str] = set()
    for key in sorted(world.objects):
        if key.startswith("_runs/") and not key.endswith("plan.json"):
            manifest = _parsed(Manifest, world.objects[key][0])
            plan = stored(world, RunPlan, f"_runs/{manifest.run_id}/plan.json")
            assert plan is not None
            yield from _manifest_laws(world, manifest, plan)
            if not _is_revoked(manifest, plan, revoked):
                live.update(shard.key for shard in manifest.shards)
                if not manifest.without:  # what narrows it may still be on its way to its shards
                    yield from _missing(world, manifest)
    for key in sorted(world.deleted & live - world.objects.keys()):
        yield f"{key} was deleted, though a manifest that is not revoked names it"


def _history_laws(world: World, history: list[Snapshot], policies: Mapping[str, str]) -> Iterator[str]:
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
        if not _follows(before, snapshot, policies):
            yield f"version {number} does not follow from the one before it"
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
    plan = stored(world, RunPlan, f"_runs/{manifest.run_id}/plan.json")
    assert plan is not None
    if _is_revoked(manifest, plan, snapshot.revoked):
        yield f"version {snapshot.version} lists rows of run {listed.run_id} that are revoked"
    if not _is_revoked(manifest, plan, revoked):
        yield from _missing(world, manifest)


def _follows(before: Snapshot | None, after: Snapshot, policies: Mapping[str, str]) -> bool:
    """Each version comes from the one before it by one publication or one revocation."""
    old = before.runs if before else ()
    old_revoked = before.revoked if before else ()
    if after.revoked != old_revoked:
        new = after.revoked[len(old_revoked) :]
        return after.revoked[: len(old_revoked)] == old_revoked and _narrows(old, after.runs, new)
    if not after.runs:
        return False
    *kept, added = after.runs
    if policies[added.run_id] == "replace":
        return not kept
    return tuple(kept) == old and (policies[added.run_id] == "append" or not old)


def _narrows(old: tuple[SnapshotRun, ...], new: tuple[SnapshotRun, ...], by: tuple[Revocation, ...]) -> bool:
    left = {listed.run_id: listed for listed in new}
    for listed in old:
        concerning = [each for each in by if each.run_id == listed.run_id]
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
    for shard in manifest.shards:
        found = world.objects.get(shard.key)
        if found and not found[0].startswith(plan_sha256.encode()):
            yield f"{shard.key} was made under another plan than its run's"


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

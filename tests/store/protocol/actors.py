"""Who works on the store at once. Each calls the public functions as the real program does, through their modules,
so that a mutant of one function is met by everybody.
"""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import lru_cache
from unittest import mock

from augment.errors import InputError, IntegrityError
from augment.objects import ObjectStore
from augment.planning.policy import topped_up
from augment.store import collect, commit, existing, identity, ledgers, reading, revoke
from augment.store.records import latest_snapshot
from augment.types import (
    AugmentPlan,
    ClassLedger,
    ClassTarget,
    GatesPin,
    ImageShape,
    Manifest,
    RunPlan,
    ShardLedger,
    ShardPiece,
    ShardReceipt,
    ShardSpec,
    Snapshot,
    sha256_hex,
)
from tests.store.protocol.stepping import OPENED

__all__ = [
    "Reader",
    "collector",
    "driver",
    "lacking",
    "model_revoker",
    "revoker",
    "run_of",
    "shard_of",
    "simulated",
    "straggler",
    "topper_up",
]

_CLASSES = (
    ClassTarget(label=0, name="cat", real=1, target=4),
    ClassTarget(label=1, name="dog", real=1, target=2),
)
"""Shard 0 holds two cats, shard 1 a cat and a dog: without dogs it is made anew, and shard 0 stays."""


@lru_cache
def run_of(
    seed: int,
    torch: str = "2.6.0",
    *,
    shard_rows: int = 2,
    more: int = 0,
    second: str = "dog",
    gated: bool = False,
) -> RunPlan:
    """A run of two shards; another `torch` is another plan under the same run id.

    `shard_rows` makes another job of one seed, `more` raises both targets, `second` names the second class, and
    where it is `gated`, samples may be missing.
    """
    cats, dogs = (each.model_copy(update={"target": each.target + more}) for each in _CLASSES)
    classes = (cats, dogs.model_copy(update={"name": second}))
    image = ImageShape(size=16, channels=3)
    plan = AugmentPlan(seed=seed, image=image, classes=classes, shard_rows=shard_rows, batch_size=2)
    return commit.make_run_plan(
        plan,
        generator_sha256="ab" * 32,
        image_format="png",
        augmentation=None,
        versions={"torch": torch},
        gates=_GATES if gated else None,
    )


_GATES = GatesPin(sha256="cd" * 32, max_attempts=1, on_shortfall="partial")


def lacking(run: RunPlan, index: int, maker: str) -> tuple[tuple[int, int], ...]:
    """(class index, sample index) for which no candidate of this maker passed; two makers need not agree."""
    if run.gates is None:
        return ()
    rows = [
        (piece.class_index, piece.first + n)
        for piece in run.plan.shard(index).pieces
        for n in range(piece.count)
    ]
    return tuple(rows[: (sum(maker.encode()) + index) % (len(rows) + 1)])


def put_made(store: ObjectStore, run: RunPlan, index: int, maker: str) -> None:
    """A shard as a worker stores it: of a run with gates, its ledger first."""
    data, missing = shard_of(run, index, maker), lacking(run, index, maker)
    if run.gates is not None:
        classes = tuple(
            ClassLedger(
                label=run.plan.classes[piece.class_index].label,
                accepted=piece.count - (lost := sum(each[0] == piece.class_index for each in missing)),
                missing=lost,
                drawn=piece.count,
                refused={"label": lost} if lost else {},
            )
            for piece in run.plan.shard(index).pieces
        )
        pieces = tuple(ShardPiece(class_index=one, first=sample, count=1) for one, sample in missing)
        ledger = ShardLedger(index=index, classes=classes, missing=pieces)
        ledgers.put_ledger(store, run.run_id, sha256_hex(data), ledger)
    commit.put_shard(store, run.run_id, index, run.plan.shard(index).rows, data)


def shard_of(run: RunPlan, index: int, maker: str) -> bytes:
    """A stand-in for Parquet that says under which plan it was made; two makers need not agree on a byte."""
    return f"{sha256_hex(run.to_json())} shard {index} by {maker}".encode()


def driver(store: ObjectStore, run: RunPlan, policy: commit.ExistingPolicy, maker: str = "all") -> Snapshot:
    """The straight path; running it again resumes, or begins the next attempt."""
    run = identity.run_for(store, run, policy)
    commit.check_existing(store, run.run_id, policy)
    manifest = commit.begin_run(store, run).manifest
    if manifest is None:
        for index in commit.missing_shards(store, run):
            put_made(store, run, index, maker)
        manifest = commit.seal_run(store, run, policy)
    return commit.publish(store, manifest, policy)


def topper_up(store: ObjectStore, job: RunPlan, maker: str = "all") -> Snapshot | None:
    """Makes what the newest version lacks of the job's targets; None where that is nothing."""
    classes = topped_up(job.plan.classes, existing.existing_rows(store))
    run = job.model_copy(update={"plan": job.plan.model_copy(update={"classes": classes})})
    if not run.plan.rows:
        return None
    return driver(store, run.model_copy(update={"run_id": commit.run_id_of(run)}), "top-up", maker)


def straggler(store: ObjectStore, run: RunPlan, index: int, maker: str) -> None:
    """A worker whose driver has begun, and then was thought dead: it puts its shard late, with bytes of its own."""
    commit.begin_run(store, run)
    put_made(store, run, index, maker)


def collector(store: ObjectStore, grace_s: float) -> None:
    """`augment gc --delete`; before anything was begun there is nothing to collect."""
    with suppress(InputError):
        collect.collect(store, grace_s=grace_s, delete=True)


def revoker(store: ObjectStore, run: RunPlan, class_name: str | None) -> Snapshot | None:
    """Revokes the run, or a class of all runs; what is not there (yet) can't be revoked, and that is said."""
    if latest_snapshot(store) is None:
        return None
    if class_name is None:
        return revoke.revoke_run(store, run.run_id, "a test").snapshot
    return revoke.revoke_classes(store, [class_name], "a test").snapshot


def model_revoker(store: ObjectStore, run: RunPlan) -> Snapshot | None:
    """Revokes the run's generator, and with it all runs of these schedules."""
    if latest_snapshot(store) is None:
        return None
    return revoke.revoke_model(store, run.generator_sha256, "a test").snapshot


class Reader:
    """Opens versions and reads every listed shard; what it saw of a version once, it must always see."""

    def __init__(self) -> None:
        self.seen: dict[int, tuple[bytes, ...]] = {}
        self.complaints: list[str] = []

    def __call__(self, store: ObjectStore) -> None:
        """The newest version twice, and then the one that was newest at first."""
        first = self.read(store, None)
        self.read(store, None)
        if first is not None:
            self.read(store, first)

    def read(self, store: ObjectStore, version: int | None) -> int | None:
        """Reads one version; its number, or None if there is none that can be read."""
        try:
            dataset = reading.open_dataset(store.uri, version)
            rows = tuple(reading.read_shard(store, shard) for shard in dataset.shards)
        except IntegrityError as error:
            latest = latest_snapshot(store)
            if latest is None or not latest.record.revoked or "revoked in version" not in str(error):
                self.complaints.append(f"a reader of version {version or 'latest'} met: {error}")
            return None
        except InputError as error:
            if version is not None or "no dataset is committed" not in str(error):
                self.complaints.append(f"a reader of version {version or 'latest'} met: {error}")
            return None
        if self.seen.setdefault(dataset.version, rows) != rows:
            self.complaints.append(f"version {dataset.version} was read twice, with different rows")
        return dataset.version


class _Serial:
    """In place of a pool: an actor has no threads."""

    def __init__(self, *_: object, **__: object) -> None: ...

    def __enter__(self) -> _Serial:
        return self

    def __exit__(self, *_: object) -> None: ...

    map = staticmethod(map)


@contextmanager
def simulated() -> Iterator[None]:
    """While this holds, a URI opens a simulated store, and shards are stand-ins instead of Parquet.

    Nothing runs in threads. And, for speed, equal JSON is parsed once: records are frozen, so nobody can tell.
    """

    def shard_left(
        store: ObjectStore, run: reading.CommittedRun, shard: ShardReceipt, left: ShardSpec
    ) -> bytes:
        whole = reading.read_shard(store, shard).split(b" without")[0]
        kept = [(piece.class_index, piece.first, piece.count) for piece in left.pieces]
        return whole + f" without all but {kept}".encode()

    with (
        mock.patch.object(reading, "open_store", OPENED.__getitem__),
        mock.patch.object(revoke, "_shard_left", shard_left),
        mock.patch.object(ledgers, "ThreadPoolExecutor", _Serial),
        mock.patch.object(RunPlan, "model_validate_json", lru_cache(RunPlan.model_validate_json)),
        mock.patch.object(Manifest, "model_validate_json", lru_cache(Manifest.model_validate_json)),
        mock.patch.object(Snapshot, "model_validate_json", lru_cache(Snapshot.model_validate_json)),
    ):
        yield

"""A tiny run to commit, and stores that stop or interleave at any operation."""

from __future__ import annotations

import io
import os
from collections.abc import Callable, Iterable, Iterator
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image

from augment.objects import ObjectStore, StoredObject
from augment.store.commit import (
    ExistingPolicy,
    begin_run,
    check_existing,
    make_run_plan,
    missing_shards,
    publish,
    put_shard,
    seal_run,
)
from augment.store.ledgers import put_ledger
from augment.store.shards import build_shard, held_spec
from augment.types import (
    AugmentPlan,
    ClassLedger,
    ClassTarget,
    GatesPin,
    ImageShape,
    RunPlan,
    ShardLedger,
    ShardPiece,
    ShardSpec,
    Snapshot,
    sha256_hex,
)

CLASSES = (
    ClassTarget(label=0, name="cat", real=9, target=9),
    ClassTarget(label=1, name="dog | wild", real=2, target=9),
    ClassTarget(label=2, name="test", real=5, target=9),
)
ROWS, SHARDS = 11, 3  # of tiny_run: 7 + 4 samples, 4 a shard


def tiny_run(
    seed: int = 7,
    channels: Any = 3,
    image_format: Any = "png",
    classes: tuple[ClassTarget, ...] = CLASSES,
    versions: dict[str, str] | None = None,
    shard_rows: int = 4,
    source_fingerprint: str | None = None,
    gates: GatesPin | None = None,
) -> RunPlan:
    image = ImageShape(size=16, channels=channels)
    plan = AugmentPlan(seed=seed, image=image, classes=classes, shard_rows=shard_rows, batch_size=4)
    return make_run_plan(
        plan,
        generator_sha256="ab" * 32,
        image_format=image_format,
        augmentation=None,
        versions=versions or {"torch": "2.6.0"},
        source_fingerprint=source_fingerprint,
        gates=gates,
    )


GATES = GatesPin(sha256="cd" * 32, max_attempts=3, on_shortfall="partial")
REFUSED = {(1, 0), (1, 4), (2, 3)}  # (class index, sample index): of a gated run, no candidate ever passes


def ledger_of(run: RunPlan, index: int) -> ShardLedger:
    """What gates that refuse three candidates for each sample of REFUSED, and none else, let pass of a shard."""
    classes, missing = [], []
    for piece in run.plan.shard(index).pieces:
        lacking = [
            n for n in range(piece.first, piece.first + piece.count) if (piece.class_index, n) in REFUSED
        ]
        missing += [ShardPiece(class_index=piece.class_index, first=n, count=1) for n in lacking]
        passed, refused = piece.count - len(lacking), 3 * len(lacking)
        classes.append(
            ClassLedger(
                label=run.plan.classes[piece.class_index].label,
                accepted=passed,
                missing=len(lacking),
                drawn=passed + refused,
                refused={"label": refused} if refused else {},
            )
        )
    return ShardLedger(index=index, classes=tuple(classes), missing=tuple(missing))


def pixels_of(run: RunPlan, spec: ShardSpec) -> npt.NDArray[np.uint8]:
    """Noise [B, H, W, C] that depends on the sample alone, as a generator's pixels do."""
    shape = run.plan.image
    rows = []
    for piece in spec.pieces:
        for index in range(piece.first, piece.first + piece.count):
            rng = np.random.default_rng([run.plan.seed, piece.class_index, index])
            rows.append(rng.integers(0, 256, (shape.size, shape.size, shape.channels), dtype=np.uint8))
    return np.stack(rows) if rows else np.zeros((0, shape.size, shape.size, shape.channels), np.uint8)


def encode(pixels_HWC: npt.NDArray[np.uint8], image_format: str) -> bytes:
    squeezed = pixels_HWC[..., 0] if pixels_HWC.shape[-1] == 1 else pixels_HWC
    sink = io.BytesIO()
    Image.fromarray(squeezed).save(sink, format=image_format, lossless=True)
    return sink.getvalue()


def shard_bytes(run: RunPlan, index: int) -> bytes:
    missing = ledger_of(run, index).missing if run.gates is not None else ()
    spec = held_spec(run.plan, index, (), missing)
    return build_shard(run, spec, [encode(pixels, run.image_format) for pixels in pixels_of(run, spec)])


def make_shard(store: ObjectStore, run: RunPlan, index: int) -> None:
    data = shard_bytes(run, index)
    if run.gates is not None:
        put_ledger(store, run.run_id, sha256_hex(data), ledger_of(run, index))
    put_shard(store, run.run_id, index, run.plan.shard(index).rows, data)


def commit(store: ObjectStore, run: RunPlan, policy: ExistingPolicy = "refuse") -> Snapshot:
    """The straight path, as a driver runs it; running it again resumes."""
    check_existing(store, run.run_id, policy)
    begun = begin_run(store, run)
    if begun.manifest is not None:
        return publish(store, begun.manifest, policy)
    for index in missing_shards(store, run):
        make_shard(store, run, index)
    return publish(store, seal_run(store, run), policy)


class CrashError(Exception):
    """The process died here."""


class WatchedStore:
    """A store that calls `before(n)` and `after(n)` around its n-th operation, from 0."""

    def __init__(
        self,
        store: ObjectStore,
        before: Callable[[int], None] | None = None,
        after: Callable[[int], None] | None = None,
    ) -> None:
        self._store = store
        self._before = before or (lambda n: None)
        self._after = after or (lambda n: None)
        self.uri = store.uri
        self.operations = 0

    def _around(self, operation: Callable[[], Any]) -> Any:
        n, self.operations = self.operations, self.operations + 1
        self._before(n)
        result = operation()
        self._after(n)
        return result

    def put_if_absent(self, key: str, data: bytes) -> bool:
        return bool(self._around(lambda: self._store.put_if_absent(key, data)))

    def put(self, key: str, data: bytes) -> None:
        self._around(lambda: self._store.put(key, data))

    def get(self, key: str) -> bytes:
        return bytes(self._around(lambda: self._store.get(key)))

    def list(self, prefix: str = "") -> Iterator[StoredObject]:
        return iter(self._around(lambda: list(self._store.list(prefix))))

    def delete(self, key: str) -> None:
        self._around(lambda: self._store.delete(key))

    def delete_all(self, keys: Iterable[str]) -> None:
        for key in keys:  # a request for many may be cut off after any of them
            self.delete(key)

    def uri_of(self, key: str) -> str:
        return self._store.uri_of(key)


def crash_at(operation: int) -> Callable[[int], None]:
    """Dies at operation `operation`, as `before` or `after` of a WatchedStore."""

    def watch(n: int) -> None:
        if n == operation:
            raise CrashError(f"at operation {n} of process {os.getpid()}")

    return watch

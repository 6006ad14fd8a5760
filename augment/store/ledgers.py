"""What the gates of each shard let pass: a record a shard while a run is made, summed up in its manifest.

    _ledgers/<run>/<index:06d>-<sha256 of the shard>.json

Owns these records and their sums. A ledger is put before its shard, so that whoever finds a shard finds its ledger;
where two workers made different bytes of one shard, each has its own. Knows no gate.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Collection, Iterable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from itertools import islice

from augment.errors import IntegrityError
from augment.objects import ObjectStore
from augment.stored_record import stored_record
from augment.types import ClassLedger, RunPlan, ShardLedger, ShardPiece, ShardReceipt

__all__ = [
    "ledger_prefix",
    "narrowed_ledger",
    "narrowed_missing",
    "put_ledger",
    "read_ledgers",
    "summed_ledgers",
]

_THREADS = 8  # each waits for one small object
_READ_AHEAD = 512  # ledgers that are held at once: a run may have any number of them


def ledger_prefix(run_id: str) -> str:
    """Where the ledgers of a run's shards lie; nothing else does."""
    return f"_ledgers/{run_id}/"


def ledger_key(run_id: str, index: int, shard_sha256: str) -> str:
    """The key of the ledger of shard `index` with this digest."""
    return f"{ledger_prefix(run_id)}{index:06d}-{shard_sha256}.json"


def put_ledger(store: ObjectStore, run_id: str, shard_sha256: str, ledger: ShardLedger) -> None:
    """Store a shard's ledger; to be called before the shard is put. There already is success: equal bytes of a shard
    come from equal draws.
    """
    store.put_if_absent(ledger_key(run_id, ledger.index, shard_sha256), ledger.to_json())


def read_ledgers(store: ObjectStore, run_id: str, shards: Iterable[ShardReceipt]) -> Iterator[ShardLedger]:
    """The ledgers of these shards, in their order. Raises IntegrityError where one is missing or is none."""
    left = iter(shards)
    with ThreadPoolExecutor(_THREADS, thread_name_prefix="ledgers") as pool:
        while some := list(islice(left, _READ_AHEAD)):
            yield from pool.map(lambda shard: _read(store, run_id, shard), some)


def _read(store: ObjectStore, run_id: str, shard: ShardReceipt) -> ShardLedger:
    key = ledger_key(run_id, shard.index, shard.sha256)
    ledger = stored_record(ShardLedger, store, key, called="ledger")
    if ledger is None:
        raise IntegrityError(f"{store.uri_of(key)} is missing, though its shard is there")
    if ledger.index != shard.index:
        raise IntegrityError(f"{store.uri_of(key)} calls itself the ledger of shard {ledger.index}")
    return ledger


def summed_ledgers(
    run: RunPlan, ledgers: Iterable[ShardLedger]
) -> tuple[tuple[ClassLedger, ...], tuple[ShardPiece, ...]]:
    """The ledger of a whole run by class, and all its missing samples, as a manifest lists them.

    Raises IntegrityError for a ledger that does not add up to what its shard was to hold.
    """
    sums = {target.label: _Sum() for target in run.plan.classes if target.synthetic}
    missing: list[ShardPiece] = []
    for ledger in ledgers:
        _check(run, ledger)
        for one in ledger.classes:
            sums[one.label].add(one)
        missing.extend(ledger.missing)
    return (
        tuple(each.ledger(label) for label, each in sums.items()),
        tuple(sorted(missing, key=lambda piece: (piece.class_index, piece.first))),
    )


def _check(run: RunPlan, ledger: ShardLedger) -> None:
    spec = run.plan.shard(ledger.index)
    planned, missing = (
        Counter({run.plan.classes[piece.class_index].label: 0 for piece in spec.pieces}) for _ in range(2)
    )
    for counts, pieces in ((planned, spec.pieces), (missing, ledger.missing)):
        for piece in pieces:
            counts[run.plan.classes[piece.class_index].label] += piece.count
    told = {one.label: one.accepted + one.ungated + one.fallback + one.missing for one in ledger.classes}
    lacking = {one.label: one.missing for one in ledger.classes}
    drawn = all(one.accepted + sum(one.refused.values()) == one.drawn for one in ledger.classes)
    if told != dict(planned) or lacking != dict(missing) or not drawn:
        raise IntegrityError(
            f"the ledger of shard {ledger.index} of run {run.run_id} does not add up to the samples planned; it is damaged"
        )


class _Sum:
    def __init__(self) -> None:
        self.counts: Counter[str] = Counter()
        self.refused: Counter[str] = Counter()

    def add(self, one: ClassLedger) -> None:
        self.counts.update(accepted=one.accepted, ungated=one.ungated, fallback=one.fallback)
        self.counts.update(missing=one.missing, drawn=one.drawn)
        self.refused.update(one.refused)

    def ledger(self, label: int) -> ClassLedger:
        return ClassLedger(label=label, **self.counts, refused=dict(sorted(self.refused.items())))


def narrowed_ledger(ledger: Sequence[ClassLedger], without: Collection[int]) -> tuple[ClassLedger, ...]:
    """A manifest's ledger without the classes with these labels."""
    return tuple(one for one in ledger if one.label not in without)


def narrowed_missing(
    run: RunPlan, missing: Sequence[ShardPiece], without: Collection[int]
) -> tuple[ShardPiece, ...]:
    """A manifest's missing samples without those of the classes with these labels."""
    return tuple(piece for piece in missing if run.plan.classes[piece.class_index].label not in without)

"""A run through a proxy that fails a share of all requests: no row is lost, none is doubled.

The driver is the protocol's own, its putters are threads that share a client, as the tasks of a Ray worker do.
Where a request fails for good (RetryLaterError), the same command is given again, as a user would.
"""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from typing import TypeVar

import pytest

from augment.errors import RetryLaterError
from augment.objects import open_store
from augment.store.commit import begin_run, missing_shards, publish, seal_run
from augment.store.reading import open_dataset
from augment.store.shards import sample_id
from augment.store.verification import verify
from augment.types import ClassTarget, RunPlan, Snapshot
from tests.servers import FaultyProxy, SeaweedServer, SeededFaults
from tests.store.helpers import make_shard, tiny_run

KINDS = ("500", "503", "slow", "reset", "cut", "lose", "hole")
PUTTERS = 8
READ_TIMEOUT_S = 1  # how long a black hole is waited for

T = TypeVar("T")


def large_run(shards: int) -> RunPlan:
    """Three classes in shards of four rows, the last of which is short."""
    each = 4 * shards // 3
    rows = (each, each, 4 * shards - 2 * each - 1)
    return tiny_run(
        classes=tuple(
            ClassTarget(label=label, name=f"class {label}", real=3, target=3 + count)
            for label, count in enumerate(rows)
        )
    )


def commit_with_threads(uri: str, run: RunPlan) -> Snapshot:
    """One attempt at the whole run."""
    store = open_store(uri)
    begun = begin_run(store, run)
    if begun.manifest is None:
        with ThreadPoolExecutor(PUTTERS) as pool:
            list(pool.map(lambda index: make_shard(store, run, index), missing_shards(store, run)))
    return publish(store, begun.manifest or seal_run(store, run), "refuse")


def until_it_ends(command: Callable[[], T]) -> T:
    """What it returns when it is given again for as long as it says 'try again later'."""
    for _ in range(20):
        try:
            return command()
        except RetryLaterError as error:
            print(error)
    raise AssertionError("twenty commands did not reach the end")


def ids_of(run: RunPlan) -> Iterator[str]:
    for target in run.plan.classes:
        yield from (sample_id(run.run_id, target.label, index) for index in range(target.synthetic))


@pytest.mark.parametrize(
    ("shards", "rate", "seed"),
    [
        (30, 0.3, 3),
        (200, 0.05, 0),
        *(pytest.param(200, 0.05, seed, marks=pytest.mark.slow) for seed in range(1, 10)),
    ],
)
def test_a_run_through_faults_loses_no_row_and_doubles_none(
    seaweed: SeaweedServer,
    s3_uri: str,
    monkeypatch: pytest.MonkeyPatch,
    shards: int,
    rate: float,
    seed: int,
) -> None:
    monkeypatch.setattr("augment.objects.s3._READ_TIMEOUT_S", READ_TIMEOUT_S)
    monkeypatch.setattr("augment.objects.s3._FIRST_BACKOFF_S", 0.02)
    uri = f"s3://bucket-x/faults/{shards}-{seed}"  # always the same: faults are drawn by path
    run, faults = large_run(shards), SeededFaults(seed, rate, KINDS)
    proxy = FaultyProxy(seaweed.endpoint, faults)
    started_s = time.monotonic()
    try:
        monkeypatch.setenv("AWS_ENDPOINT_URL", proxy.endpoint)
        snapshot = until_it_ends(lambda: commit_with_threads(uri, run))
        through_faults = until_it_ends(lambda: verify(uri, deep=True))
    finally:
        proxy.close()
    print(f"{faults.counts.total()} requests in {time.monotonic() - started_s:.1f} s: {dict(faults.counts)}")
    monkeypatch.setenv("AWS_ENDPOINT_URL", seaweed.endpoint)

    assert through_faults.ok, through_faults.problems
    report = verify(uri, deep=True)
    assert (report.ok, report.rows, report.files) == (True, 4 * shards - 1, shards), report.problems
    assert snapshot.rows == run.plan.rows == 4 * shards - 1
    rows = Counter(name for table in open_dataset(uri).tables() for name in table["sample_id"].to_pylist())
    assert rows == Counter(ids_of(run))  # each exactly once
    assert set(faults.counts) == {"pass", *KINDS}  # every kind was met

"""What another process does to a store: commits, dies at an operation, or arrives too late.

Every act is a function of plain values that a fork server can call. The run is helpers.tiny_run: its bytes
follow from its seed, so that two processes that make one run make the same objects.
"""

from __future__ import annotations

import io
import os
import signal
from collections.abc import Callable
from typing import Any

from PIL import Image

from augment.objects import ObjectStore, open_store, s3
from augment.store.collect import collect
from augment.store.commit import ExistingPolicy, begin_run, publish, put_shard, seal_run
from augment.store.records import manifest_key
from augment.store.revoke import revoke_classes, revoke_run
from augment.store.shards import build_shard
from augment.types import RunPlan
from tests.store.helpers import SHARDS, WatchedStore, commit, make_shard, pixels_of, tiny_run

__all__ = [
    "append_sealed",
    "begun_with",
    "collect_all",
    "commit_and_die",
    "commit_and_die_in_the_kernel",
    "commit_round",
    "make_shards",
    "one_client",
    "other_bytes",
    "revoke_one_class",
    "revoke_one_run",
    "straggle",
]

FILE_CALLS = ("mkdir", "fsync", "link", "replace", "unlink", "rmdir")  # of os: all that change a local store


def one_client() -> None:
    """Let every S3 store of this process share one client: building one costs more than a whole run."""
    client = s3._s3_client("s3://any")
    s3._s3_client = lambda uri: client


def begun_with(uri: str, policy: ExistingPolicy) -> ObjectStore:
    """A store as a driver finds it: empty, or for 'append' with another run's version."""
    store = open_store(uri)
    if policy == "append":
        commit(store, tiny_run(seed=1))
    return store


def commit_and_die(uri: str, policy: ExistingPolicy, acknowledged: bool, operation: int) -> None:
    """Commit tiny_run below `uri`, and die by SIGKILL before or after the store operation of this number."""
    watch = _die_at(operation)
    store = begun_with(f"{uri}/{operation}", policy)
    watched = WatchedStore(store, after=watch) if acknowledged else WatchedStore(store, before=watch)
    commit(watched, tiny_run(), policy)


def commit_and_die_in_the_kernel(uri: str, call: int) -> None:
    """Commit tiny_run below `uri`, and die before the `call`-th of the system calls that change files."""
    calls = 0

    def counted(function: Callable[..., Any]) -> Callable[..., Any]:
        def call_or_die(*args: Any, **kwargs: Any) -> Any:
            nonlocal calls
            _die_at(call)(calls)
            calls += 1
            return function(*args, **kwargs)

        return call_or_die

    for name in FILE_CALLS:
        setattr(os, name, counted(getattr(os, name)))
    commit(open_store(f"{uri}/{call}"), tiny_run())


def commit_round(uri: str, seed: int, policy: ExistingPolicy, round_: int) -> str:
    """The whole straight path; which version came of it."""
    return str(commit(open_store(f"{uri}/{round_}"), tiny_run(seed=seed), policy).version)


def make_shards(store: ObjectStore, run: RunPlan) -> None:
    """Everything but the manifest."""
    begin_run(store, run)
    for index in range(SHARDS):
        make_shard(store, run, index)


def append_sealed(uri: str, seed: int, round_: int) -> str:
    """Publish a run whose shards are all there."""
    store = open_store(f"{uri}/{round_}")
    return str(publish(store, seal_run(store, tiny_run(seed=seed)), "append").version)


def collect_all(uri: str, round_: int) -> str:
    """Collect everything that nothing names, however young, a few times over."""
    store = open_store(f"{uri}/{round_}")
    for _ in range(4):
        collect(store, grace_s=0.0, delete=True)
    return "collected"


def revoke_one_run(uri: str, seed: int, round_: int) -> str:
    """A version without a run; its number."""
    revoked = revoke_run(open_store(f"{uri}/{round_}"), tiny_run(seed=seed).run_id, "a race")
    return str(revoked.snapshot.version)


def revoke_one_class(uri: str, name: str, round_: int) -> str:
    """A version without a class; its number."""
    return str(revoke_classes(open_store(f"{uri}/{round_}"), [name], "a race").snapshot.version)


def straggle(uri: str, seed: int, round_: int) -> str:
    """Put other bytes of one shard, again and again, until the manifest is there; and once more after it."""
    store, run = open_store(f"{uri}/{round_}"), tiny_run(seed=seed)
    for attempt in range(1000):
        sealed = any(store.list(manifest_key(run.run_id)))
        put_shard(store, run.run_id, 1, run.plan.shard(1).rows, other_bytes(run, 1, attempt))
        if sealed:
            return f"put {attempt + 1}"
    raise AssertionError("the driver never sealed the run")


def other_bytes(run: RunPlan, index: int, attempt: int) -> bytes:
    """A shard with the right rows and pixels in other bytes, as another worker's encoder may write them."""
    spec = run.plan.shard(index)
    images = []
    for pixels_HWC in pixels_of(run, spec):
        sink = io.BytesIO()
        Image.fromarray(pixels_HWC).save(sink, "PNG", compress_level=attempt % 9, dpi=(attempt + 1, 72))
        images.append(sink.getvalue())
    return build_shard(run, spec, images)


def _die_at(operation: int) -> Callable[[int], None]:
    def watch(n: int) -> None:
        if n == operation:
            os.kill(os.getpid(), signal.SIGKILL)

    return watch

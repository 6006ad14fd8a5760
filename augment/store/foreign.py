"""What lies among the shards of a dataset and is of none of its runs.

Owns telling it apart: a reader that globs `data/` would read it. Deletes nothing and knows no versions.
"""

from __future__ import annotations

from collections.abc import Iterable

from augment.objects import ObjectStore, StoredObject
from augment.store.shards import parse_shard_key

__all__ = ["SHARDS_PREFIX", "foreign_among"]

SHARDS_PREFIX = "data/"
"""Below it lie the shards of all runs, and nothing else should."""


def foreign_among(store: ObjectStore, listed: Iterable[StoredObject]) -> list[StoredObject]:
    """Those of `listed`, a listing of `SHARDS_PREFIX` or a part of it, that are no shard of a run that was begun.

    A shard of any begun run is ours, whether a manifest names it or not.
    """
    begun = _begun(store)
    unknown = [found for found in listed if _run_of(found) not in begun]
    if any(_run_of(found) is not None for found in unknown):
        begun = _begun(store)  # a plan is put before any shard: what began meanwhile is known by now
    return [found for found in unknown if _run_of(found) not in begun]


def _begun(store: ObjectStore) -> set[str]:
    """Also a run whose plan is lost: its shards are ours all the same."""
    return {found.key.split("/")[1] for found in store.list("_runs/")}


def _run_of(found: StoredObject) -> str | None:
    """The run whose shard an object calls itself; None if it is no shard."""
    parsed = parse_shard_key(found.key)
    return None if parsed is None else parsed.run_id

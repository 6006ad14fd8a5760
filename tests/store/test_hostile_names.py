"""No key and no path is ever made from a class name, however hostile it is."""

from __future__ import annotations

import re
from pathlib import Path

import pytest

from augment.objects import open_store
from augment.store.layouts import LAYOUTS
from augment.store.layouts.contract import OpenedShard
from augment.store.reading import open_dataset
from augment.store.verification import verify
from augment.types import ClassTarget
from tests.data.hostile.names import HOSTILE_CLASS_NAMES
from tests.store.helpers import commit, shard_bytes, tiny_run

CLASSES = tuple(
    ClassTarget(label=label, name=name, real=1, target=2) for label, name in enumerate(HOSTILE_CLASS_NAMES)
)
OUR_KEYS = re.compile(
    r"data/[0-9a-f]{16}/[0-9]{6}-[0-9a-f]{64}\.parquet"
    r"|_runs/[0-9a-f]{16}/(plan|manifest)\.json"
    r"|_snapshots/[0-9]{20}\.json"
)


def test_every_key_of_a_commit_is_made_of_numbers_and_digests(store_uri: str) -> None:
    store = open_store(store_uri)
    commit(store, tiny_run(classes=CLASSES))
    keys = [found.key for found in store.list()]
    assert [key for key in keys if not OUR_KEYS.fullmatch(key)] == []
    assert verify(store_uri, deep=True).ok


@pytest.mark.parametrize("name", HOSTILE_CLASS_NAMES, ids=ascii)
def test_a_hostile_class_name_comes_back_as_it_is(name: str) -> None:
    uri = "memory://hostile-names"
    if not any(open_store(uri).list()):
        commit(open_store(uri), tiny_run(classes=CLASSES))
    dataset = open_dataset(uri)
    assert dataset.counts()[name] == 1
    assert [row.name for row in dataset.balance()].count(name) == 1


@pytest.mark.parametrize("layout", LAYOUTS)
def test_a_static_copy_has_only_plain_paths_below_its_root(layout: str, tmp_path: Path) -> None:
    """A class may show in a path quoted, as Hive wants it, or as plain ASCII: never raw."""
    run = tiny_run(classes=CLASSES)
    keys = {
        file.key
        for index in range(run.plan.num_shards)
        for file in LAYOUTS[layout].files(
            OpenedShard(index, run.plan.num_shards, run, run.plan.shard(index), shard_bytes(run, index))
        )
    }
    assert [key for key in keys if not LAYOUTS[layout].owns.fullmatch(key)] == []
    assert [key for key in keys if not re.fullmatch(r"[A-Za-z0-9_.%=~/-]+", key)] == []
    for key in keys:
        assert (tmp_path / key).resolve().is_relative_to(tmp_path)
        assert not any(part in ("", ".", "..") or len(part) > 255 for part in key.split("/"))

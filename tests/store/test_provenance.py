"""A sample is found by its id alone, in the version and row that hold it."""

from __future__ import annotations

import uuid

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from augment.errors import ConfigError, InputError
from augment.objects import ObjectStore, open_store
from augment.store.provenance import find_sample
from augment.store.reading import open_dataset, read_shard
from augment.store.revoke import revoke_classes, revoke_run
from augment.types import ClassTarget
from tests.store.helpers import commit, tiny_run


@pytest.fixture
def memory() -> ObjectStore:
    return open_store(f"memory://{uuid.uuid4().hex}")


def stored_ids(store: ObjectStore, version: int | None = None) -> list[tuple[str, str, int]]:
    """(sample id, shard key, row) as any reader sees them."""
    dataset = open_dataset(store.uri, version)
    return [
        (identity, shard.key, row)
        for shard, table in zip(dataset.shards, dataset.tables(["sample_id"]), strict=True)
        for row, identity in enumerate(table["sample_id"].to_pylist())
    ]


def test_every_sample_is_found_where_it_lies(memory: ObjectStore) -> None:
    commit(memory, tiny_run(seed=1))
    topped = ClassTarget(label=1, name="dog | wild", real=2, target=14, existing=7, first=7)
    commit(memory, tiny_run(seed=1, classes=(topped,)), "append")
    revoke_classes(memory, ["dog | wild"], "why")
    for version in (1, 2, 3):
        for identity, key, row in stored_ids(memory, version):
            found = find_sample(memory, identity, version)
            assert (found.shard.key, found.row) == (key, row)
            table = pq.read_table(pa.BufferReader(read_shard(memory, found.shard)))
            assert table["sample_index"][row].as_py() == found.sample_index
            assert table["label_name"][row].as_py() == found.target.name


def test_a_sample_says_which_versions_hold_it_and_what_it_fell_to(memory: ObjectStore) -> None:
    run = tiny_run(seed=1)
    commit(memory, run)
    commit(memory, tiny_run(seed=2), "append")
    revoke_classes(memory, ["test"], "blurred")
    revoke_run(memory, run.run_id, "wrong seed")
    (dog, *_), (*_, test) = stored_ids(memory, 1)[:1], stored_ids(memory, 1)
    found = find_sample(memory, dog[0])
    assert (found.versions, [made.why for made in found.revoked]) == ((1, 2, 3), ["wrong seed"])
    found = find_sample(memory, test[0])
    assert (found.versions, [made.why for made in found.revoked]) == ((1, 2), ["blurred", "wrong seed"])
    pinned = find_sample(memory, test[0], version=1)  # it held them before either revocation
    assert [made.why for made in pinned.revoked] == ["blurred", "wrong seed"]
    with pytest.raises(InputError, match="no more: its class was revoked"):
        find_sample(memory, test[0], version=3)


def test_an_unknown_id_is_a_wrong_call(memory: ObjectStore) -> None:
    commit(memory, tiny_run(seed=1))
    identity = stored_ids(memory)[0][0]
    commit(memory, tiny_run(seed=2), "replace")
    assert find_sample(memory, identity).versions == (1,)
    with pytest.raises(ConfigError, match=r"in version 2 of .* \(11 samples of 1 run"):
        find_sample(memory, identity, version=2)
    with pytest.raises(ConfigError, match=r"no sample 'nonsense' in any version .*22 samples of 2"):
        find_sample(memory, "nonsense")

"""Damage that a revocation meets or leaves is named, and no version is made of it."""

from __future__ import annotations

import dataclasses
import re
import uuid

import pytest

from augment.errors import ConfigError, IntegrityError
from augment.objects import ObjectStore, open_store
from augment.store.reading import open_dataset
from augment.store.records import manifest_key, read_manifest, snapshot_key
from augment.store.revoke import revoke_classes
from augment.store.verification import verify
from tests.store.helpers import SHARDS, commit, tiny_run


@pytest.fixture
def memory() -> ObjectStore:
    return open_store(f"memory://{uuid.uuid4().hex}")


def test_a_damaged_shard_is_not_rewritten(memory: ObjectStore) -> None:
    commit(memory, tiny_run())
    key = open_dataset(memory.uri).shards[1].key
    memory.put(key, memory.get(key)[:-1] + b"X")
    with pytest.raises(IntegrityError, match=key):
        revoke_classes(memory, ["test"], "why")
    assert open_dataset(memory.uri).version == 1


def test_verify_finds_a_version_that_forgets_or_ignores_a_revocation(memory: ObjectStore) -> None:
    run = tiny_run()
    commit(memory, run)
    whole = open_dataset(memory.uri).snapshot.runs
    revoked = revoke_classes(memory, ["test"], "why").snapshot
    key, good = snapshot_key(2), memory.get(snapshot_key(2))
    for update, text in [
        ({"runs": whole}, r"without labels \[\], which is not what was revoked"),
        ({"revoked": ()}, "which is not what was revoked"),
        ({"revoked": (revoked.revoked[0].model_copy(update={"labels": ()}),)}, "though it was revoked"),
    ]:
        memory.put(key, revoked.model_copy(update=update).to_json())
        assert any(re.search(text, problem) for problem in verify(memory.uri).problems)
    memory.put(key, good)
    commit(memory, tiny_run(seed=2), "append")
    third = open_dataset(memory.uri).snapshot
    memory.put(snapshot_key(3), third.model_copy(update={"revoked": ()}).to_json())
    assert any("forgets what version 2 revoked" in problem for problem in verify(memory.uri).problems)


def test_a_narrowed_manifest_of_other_labels_is_named(memory: ObjectStore) -> None:
    run = tiny_run()
    commit(memory, run)
    revoke_classes(memory, ["test"], "why")
    memory.put(manifest_key(run.run_id, (2,)), memory.get(manifest_key(run.run_id)))
    with pytest.raises(IntegrityError, match="leaves out labels"):
        open_dataset(memory.uri)
    assert len(open_dataset(memory.uri, 1).shards) == SHARDS


def test_a_half_done_revocation_of_other_libraries_is_named(memory: ObjectStore) -> None:
    run = tiny_run()
    commit(memory, run)
    manifest = revoke_classes(memory, ["test"], "why")
    narrowed = read_manifest(memory, run.run_id, (2,)).record
    memory.delete(snapshot_key(manifest.snapshot.version))
    rewritten = narrowed.shards[1]
    memory.delete(rewritten.key)
    other = dataclasses.replace(
        rewritten, sha256="0" * 64, key=rewritten.key.replace(rewritten.sha256, "0" * 64)
    )
    memory.put(
        manifest_key(run.run_id, (2,)),
        narrowed.model_copy(update={"shards": (narrowed.shards[0], other)}).to_json(),
    )
    with pytest.raises(ConfigError, match="version of pyarrow that began it"):
        revoke_classes(memory, ["test"], "why")
    assert open_dataset(memory.uri).version == 1

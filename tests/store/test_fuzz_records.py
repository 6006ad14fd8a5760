"""Damaged plans, manifests and snapshots give what they say or one of our own errors, and nothing else."""

from __future__ import annotations

import json
import uuid
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.errors import AugmentError
from augment.objects import ObjectStore, open_store
from augment.store.reading import open_dataset
from augment.store.records import (
    manifest_key,
    plan_key,
    read_manifest,
    read_plan,
    read_snapshot,
    snapshot_key,
)
from augment.store.verification import verify
from augment.types import canonical_json, sha256_hex
from tests.fuzzing import mutated_bytes, mutated_json
from tests.store.helpers import commit, tiny_run

RUN = tiny_run()
KEYS = {"plan": plan_key(RUN.run_id), "manifest": manifest_key(RUN.run_id), "snapshot": snapshot_key(1)}
READERS: dict[str, Callable[[ObjectStore], Any]] = {
    "plan": lambda store: read_plan(store, RUN.run_id),
    "manifest": lambda store: read_manifest(store, RUN.run_id),
    "snapshot": lambda store: read_snapshot(store, 1),
}
VALUES = (
    st.none()
    | st.booleans()
    | st.sampled_from([0, -1, 1, 10**9, 2**63, -(10**30), 0.5, 1e300])
    | st.text(max_size=8)
    | st.sampled_from(["../../x", "data/x", "_snapshots/1.json", "\0", "committed", "aborted"])
    | st.lists(st.integers(), max_size=3)
    | st.dictionaries(st.text(max_size=4), st.integers(), max_size=2)
)
Path = tuple[str | int, ...]
QUICK = settings(max_examples=80, deadline=None)


def committed() -> dict[str, bytes]:
    """Every object of a store with one committed run."""
    store = open_store(f"memory://{uuid.uuid4().hex}")
    commit(store, RUN)
    return {found.key: store.get(found.key) for found in store.list()}


OBJECTS = committed()


def store_with(changed: dict[str, bytes]) -> ObjectStore:
    store = open_store("memory://fuzz-records")
    for found in list(store.list()):
        store.delete(found.key)
    for key, data in {**OBJECTS, **changed}.items():
        store.put(key, data)
    return store


def use(store: ObjectStore) -> None:
    """All that a reader does, short of a shard's bytes."""
    for act in (*READERS.values(), lambda store: _read(store.uri), lambda store: verify(store.uri)):
        try:
            act(store)
        except AugmentError as error:
            str(error).encode()


def _read(uri: str) -> None:
    dataset = open_dataset(uri)
    _ = dataset.files, dataset.rows, dataset.balance(), dataset.counts(), dataset.class_names


@pytest.mark.parametrize("record", KEYS)
@QUICK
@given(data=st.data())
def test_a_record_with_damaged_bytes_is_read_or_one_of_our_errors(record: str, data: st.DataObject) -> None:
    use(store_with({KEYS[record]: data.draw(mutated_bytes(OBJECTS[KEYS[record]]))}))


@pytest.mark.parametrize("record", KEYS)
@QUICK
@given(data=st.data())
def test_a_record_with_another_content_is_read_or_one_of_our_errors(record: str, data: st.DataObject) -> None:
    use(store_with({KEYS[record]: _json(data.draw(mutated_json(json.loads(OBJECTS[KEYS[record]]), VALUES)))}))


@QUICK
@given(data=st.data())
def test_records_that_pin_each_other_and_lie_are_read_or_one_of_our_errors(data: st.DataObject) -> None:
    """The digests are made anew, so that the lie reaches whoever believes a pinned record."""
    plan, manifest = (json.loads(OBJECTS[KEYS[record]]) for record in ("plan", "manifest"))
    lie = data.draw(st.sampled_from(["plan", "manifest", "both"]))
    if lie != "manifest":
        plan = data.draw(mutated_json(plan, VALUES))
    if lie != "plan":
        manifest = data.draw(mutated_json(manifest, VALUES))
    use(store_with(pinned(plan, manifest)))


NUMBERS = (0, -1, 1, 3, 10**9, 2**63, -(10**30), 0.5, "x", None)


@pytest.mark.parametrize("record", ["plan", "manifest"])
def test_each_number_of_a_pinned_record_may_be_any_other_without_a_crash_or_a_giant(record: str) -> None:
    for path in number_places(json.loads(OBJECTS[KEYS[record]])):
        for value in NUMBERS:
            contents = {name: json.loads(OBJECTS[KEYS[name]]) for name in ("plan", "manifest")}
            put_at(contents[record], path, value)
            use(store_with(pinned(**contents)))


def number_places(document: Any, path: Path = ()) -> list[Path]:
    """The paths of all whole numbers."""
    if isinstance(document, dict | list):
        children = document.items() if isinstance(document, dict) else enumerate(document)
        return [place for part, value in children for place in number_places(value, (*path, part))]
    return [path] if isinstance(document, int) and not isinstance(document, bool) else []


def put_at(document: Any, path: Path, value: Any) -> None:
    for part in path[:-1]:
        document = document[part]
    document[path[-1]] = value


def pinned(plan: Any, manifest: Any) -> dict[str, bytes]:
    """The three records, each with the digest of the one that it pins."""
    snapshot = json.loads(OBJECTS[KEYS["snapshot"]])
    plan_json = _json(plan)
    manifest_json = _json(
        {**manifest, "plan_sha256": sha256_hex(plan_json)} if isinstance(manifest, dict) else manifest
    )
    snapshot["runs"][0]["manifest_sha256"] = sha256_hex(manifest_json)
    contents = (plan_json, manifest_json, canonical_json(snapshot))
    return dict(zip(KEYS.values(), contents, strict=True))


def _json(value: Any) -> bytes:
    """As anyone may write it: a record's own canonical form refuses NaN."""
    return json.dumps(value).encode()

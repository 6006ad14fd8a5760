"""The cloud roles: enough for what the store does, for the example config, and no more."""

from __future__ import annotations

import ast
import json
from collections.abc import Callable
from fnmatch import fnmatchcase
from typing import Any
from uuid import uuid4

import numpy as np
import pytest

from augment.config import load_config
from augment.objects import ObjectStore
from augment.objects.memory import MemoryStore
from augment.report.describing import CARD_KEY, CROISSANT_KEY
from augment.report.fidelity_file import FidelityRecord, put_fidelity
from augment.report.neighbours import put_neighbours
from augment.store.commit import put_shard
from augment.store.ledgers import ledger_key
from augment.store.models import ModelFolder
from augment.store.pixel_cache import PixelCache, put_images
from augment.store.records import manifest_key, plan_key, snapshot_key
from augment.store.rejected import rejected_prefix
from tests.deploy.files import DEPLOY, ROOT

POLICIES = {path.stem: json.loads(path.read_text()) for path in (DEPLOY / "iam").glob("*.json")}
ROLES = {name: policy for name, policy in POLICIES.items() if not name.startswith("trust-")}

PERMISSION = {  # of each call to S3 that the store makes
    "put_object": "s3:PutObject",
    "get_object": "s3:GetObject",
    "list_objects_v2": "s3:ListBucket",
    "delete_object": "s3:DeleteObject",
    "delete_objects": "s3:DeleteObject",
}


def as_list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else [value]


def granted(role: str) -> set[str]:
    return {action for each in ROLES[role]["Statement"] for action in as_list(each["Action"])}


def may(role: str, action: str, key: str) -> bool:
    """Whether a role may do something to an object of the example's bucket."""
    arn = f"arn:aws:s3:::my-bucket/{key}"
    return any(
        action in as_list(each["Action"]) and any(fnmatchcase(arn, one) for one in as_list(each["Resource"]))
        for each in ROLES[role]["Statement"]
    )


def calls_of_the_store() -> set[str]:
    """Methods of boto3's client that augment/objects/s3.py calls."""
    tree = ast.parse((ROOT / "augment" / "objects" / "s3.py").read_text())
    return {
        node.attr
        for node in ast.walk(tree)
        if isinstance(node, ast.Attribute)
        and isinstance(node.value, ast.Attribute)
        and node.value.attr == "_client"
    }


def test_the_roles_hold_every_permission_that_the_store_uses() -> None:
    used = {PERMISSION[call] for call in calls_of_the_store()}
    assert used == set(PERMISSION.values())
    assert used - {"s3:DeleteObject"} <= granted("head")
    assert used <= granted("upkeep")


@pytest.mark.parametrize("role", ROLES)
def test_no_role_has_a_wildcard_for_actions_or_another_bucket(role: str) -> None:
    for each in ROLES[role]["Statement"]:
        assert each["Effect"] == "Allow"
        assert not any("*" in action for action in as_list(each["Action"]))
        for resource in as_list(each["Resource"]):
            assert resource.split("/")[0] == "arn:aws:s3:::my-bucket"
            assert resource == "arn:aws:s3:::my-bucket" or resource.count("*") == 1


def test_only_upkeep_may_delete_anything_but_what_lies_beside_models() -> None:
    for role in ROLES:
        for key in (
            "data/run/000000-ab.parquet",
            "_runs/run/manifest.json",
            "_snapshots/1.json",
            "README.md",
        ):
            assert may(role, "s3:DeleteObject", f"augmented/{key}") == (role == "upkeep")
        assert may(role, "s3:DeleteObject", "augmented/_models/m/x") == (role != "submitter")


def test_nobody_may_change_the_source() -> None:
    for role in ROLES:
        assert not may(role, "s3:PutObject", "train/cat/1.png")
        assert not may(role, "s3:DeleteObject", "train/cat/1.png")


def written(write: Callable[[ObjectStore], object]) -> set[tuple[str, str]]:
    """Permissions and keys that a piece of the product needs to write."""
    found: set[tuple[str, str]] = set()

    class Recording(MemoryStore):
        def put(self, key: str, data: bytes) -> None:
            found.add(("s3:PutObject", key))
            super().put(key, data)

        def put_if_absent(self, key: str, data: bytes) -> bool:
            found.add(("s3:PutObject", key))
            return super().put_if_absent(key, data)

        def delete(self, key: str) -> None:
            found.add(("s3:DeleteObject", key))
            super().delete(key)

    write(Recording(f"memory://iam-{uuid4()}"))
    assert found
    return found


def train(store: ObjectStore) -> None:
    """What rank 0 and the judge's task store: the fourth snapshot drops the first."""
    folder = ModelFolder(store, "m")
    for step in range(4):
        folder.put_snapshot({"snapshot.json": b"", "state": b"%d" % step}, step=step)
    folder.put_judge(b"judge")
    folder.put_gates(b"gates", "identity")


def cached_pixels(store: ObjectStore) -> None:
    """What is kept of decoded images, and given up again."""
    cache = PixelCache(store, "ab" * 32)
    cache.commit(put_images(cache, np.zeros((1, 2, 2, 1), np.uint8), np.zeros(1, np.int64), ["a"], "{}"))
    cache.mark_used()
    cache.discard()


BY_WORKERS: dict[str, Callable[[ObjectStore], object]] = {
    "a shard": lambda store: put_shard(store, "run", 0, 1, b"shard"),
    "a ledger": lambda store: store.put_if_absent(ledger_key("run", 0, "ab"), b""),
    "what gates refused": lambda store: store.put_if_absent(
        f"{rejected_prefix('run')}000000-ab.parquet", b""
    ),
    "training": train,
    "fidelity": lambda store: put_fidelity(store, FidelityRecord.model_construct(run_id="run")),
    "neighbours": lambda store: put_neighbours(store, "run", {}),
    "decoded pixels": cached_pixels,
}
BY_THE_DRIVER = BY_WORKERS | {
    "the probe": lambda store: (store.put("_models/m/writable", b""), store.delete("_models/m/writable")),
    "a model": lambda store: ModelFolder(store, "m").publish(b"g", steps=1, training_sha256="ab"),
    **{
        key: lambda store, key=key: store.put(key, b"")  # type: ignore[misc]
        for key in (
            plan_key("run"),
            manifest_key("run"),
            snapshot_key(1),
            CARD_KEY,
            CROISSANT_KEY,
            "_runs/run/report.html",
            "_runs/run/report.json",
            "_runs/run/contact_sheet.png",
        )
    },
}


@pytest.mark.parametrize(
    ("role", "what"),
    [*(("worker", what) for what in BY_WORKERS), *(("head", what) for what in BY_THE_DRIVER)],
)
def test_a_role_may_write_all_that_its_processes_write(role: str, what: str) -> None:
    for action, key in written(BY_THE_DRIVER[what]):
        assert may(role, action, f"augmented/{key}"), (action, key)


def test_a_worker_may_add_shards_and_models_but_publish_nothing() -> None:
    for key in ("data/run/000000-ab.parquet", "_ledgers/run/000000-ab.json", "_models/m/model.json"):
        assert may("worker", "s3:PutObject", f"augmented/{key}")
    for key in (
        "_runs/run/report.html",
        "_runs/run/manifest.json",
        "_snapshots/00000000000000000001.json",
        "README.md",
    ):
        assert not may("worker", "s3:PutObject", f"augmented/{key}")
        assert may("head", "s3:PutObject", f"augmented/{key}")


def test_the_submitter_may_write_records_of_submissions_alone() -> None:
    assert may("submitter", "s3:PutObject", "augmented/_submissions/nightly.json")
    assert not may("submitter", "s3:PutObject", "augmented/data/run/000000-ab.parquet")


def test_the_roles_are_those_of_the_example_config() -> None:
    config = load_config(ROOT / "configs" / "gpu-s3.yaml")
    for uri, action in ((config.source.uri, "s3:GetObject"), (config.output.uri, "s3:PutObject")):
        assert str(uri).startswith("s3://my-bucket/")
        assert may("head", action, str(uri).removeprefix("s3://my-bucket/").strip("/") + "/x")


def test_the_trust_policy_is_for_one_service_account() -> None:
    (statement,) = POLICIES["trust-eks"]["Statement"]
    assert statement["Action"] == "sts:AssumeRoleWithWebIdentity"
    ((_, conditions),) = statement["Condition"].items()
    subjects = [value for key, value in conditions.items() if key.endswith(":sub")]
    assert subjects == ["system:serviceaccount:augment:augment-head"]

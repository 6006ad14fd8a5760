"""The verbs log, diff, revoke and explain, as scripts meet them; no Ray is started."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from augment.objects import open_store
from augment.store.collect import collect
from augment.store.reading import open_dataset
from augment.store.revoke import revoke_run
from tests.pipelines.test_cli import augment, imported_by
from tests.store.helpers import ROWS, commit, tiny_run


@pytest.fixture
def uri(tmp_path: Path) -> str:
    """Two versions, made without a generator."""
    store = open_store(str(tmp_path / "set"))
    commit(store, tiny_run(seed=1, source_fingerprint="5" * 64))
    commit(store, tiny_run(seed=2), "append")
    return store.uri


def test_log_and_diff_print_tables_or_one_document(uri: str) -> None:
    table, document = augment("log", uri), json.loads(augment("log", uri, "--json", "--last", "1").stdout)
    assert table.returncode == 0, table.stderr
    assert tiny_run(seed=2).run_id in table.stdout
    (newest,) = document["versions"]
    assert (newest["version"], newest["rows"], newest["changes"][0]["what"]) == (2, 2 * ROWS, "added")
    assert newest["time_utc"].startswith("20")
    diff = json.loads(augment("diff", uri, 1, 2, "--json").stdout)
    assert [(each["name"], each["added"], each["after"]) for each in diff["classes"]] == [
        ("cat", 0, 0), ("dog | wild", 7, 14), ("test", 4, 8),
    ]  # fmt: skip
    assert "Version 2" in augment("diff", uri, 1, 2).stdout


def test_revoke_makes_a_version_and_a_card_without_the_rows(uri: str) -> None:
    done = augment("revoke", uri, "--class", "test", "--why", "blurred")
    assert done.returncode == 0, done.stderr
    assert done.stdout == "version 3: 8 rows revoked, 14 are left\n"
    again = json.loads(augment("revoke", uri, "--class", "test", "--why", "blurred", "--json").stdout)
    assert (again["version"], again["made"], again["rows_revoked"], again["rows"]) == (3, False, 0, 14)
    card = (Path(uri) / "README.md").read_text()
    assert all(shard.key in card for shard in open_dataset(uri).shards)
    assert open_dataset(uri, 1).shards[1].key not in card
    assert "blurred" in augment("log", uri).stdout
    whole = augment("revoke", uri, "--model", "ab" * 32, "--why", "a leak", "--quiet")
    assert whole.stdout == "version 4: 14 rows revoked, 0 are left\n", whole.stderr


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["revoke", "{uri}", "--why", "x"], 2, "exactly one of --model DIGEST, --run ID and --class NAME"),
        (["revoke", "{uri}", "--why", "x", "--run", "a" * 8, "--class", "test"], 2, "exactly one"),
        (["revoke", "{uri}", "--class", "bird", "--why", "x"], 2, "'dog | wild', 'test'"),
        (["revoke", "{uri}@1", "--class", "test", "--why", "x"], 2, "leave @1 out"),
        (["diff", "{uri}@1", "1", "2"], 2, "leave @1 out"),
        (["diff", "{uri}", "1", "9"], 2, "no version 9; it has version"),
        (["files", "{uri}@abc"], 2, "a version is a whole number"),
        (["log", "/nowhere/at/all"], 3, "/nowhere/at/all"),
        (["explain", "{uri}", "nonsense"], 2, "nonsense"),
    ],
)
def test_a_wrong_call_names_its_fault(uri: str, arguments: list[str], code: int, named: str) -> None:
    done = augment(*[argument.format(uri=uri) for argument in arguments])
    assert done.returncode == code, done.stderr
    assert named in " ".join(done.stderr.split())
    assert "Traceback" not in done.stderr


def test_files_of_a_version_that_was_collected_are_not_handed_on(uri: str) -> None:
    revoke_run(open_store(uri), tiny_run(seed=2).run_id, "the wrong scanner")
    assert augment("files", f"{uri}@2").stdout.count(".parquet\n") == len(open_dataset(uri, 2).shards)
    collect(open_store(uri), grace_s=0, delete=True)
    refused = augment("files", f"{uri}@2")
    assert (refused.returncode, refused.stdout) == (1, "")
    assert "revoked in version 3 (the wrong scanner), and was collected since" in refused.stderr
    assert augment("files", uri).returncode == augment("files", f"{uri}@1").returncode == 0


def test_history_and_revocation_import_neither_torch_nor_ray(uri: str) -> None:
    heavy = {"torch", "ray", "torchvision", "albumentations", "cv2"}
    assert not imported_by("log", uri) & heavy
    assert not imported_by("revoke", uri, "--class", "test", "--why", "x") & heavy


def test_a_sample_without_its_model_is_told_from_as_far_as_it_is_known(uri: str, tmp_path: Path) -> None:
    identity = next(open_dataset(uri).tables(["sample_id"]))["sample_id"][3].as_py()
    picture = tmp_path / "sample.png"
    document = json.loads(augment("explain", uri, identity, "--json", "--image", picture).stdout)
    assert (document["label_name"], document["sample_index"], document["versions"]) == (
        "dog | wild",
        3,
        [1, 2],
    )
    assert document["source_fingerprint"] == "5" * 64
    assert document["remake"]["outcome"] == "not made"
    assert picture.read_bytes().startswith(b"\x89PNG")

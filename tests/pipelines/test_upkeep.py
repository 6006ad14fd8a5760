"""`augment doctor` and `augment gc` as scripts meet them."""

from __future__ import annotations

import json
from pathlib import Path

import pytest

from augment.errors import ConfigError
from augment.objects import open_store
from augment.store.commit import put_shard
from pipelines.cli.upkeep import _seconds
from tests.pipelines.test_cli import augment, imported_by
from tests.store.helpers import commit, tiny_run


def test_a_sound_store_passes(tmp_path: Path) -> None:
    done = augment("doctor", tmp_path / "store", "--json", "--quiet")
    report = json.loads(done.stdout)
    assert (done.returncode, done.stderr, report["ok"]) == (0, "", True)
    assert {trial["state"] for trial in report["trials"]} == {"kept", "not applicable"}


def test_a_store_that_breaks_a_promise_is_refused_by_its_name(moto_uri: str) -> None:
    done = augment("doctor", moto_uri, "--quiet")
    assert done.returncode == 2
    assert "error:" in done.stderr
    assert "bytes that differ from their checksum are turned away" in done.stderr


def test_gc_lists_first_and_deletes_only_when_told(tmp_path: Path) -> None:
    store, run = open_store(str(tmp_path)), tiny_run()
    commit(store, run)
    stray = put_shard(store, run.run_id, 0, 4, b"a straggler's")
    shown = augment("gc", tmp_path, "--grace", "0s")
    assert (shown.returncode, "unlisted" in shown.stdout, "13 B" in shown.stdout) == (0, True, True)
    assert "add --delete" in shown.stdout
    assert store.get(stray.key)
    done = augment("gc", tmp_path, "--grace", "0s", "--delete", "--json", "--quiet")
    report = json.loads(done.stdout)
    assert (done.returncode, report["deleted"], report["objects"], report["size_bytes"]) == (0, True, 1, 13)
    assert report["garbage"][0]["keys"] == [stray.key]
    assert stray.key not in {found.key for found in store.list()}


def test_what_is_of_no_run_is_told_by_gc_and_stays(tmp_path: Path) -> None:
    store = open_store(str(tmp_path))
    commit(store, tiny_run())
    store.put("data/stray.parquet", b"mine")
    done = augment("gc", tmp_path, "--grace", "0s", "--delete")
    assert done.returncode == 0, done.stderr
    told = " ".join(done.stdout.split())
    assert "foreign" in told
    assert "of no run of this dataset, and stay: data/stray.parquet" in told
    assert "nothing to collect" in told
    assert store.get("data/stray.parquet") == b"mine"
    checked = augment("verify", tmp_path)
    assert (checked.returncode, "stray.parquet is not a shard of this dataset" in checked.stdout) == (1, True)


def test_neither_torch_nor_ray_is_imported(tmp_path: Path) -> None:
    commit(open_store(str(tmp_path)), tiny_run())
    for verb in ("doctor", "gc"):
        assert not imported_by(verb, tmp_path, "--quiet") & {"torch", "ray", "cv2", "albumentations"}


@pytest.mark.parametrize(
    ("text", "seconds"), [("90s", 90), ("30m", 1800), ("72h", 259_200), ("7d", 604_800), ("1.5h", 5400)]
)
def test_a_grace_is_a_number_and_a_unit(text: str, seconds: float) -> None:
    assert _seconds(text) == seconds


@pytest.mark.parametrize("text", ["", "72", "h", "-1h", "1 week", "inf"])
def test_another_grace_is_refused_by_its_text(text: str) -> None:
    with pytest.raises(ConfigError, match=f"--grace={text} "):
        _seconds(text)

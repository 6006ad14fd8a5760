"""`augment status` as a person and a script meet it: with a dead cluster, with none, and with nothing at all."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from datetime import datetime, timezone
from pathlib import Path

import pytest

from augment.config import load_config
from augment.objects import open_store
from augment.store.heartbeat import Heartbeat, StageState, heartbeat_key, put_heartbeat
from tests.pipelines.test_cli import augment, imported_by
from tests.store.helpers import commit, tiny_run

BEGAN = datetime(2026, 11, 23, 4, 0, tzinfo=timezone.utc)


def heartbeat(**fields: object) -> Heartbeat:
    stage = StageState(
        name="train", done=1_200, total=5_000, unit="steps", elapsed_s=52.0, per_s=31.0,
        points=tuple((10.0 + 4 * index, 120.0 * index) for index in range(1, 11)),
    )  # fmt: skip
    known = {
        "name": "small",
        "command": "run",
        "version": "0.1.0",
        "started": BEGAN,
        "updated": BEGAN,
        "stage": stage,
    }
    return Heartbeat.model_validate(known | fields)


@pytest.fixture
def out(config_file: Path) -> Path:
    return Path(load_config(config_file).output.uri)


def test_it_prints_a_line_a_fact(out: Path) -> None:
    run = tiny_run()
    commit(open_store(str(out)), run)
    put_heartbeat(
        open_store(str(out)),
        heartbeat(
            run_id=run.run_id,
            seconds={"census": 0.4, "decode": 75.0},
            last_warning="skipped bars/000.png: not an image",
        ),
    )

    done = augment("status", out)

    assert done.returncode == 0, done.stderr
    facts = {line[:10].strip(): line[10:] for line in done.stdout.splitlines()}
    assert facts["dataset"] == f"{out}, version 1"
    assert facts["state"] == "running"
    assert facts["command"] == f"augment run of 'small', run {run.run_id}, began 2026-11-23 04:00:00 UTC"
    assert facts["stage"].startswith("train: 1,200 of 5,000 steps (24%), 31 steps/s, about 2 min left (")
    assert facts["done"] == "census 0.4 s, decode 75 s"
    assert facts["warning"] == "skipped bars/000.png: not an image"
    assert facts["shards"] == f"committed, 11 of 11 samples (run {run.run_id})"
    assert facts["heard"].endswith("s ago, by augment 0.1.0")


def test_a_dead_run_is_told_as_such_and_the_command_has_succeeded_in_telling_it(out: Path) -> None:
    store = open_store(str(out))
    put_heartbeat(store, heartbeat(last_error="the store did not answer"))
    long_ago = datetime(2026, 1, 2, 3, 4, 5, tzinfo=timezone.utc).timestamp()
    os.utime(out / heartbeat_key("small"), (long_ago, long_ago))

    said, document = augment("status", out), json.loads(augment("status", out, "--json").stdout)

    assert said.returncode == 0
    assert "no sign of life since 2026-01-02 03:04:05 UTC" in said.stdout
    assert "ago (dead?)" in said.stdout
    assert "error     the store did not answer" in said.stdout
    assert " left" not in said.stdout
    assert (document["state"], document["exit_code"], document["eta"]) == ("silent", None, None)
    assert document["heartbeat"]["age_s"] > 60


def test_the_config_says_which_dataset_and_which_name(config_file: Path, out: Path) -> None:
    put_heartbeat(open_store(str(out)), heartbeat())
    put_heartbeat(open_store(str(out)), heartbeat(name="other", exit_code=0))

    ours = json.loads(augment("status", "-c", config_file, "--json").stdout)
    named = json.loads(augment("status", "-c", config_file, "--set", "name=other", "--json").stdout)

    assert (ours["dataset"], ours["state"]) == (str(out), "running")
    assert named["state"] == "succeeded"


def test_a_submitted_run_whose_cluster_is_gone_is_told_from_the_store(
    out: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS", "RAY_AUTH_MODE"):
        monkeypatch.delenv(name, raising=False)
    store = open_store(str(out))
    recorded = {
        "run_id": "nightly", "config": {"name": "small"}, "code_version": "0.1.0", "schema_version": 1,
        "source_fingerprint": None, "tick": None,
    }  # fmt: skip
    settings = {
        "address": "http://127.0.0.1:9", "auth": "disabled", "ca_file": None, "command": ["augment"], "py_modules": [],
        "env": {}, "stop_s": 30.0,
    }  # fmt: skip
    begun = {"run_id": "nightly", "number": 1, "backend": "ray", "settings": settings}
    store.put("_submissions/nightly.json", json.dumps(recorded).encode())
    store.put("_submissions/nightly/attempt-0001.json", json.dumps(begun).encode())
    put_heartbeat(store, heartbeat(submission="nightly"))

    done = augment("status", out, "--run-id", "nightly")
    document = json.loads(augment("status", out, "--json").stdout)

    assert done.returncode == 0, done.stderr
    assert "submitted nightly, attempt 1" in done.stdout
    assert "backend   ray does not say: no Ray dashboard answers at http://127.0.0.1:9" in done.stdout
    assert "train: 1,200 of 5,000 steps" in done.stdout
    assert (document["state"], document["submission"]["state"]) == ("running", None)


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["{out}"], 3, "nothing was ever submitted or run"),
        ([], 2, "one of the two"),
        (["{out}", "-c", "{config}"], 2, "one of the two"),
        (["{out}", "--run-id", "nightly"], 3, "nightly"),
        (["{out}", "--cluster", "{config}"], 2, "nothing was ever submitted"),
        (["s3://a@b/c"], 2, "credentials"),
    ],
)
def test_a_question_that_has_no_answer_has_an_exit_code(
    config_file: Path, out: Path, arguments: list[str], code: int, named: str
) -> None:
    done = augment("status", *[each.format(out=out, config=config_file) for each in arguments])

    assert (done.returncode, done.stdout) == (code, "")
    assert named in done.stderr


def test_asking_imports_neither_torch_nor_ray(out: Path) -> None:
    put_heartbeat(open_store(str(out)), heartbeat())

    assert not imported_by("status", out) & {"torch", "ray", "torchvision", "albumentations", "cv2"}


def test_errors_are_lines_of_json_where_the_log_is(out: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    by_option = augment("status", out, "--progress", "json")
    monkeypatch.setenv("AUGMENT_LOG_FORMAT", "json")
    by_environment = augment("run", "-c", "nowhere.yaml")
    monkeypatch.setenv("AUGMENT_LOG_FORMAT", "xml")
    wrong = augment("status", out)

    for done, code in ((by_option, 3), (by_environment, 2)):
        line = json.loads(done.stderr.splitlines()[-1])
        assert (done.returncode, line["exit_code"], line["level"]) == (code, code, "error")
    assert wrong.returncode == 2
    assert "AUGMENT_LOG_FORMAT=xml" in wrong.stderr


def test_a_command_in_a_process_of_its_own_is_seen_from_here(config_file: Path, out: Path) -> None:
    """Killed in the middle, it is silent; nothing else tells that it is dead."""
    command = [sys.executable, "-m", "pipelines.cli", "run", "-c", str(config_file), "--progress", "none"]
    with subprocess.Popen(
        [*command, "--set", "ray.num_cpus=1"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    ) as job:
        while not (out / heartbeat_key("small")).exists():
            assert job.poll() is None
            time.sleep(0.005)
        job.kill()

    (line,) = [line for line in augment("status", out).stdout.splitlines() if line.startswith("state")]
    assert line == "state     running", "for a minute nobody can tell"

"""The verbs as scripts meet them: what is printed where, and the exit code."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable
from pathlib import Path
from typing import NamedTuple

import pytest
import yaml

from pipelines import cli
from pipelines.submit import desk
from pipelines.submit.contract import JobStatus, ended_with
from tests.pipelines.submit.conftest import Told


class Done(NamedTuple):
    """How a command ended."""

    code: int
    out: str
    err: str


Run = Callable[..., Done]


@pytest.fixture
def run(monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]) -> Run:
    """`augment` in this process."""
    monkeypatch.setattr(desk, "POLL_S", 0.01)

    def run(*arguments: object) -> Done:
        monkeypatch.setattr(sys, "argv", ["augment", *map(str, arguments)])
        with pytest.raises(SystemExit) as ended:
            cli.main()
        printed = capsys.readouterr()
        return Done(int(ended.value.code or 0), printed.out, printed.err)

    return run


def test_a_backend_or_a_cluster_file_that_is_not_there_is_named(
    run: Run, told: Told, config_file: Path, tmp_path: Path
) -> None:
    first = run("submit", "-c", config_file, "-b", "told-not")
    assert (first.code, first.out) == (2, "")
    assert "--backend=told-not is not one of" in first.err

    second = run("submit", "-c", config_file, "-b", "local", "--cluster", "/nowhere.yaml")
    assert (second.code, second.out) == (2, "")
    assert "/nowhere.yaml: no such file" in second.err


def test_a_run_is_submitted_asked_about_followed_and_cancelled(
    run: Run, told: Told, gpu_config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    submit = ["submit", "-c", gpu_config, "--set", f"output.uri={out}", "-b", "told", "--run-id", "nightly"]

    first, second = run(*submit), run(*submit, "--json")
    status, stated = run("status", out), run("status", out, "--json")
    logs = run("logs", out, "-f")
    cancelled = run("cancel", out, "--run-id", "nightly", "--json")

    assert (first.code, first.out) == (0, "nightly\n")
    document = json.loads(second.out)
    assert document == {
        "dataset": str(out), "run_id": "nightly", "attempt": 1, "backend": "told", "job": "nightly", "attached": True,
        "state": "running", "exit_code": None, "reason": "", "where": "told nightly",
    }  # fmt: skip
    assert status.code == 0
    assert "nightly, attempt 1" in status.out
    assert "running" in status.out
    assert json.loads(stated.out)["state"] == "running"
    assert logs.out == "log of nightly\n"
    assert json.loads(cancelled.out)["state"] == "cancelled"
    assert told.submits == ["nightly"]


@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 75])
def test_with_wait_the_job_s_exit_code_is_ours(
    run: Run, told: Told, gpu_config: Path, tmp_path: Path, code: int
) -> None:
    out = tmp_path / "out"
    told.answers["nightly"] = [JobStatus(state="running"), ended_with(code, where="told")]

    done = run(
        "submit", "-c", gpu_config, "--set", f"output.uri={out}", "-b", "told", "--run-id", "nightly", "--wait", "--json",
    )  # fmt: skip

    document = json.loads(done.out)
    assert done.code == code
    assert (document["ok"], document["exit_code"]) == (code == 0, code)
    assert ("error: nightly failed" in done.err) == (code != 0)


def test_with_retries_what_can_go_on_is_tried_again_and_the_reason_logged(
    run: Run, told: Told, gpu_config: Path, tmp_path: Path
) -> None:
    told.answers["nightly"] = [ended_with(5, where="told", reason="its node was lost")]
    told.answers["nightly-2"] = [ended_with(75, where="told")]
    told.answers["nightly-3"] = [ended_with(3, where="told")]
    submit = [
        "submit",
        "-c",
        gpu_config,
        "--set",
        f"output.uri={tmp_path / 'out'}",
        "-b",
        "told",
        "--run-id",
        "nightly",
    ]

    done = run(*submit, "--wait", "--retries", 5)

    assert done.code == 3
    assert told.submits == ["nightly", "nightly-2", "nightly-3"]
    assert "its node was lost" in done.err


def test_waiting_gives_up_with_75_after_the_timeout(
    run: Run, told: Told, gpu_config: Path, tmp_path: Path
) -> None:
    submit = [
        "submit",
        "-c",
        gpu_config,
        "--set",
        f"output.uri={tmp_path / 'out'}",
        "-b",
        "told",
        "--run-id",
        "nightly",
    ]

    done = run(*submit, "--wait", "--timeout", "0.05s", "--json")
    wrong = run(*submit, "--wait", "--timeout", "soon")

    assert done.code == 75
    assert json.loads(done.out)["exit_code"] == 75
    assert wrong.code == 2
    assert "--timeout=soon" in wrong.err


def test_the_same_id_with_another_config_is_refused_with_the_difference(
    run: Run, told: Told, gpu_config: Path, tmp_path: Path
) -> None:
    submit = [
        "submit",
        "-c",
        gpu_config,
        "--set",
        f"output.uri={tmp_path / 'out'}",
        "-b",
        "told",
        "--run-id",
        "nightly",
    ]
    run(*submit)

    other = run(*submit, "--set", "train.steps=77")

    assert (other.code, other.out) == (2, "")
    assert "train.steps: " in other.err
    assert "77 here" in other.err
    assert told.submits == ["nightly"]


def test_render_contacts_nothing_when_the_id_is_given(run: Run, gpu_config: Path, tmp_path: Path) -> None:
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text("image: r.example.com/augment:1.0\n")

    done = run("render", "-c", gpu_config, "-b", "kuberay", "--cluster", cluster, "--run-id", "nightly")

    assert done.code == 0, done.err
    manifest = yaml.safe_load(done.out)
    assert (manifest["kind"], manifest["metadata"]["name"]) == ("RayJob", "nightly")
    assert manifest["spec"]["jobId"] == "nightly"


def test_a_config_that_means_something_else_there_is_refused(run: Run, gpu_config: Path) -> None:
    done = run("render", "-c", gpu_config, "--set", "source.uri=images", "-b", "ray", "--run-id", "a")

    assert done.code == 2
    assert "source.uri=images is relative" in done.err


def test_a_dataset_that_nothing_was_submitted_for_is_the_user_s_error(run: Run, tmp_path: Path) -> None:
    for verb in ("status", "logs", "cancel"):
        done = run(verb, tmp_path)
        assert done.code == 3
        assert "nothing was ever submitted" in done.err


def test_a_job_on_this_machine_is_waited_for(run: Run, gpu_config: Path, tmp_path: Path) -> None:
    cluster = tmp_path / "cluster.yaml"
    cluster.write_text(
        yaml.safe_dump(
            {"state_dir": str(tmp_path / "state"), "command": ["sh", "-c", "echo hello; exit 4", "a"]}
        )
    )
    submit = [
        "submit",
        "-c",
        gpu_config,
        "--set",
        f"output.uri={tmp_path / 'out'}",
        "--run-id",
        "a",
        "--cluster",
        cluster,
    ]

    done = run(*submit, "--wait")

    assert done.code == 4
    assert run("logs", tmp_path / "out").out == "hello\n"
    assert json.loads(run("status", tmp_path / "out", "--json").out)["exit_code"] == 4

"""The Ray backend on a real cluster over HTTP with a token; each command is a process, as a scheduler would start it."""

from __future__ import annotations

import json
import os
import subprocess
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest
import requests
import yaml

from augment.errors import ConfigError, RetryLaterError
from augment.objects import open_store
from augment.store.reading import open_dataset
from pipelines.submit.contract import Job
from pipelines.submit.ray_jobs import RayJobsBackend, RayJobsSettings, _status_of
from tests.pipelines.submit.ray_head import RayHead

ROOT = Path(__file__).parents[3]


@pytest.fixture(scope="module")
def head() -> Iterator[RayHead]:
    """The cluster, started when the first test asks for it."""
    started = RayHead()
    yield started
    started.close()


def cluster_file(folder: Path, address: str, *command: str, **more: object) -> Path:
    """A cluster file of that address, with what stands for `augment`."""
    path = folder / "cluster.yaml"
    path.write_text(yaml.safe_dump({"address": address, "command": list(command), **more}))
    return path


def augment(env: dict[str, str], *arguments: object) -> subprocess.CompletedProcess[str]:
    """The command, in the environment of one who has the token, or has not."""
    command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, env=env, cwd=ROOT, timeout=800)


def test_a_job_submitted_twice_over_http_runs_once_and_its_exit_code_is_ours(
    head: RayHead, gpu_config: Path, tmp_path: Path
) -> None:
    script = f'cat "$3" >> {tmp_path}/ran; until [ -e {tmp_path}/go ]; do sleep 0.1; done; exit 3'
    cluster = cluster_file(tmp_path, head.address, "sh", "-c", script, "augment")
    out = tmp_path / "out"
    submit = [
        "submit",
        "-c",
        gpu_config,
        "--set",
        f"output.uri={out}",
        "--run-id",
        "twice",
        "-b",
        "ray",
        "--cluster",
        cluster,
    ]

    first = augment(head.env, *submit)
    with subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", *map(str, submit), "--wait", "--json"],
        stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True, env=head.env, cwd=ROOT,
    ) as second:  # fmt: skip
        assert second.stderr is not None
        said = next(line for line in second.stderr if "attached to" in line)
        (tmp_path / "go").touch()
        printed, more = second.communicate(timeout=200)

    assert (first.returncode, first.stdout) == (0, "twice\n"), first.stderr
    assert second.returncode == 3, more
    document = json.loads(printed)
    assert (document["exit_code"], document["job"], document["backend"]) == (3, "twice", "ray")
    assert json.loads((tmp_path / "ran").read_text())["source"]["uri"] == "s3://bucket/train"  # once
    assert requests.get(f"{head.address}/api/jobs/", timeout=30).status_code == 401
    store = open_store(str(out))
    left = "".join(store.get(each.key).decode() for each in store.list())
    assert head.token not in left + printed + first.stdout + first.stderr + said + more


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_who_has_no_token_or_a_wrong_one_is_refused_and_told_what_to_set(
    head: RayHead, gpu_config: Path, tmp_path: Path
) -> None:
    cluster = cluster_file(tmp_path, head.address, "true")
    submit = [
        "submit",
        "-c",
        gpu_config,
        "--set",
        f"output.uri={tmp_path / 'out'}",
        "--run-id",
        "no",
        "-b",
        "ray",
        "--cluster",
        cluster,
    ]
    without = {key: value for key, value in head.env.items() if key != "RAY_AUTH_TOKEN"} | {
        "HOME": str(tmp_path)
    }

    for env in (without, {**head.env, "RAY_AUTH_TOKEN": "0" * 32}):
        done = augment(env, *submit)
        assert done.returncode == 2, done.stderr
        assert "RAY_AUTH_TOKEN" in done.stderr
        assert "Traceback" not in done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
@pytest.mark.parametrize("code", [0, 1, 2, 3, 4, 5, 75])
def test_every_exit_code_of_the_contract_comes_through_the_jobs_api(
    head: RayHead, gpu_config: Path, tmp_path: Path, code: int
) -> None:
    cluster = cluster_file(tmp_path, head.address, "sh", "-c", f"exit {code}", "augment")

    done = augment(
        head.env, "submit", "-c", gpu_config, "--set", f"output.uri={tmp_path / 'out'}", "--run-id", f"code-{code}",
        "-b", "ray", "--cluster", cluster, "--wait",
    )  # fmt: skip

    assert done.returncode == code, done.stderr


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_a_job_is_followed_cancelled_and_gone_on_with(
    head: RayHead, gpu_config: Path, tmp_path: Path
) -> None:
    out = tmp_path / "out"
    script = f"echo up; [ -e {tmp_path}/again ] && exit 0; trap 'echo kept; touch {tmp_path}/again; exit 143' TERM; while :; do sleep 0.1; done"
    cluster = cluster_file(tmp_path, head.address, "sh", "-c", script, "augment")
    submit = [
        "submit",
        "-c",
        gpu_config,
        "--set",
        f"output.uri={out}",
        "--run-id",
        "held",
        "-b",
        "ray",
        "--cluster",
        cluster,
    ]

    started = [augment(head.env, *submit, "--json") for _ in range(2)]
    with subprocess.Popen(
        [sys.executable, "-m", "pipelines.cli", "logs", str(out), "-f"],
        stdout=subprocess.PIPE, text=True, env=head.env, cwd=ROOT,
    ) as follower:  # fmt: skip
        assert follower.stdout is not None
        followed = []
        for line in follower.stdout:
            followed.append(line)
            if line == "up\n":
                break
        stopped = augment(head.env, "cancel", out, "--json")
        followed += list(follower.stdout)
    resumed = augment(head.env, *submit, "--wait", "--json")
    attached = augment(head.env, *submit, "--wait", "--json")

    assert [json.loads(each.stdout)["attached"] for each in started] == [False, True]
    assert json.loads(stopped.stdout)["state"] == "cancelled", stopped.stderr
    assert "kept\n" in followed
    assert (resumed.returncode, json.loads(resumed.stdout)["job"]) == (0, "held-2")
    assert (attached.returncode, json.loads(attached.stdout)["job"]) == (0, "held-2")
    assert "\nup\n" in augment(head.env, "logs", out).stdout


@pytest.mark.slow
@pytest.mark.timeout(900)
def test_the_whole_job_runs_over_http_and_submitting_it_again_makes_nothing(
    head: RayHead, config_file: Path, tmp_path: Path
) -> None:
    cluster = cluster_file(
        tmp_path, head.address, sys.executable, "-m", "pipelines.cli", env={"PYTHONPATH": str(ROOT)}
    )
    submit = [
        "submit",
        "-c",
        config_file,
        "-b",
        "ray",
        "--cluster",
        cluster,
        "--wait",
        "--json",
        "--timeout",
        "10m",
    ]

    first = augment(head.env, *submit)
    again = augment(head.env, *submit)

    assert first.returncode == 0, first.stderr + augment(head.env, "logs", tmp_path / "out").stdout
    assert (again.returncode, json.loads(again.stdout)["attempt"]) == (0, 1)
    assert json.loads(again.stdout)["run_id"].startswith("small-")
    dataset = open_dataset(str(tmp_path / "out"))
    assert (dataset.version, sum(1 for _ in open_store(str(tmp_path / "out")).list("_snapshots/"))) == (1, 1)


# ---- what a cluster answers, without one --------------------------------------------------------------


class JobsApi:
    """Answers to `/api/version` and `/api/jobs/`, one after another."""

    def __init__(self) -> None:
        self.answers: list[tuple[int, Any]] = []
        self.asked: list[str] = []
        api = self

        class Handler(BaseHTTPRequestHandler):
            def _do(self) -> None:
                self.rfile.read(int(self.headers.get("Content-Length") or 0))
                api.asked.append(f"{self.command} {self.path}")
                status, document = (200, {"ray_version": "2.60.0"}) if "version" in self.path else (200, {})
                if "packages" not in self.path and "version" not in self.path:
                    status, document = api.answers.pop(0)
                data = document.encode() if isinstance(document, str) else json.dumps(document).encode()
                self.send_response(status)
                self.send_header("Content-Length", str(len(data)))
                self.end_headers()
                self.wfile.write(data)

            do_GET = do_POST = do_PUT = _do

            def log_message(self, format: str, *args: object) -> None:
                """Say nothing."""

        self.server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        self.address = f"http://127.0.0.1:{self.server.server_port}"
        threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True).start()


@pytest.fixture
def api(monkeypatch: pytest.MonkeyPatch) -> Iterator[JobsApi]:
    """The server; Ray's client is told that it needs no token."""
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    server = JobsApi()
    yield server
    server.server.shutdown()
    server.server.server_close()


@pytest.fixture
def backend(api: JobsApi) -> RayJobsBackend:
    """The backend at that server."""
    return RayJobsBackend(RayJobsSettings(address=api.address, auth="disabled"))


@pytest.mark.parametrize(
    ("answer", "kind", "named"),
    [
        (
            (500, "No available agent to submit job, please try again later."),
            RetryLaterError,
            "No available agent",
        ),
        ((503, "starting"), RetryLaterError, "starting"),
        (
            (400, "Traceback\nValueError: runtime_env is no dictionary"),
            ConfigError,
            "runtime_env is no dictionary",
        ),
        ((401, "Unauthorized"), ConfigError, "RAY_AUTH_TOKEN"),
        ((403, "Forbidden"), ConfigError, "RAY_AUTH_TOKEN"),
    ],
)
def test_what_the_jobs_api_refuses_is_ours_to_retry_or_the_user_s_to_mend(
    api: JobsApi,
    backend: RayJobsBackend,
    job: Job,
    answer: tuple[int, Any],
    kind: type[Exception],
    named: str,
) -> None:
    api.answers = [answer]

    with pytest.raises(kind, match=named):
        backend.submit(job)


@pytest.mark.parametrize("same", [True, False])
def test_an_id_that_is_taken_is_attached_to_if_it_is_the_same_submission(
    api: JobsApi, backend: RayJobsBackend, job: Job, same: bool
) -> None:
    there = yaml.safe_load(backend.render(job))["request"]["metadata"] if same else {}
    details = {"type": "SUBMISSION", "status": "RUNNING", "entrypoint": "augment", "metadata": there}
    api.answers = [(400, "ValueError: Job with submission_id defects-1 already exists."), (200, details)]

    if same:
        backend.submit(job)
    else:
        with pytest.raises(ConfigError, match="has a job defects-1 already, and it is not this one"):
            backend.submit(job)


def test_a_job_of_another_attempt_of_the_same_name_is_refused_and_not_taken_for_this_one(
    api: JobsApi, backend: RayJobsBackend, job: Job
) -> None:
    ours, theirs = (job.model_copy(update={"nonce": nonce}) for nonce in ("4567cdef", "0123abcd"))
    metadata = yaml.safe_load(backend.render(theirs))["request"]["metadata"]
    there = {"type": "SUBMISSION", "status": "SUCCEEDED", "entrypoint": "augment", "metadata": metadata}
    api.answers = [(400, "ValueError: Job with submission_id defects-1 already exists."), *[(200, there)] * 3]

    with pytest.raises(ConfigError, match=r"augment_nonce=0123abcd.*ray job delete defects-1"):
        backend.submit(ours)
    assert backend.status("defects-1", "4567cdef").state == "absent"
    assert backend.status("defects-1", "0123abcd").state == "succeeded"


def test_a_job_that_the_cluster_does_not_know_is_absent(api: JobsApi, backend: RayJobsBackend) -> None:
    api.answers = [(404, "Job defects-1 does not exist")]

    assert backend.status("defects-1").state == "absent"


@pytest.mark.parametrize(
    ("fields", "state", "code"),
    [
        ({"status": "PENDING"}, "waiting", None),
        ({"status": "RUNNING"}, "running", None),
        ({"status": "SUCCEEDED", "driver_exit_code": 0}, "succeeded", 0),
        ({"status": "STOPPED"}, "cancelled", 5),
        (
            {"status": "FAILED", "driver_exit_code": 4, "error_type": "JOB_ENTRYPOINT_COMMAND_ERROR"},
            "failed",
            4,
        ),
        (
            {"status": "FAILED", "driver_exit_code": -9, "error_type": "JOB_ENTRYPOINT_COMMAND_ERROR"},
            "failed",
            5,
        ),
        ({"status": "FAILED", "error_type": "RUNTIME_ENV_SETUP_FAILURE", "message": "no space"}, "failed", 2),
        ({"status": "FAILED", "error_type": "JOB_SUPERVISOR_ACTOR_START_TIMEOUT"}, "failed", 75),
        (
            {"status": "FAILED", "error_type": "JOB_SUPERVISOR_ACTOR_DIED", "message": "node died"},
            "failed",
            5,
        ),
        ({"status": "FAILED", "message": "unknown"}, "failed", 5),
    ],
)
def test_each_status_of_a_ray_job_means_this(fields: dict[str, Any], state: str, code: int | None) -> None:
    from ray.job_submission import JobDetails

    status = _status_of(JobDetails(type="SUBMISSION", entrypoint="augment", **fields), "there")

    assert (status.state, status.exit_code) == (state, code)


def test_nothing_that_listens_is_tried_later(backend: RayJobsBackend, api: JobsApi) -> None:
    api.server.shutdown()
    api.server.server_close()

    with pytest.raises(RetryLaterError, match="no Ray dashboard answers"):
        backend.status("defects-1")


def test_an_address_in_the_environment_that_would_win_is_an_error(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("RAY_ADDRESS", "http://other:8265")

    assert RayJobsSettings().address == "http://other:8265"
    with pytest.raises(ConfigError, match=r"address=http://mine:8265, but .* http://other:8265"):
        RayJobsBackend(RayJobsSettings(address="http://mine:8265")).status("defects-1")


def test_a_mode_of_authentication_in_the_environment_that_differs_is_an_error(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    for name in ("RAY_ADDRESS", "RAY_API_SERVER_ADDRESS"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("RAY_AUTH_MODE", "disabled")

    with pytest.raises(ConfigError, match="auth=token, but the environment's RAY_AUTH_MODE is disabled"):
        RayJobsBackend(RayJobsSettings()).status("defects-1")
    assert os.environ["RAY_AUTH_MODE"] == "disabled"

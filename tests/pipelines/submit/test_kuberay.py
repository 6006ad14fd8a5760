"""The KubeRay backend against an API server: create, conflict, statuses, logs, failure, deletion."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from augment.errors import AugmentError, ConfigError, RetryLaterError
from augment.objects import open_store
from pipelines.submit.contract import Job, Submission
from pipelines.submit.desk import Desk
from pipelines.submit.kuberay import KubeRayBackend
from pipelines.submit.kuberay_config import KubeRaySettings
from pipelines.submit.retrying import Clock
from tests.pipelines.submit.conftest import Watch
from tests.pipelines.submit.kube_api import TOKEN, KubeApi

FAILED_WITH = "Job entrypoint command failed with exit code {}, last available logs (truncated to 20,000 chars):\nerror: it says exit code 99\n"


@pytest.fixture
def api(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[KubeApi]:
    """The server."""
    pytest.importorskip("kubernetes", reason="the extra ray-augment[kubernetes] is not installed")
    monkeypatch.delenv("KUBERNETES_SERVICE_HOST", raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1")
    server = KubeApi(tmp_path)
    yield server
    server.close()


@pytest.fixture
def settings(api: KubeApi) -> KubeRaySettings:
    """A cluster file that names it."""
    return KubeRaySettings(image="r.example.com/augment:1.0", kubeconfig=str(api.kubeconfig))


@pytest.fixture
def backend(settings: KubeRaySettings, watch: Watch) -> KubeRayBackend:
    """The backend."""
    return KubeRayBackend(settings, clock=watch.clock())


def test_what_is_created_is_what_render_shows(api: KubeApi, backend: KubeRayBackend, job: Job) -> None:
    import yaml

    assert backend.status(job.name).state == "absent"

    backend.submit(job)

    assert api.objects[job.name] == yaml.safe_load(backend.render(job))
    assert api.asked[-1] == "POST /apis/ray.io/v1/namespaces/augment/rayjobs"
    assert backend.status(job.name).state == "waiting"


def test_a_conflict_is_attached_to_and_one_with_another_config_refused(
    api: KubeApi, backend: KubeRayBackend, job: Job
) -> None:
    backend.submit(job)
    backend.submit(job)
    assert len(api.objects) == 1

    other = job.submission.model_copy(update={"config": {**job.submission.config, "seed": 7}})
    with pytest.raises(ConfigError, match=r"namespace augment has a RayJob defects-1 already"):
        backend.submit(Job(name=job.name, submission=other))


def test_a_rayjob_of_another_attempt_of_the_same_name_is_refused_and_neither_taken_for_this_one_nor_deleted(
    api: KubeApi, backend: KubeRayBackend, job: Job
) -> None:
    ours, theirs = (job.model_copy(update={"nonce": nonce}) for nonce in ("4567cdef", "0123abcd"))
    backend.submit(theirs)

    with pytest.raises(ConfigError, match=r"of another submission; .*kubectl delete rayjob defects-1"):
        backend.submit(ours)
    assert backend.status(job.name, "4567cdef").state == "absent"
    backend.cancel(job.name, "4567cdef")
    assert backend.status(job.name, "0123abcd").state == "waiting"
    backend.cancel(job.name, "0123abcd")
    assert api.objects == {}


@pytest.mark.parametrize(
    ("status", "state", "code"),
    [
        ({}, "waiting", None),
        ({"jobDeploymentStatus": "Initializing"}, "waiting", None),
        ({"jobDeploymentStatus": "Suspended"}, "waiting", None),
        ({"jobDeploymentStatus": "Retrying"}, "waiting", None),
        ({"jobDeploymentStatus": "Running", "jobStatus": "PENDING"}, "waiting", None),
        ({"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"}, "running", None),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "SUCCEEDED"}, "succeeded", 0),
        *(
            (
                {
                    "jobDeploymentStatus": "Failed",
                    "jobStatus": "FAILED",
                    "reason": "AppFailed",
                    "message": FAILED_WITH.format(code),
                },
                "failed",
                code,
            )
            for code in (1, 2, 3, 4, 5, 75)
        ),
        (
            {
                "jobDeploymentStatus": "Failed",
                "jobStatus": "FAILED",
                "reason": "AppFailed",
                "message": FAILED_WITH.format(-9),
            },
            "failed",
            5,
        ),
        (
            {
                "jobDeploymentStatus": "Failed",
                "jobStatus": "FAILED",
                "reason": "AppFailed",
                "message": "its node died",
            },
            "failed",
            5,
        ),
        ({"jobDeploymentStatus": "Failed", "reason": "DeadlineExceeded", "message": "too long"}, "failed", 5),
        (
            {"jobDeploymentStatus": "Failed", "reason": "SubmissionFailed", "message": "no image"},
            "failed",
            75,
        ),
        (
            {"jobDeploymentStatus": "ValidationFailed", "reason": "ValidationFailed", "message": "bad"},
            "failed",
            2,
        ),
        ({"jobDeploymentStatus": "Complete", "jobStatus": "STOPPED"}, "failed", 5),
    ],
)
def test_each_status_of_a_rayjob_means_this(
    api: KubeApi, backend: KubeRayBackend, job: Job, status: dict[str, Any], state: str, code: int | None
) -> None:
    backend.submit(job)
    api.statuses = [status]

    seen = backend.status(job.name)

    assert (seen.state, seen.exit_code) == (state, code)
    assert seen.where == "RayJob augment/defects-1"


def test_a_run_is_waited_for_through_its_statuses(
    api: KubeApi, settings: KubeRaySettings, submission: Submission, watch: Watch, tmp_path: Path
) -> None:
    desk = Desk(open_store(str(tmp_path / "out")), clock=watch.clock())
    attempt = desk.submit(submission, "kuberay", settings).attempt
    api.statuses = [
        {"jobDeploymentStatus": "Initializing"},
        {"jobDeploymentStatus": "Running", "jobStatus": "RUNNING"},
        {
            "jobDeploymentStatus": "Failed",
            "jobStatus": "FAILED",
            "reason": "AppFailed",
            "message": FAILED_WITH.format(3),
        },
    ]

    assert desk.wait(attempt).status.exit_code == 3
    again = desk.submit(submission, "kuberay", settings)

    assert again.attempt.name == "defects-1-2"
    assert set(api.objects) == {"defects-1", "defects-1-2"}


def test_cancel_deletes_the_rayjob_and_the_run_can_go_on(
    api: KubeApi, settings: KubeRaySettings, submission: Submission, watch: Watch, tmp_path: Path
) -> None:
    desk = Desk(open_store(str(tmp_path / "out")), clock=watch.clock())
    desk.submit(submission, "kuberay", settings)

    assert desk.cancel("defects-1").status.state == "cancelled"
    assert api.objects == {}
    KubeRayBackend(settings).cancel("defects-1")  # of nothing
    assert desk.submit(submission, "kuberay", settings).attempt.name == "defects-1-2"


def test_the_log_is_that_of_the_newest_submitter_pod(api: KubeApi, backend: KubeRayBackend, job: Job) -> None:
    assert list(backend.logs(job.name, follow=True)) == []
    backend.submit(job)
    api.add_pod("old", job.name, created="2026-11-22T00:00:00Z")
    api.add_pod("new", job.name)
    api.add_pod("not-yet", job.name, phase="Pending", created="2026-11-24T00:00:00Z")

    assert "".join(backend.logs(job.name, follow=True)) == "first line\nsecond line\n"
    assert api.asked[-1] == "GET /api/v1/namespaces/augment/pods/new/log"


def test_following_waits_for_a_pod_that_has_not_begun(
    api: KubeApi, settings: KubeRaySettings, job: Job
) -> None:
    backend = KubeRayBackend(settings, clock=Clock(sleep=lambda _: api.add_pod("pod", job.name)))
    backend.submit(job)

    assert "".join(backend.logs(job.name, follow=True)).startswith("first line")


@pytest.mark.parametrize(
    ("fault", "kind", "named"),
    [
        (
            (403, "may not create rayjobs"),
            ConfigError,
            "create RayJob defects-1 in namespace augment: may not",
        ),
        ((422, "spec.entrypoint: Invalid value"), ConfigError, "refuses .*spec.entrypoint: Invalid value"),
        ((404, "namespaces augment not found"), ConfigError, "is there a namespace augment?"),
        ((429, "too many requests"), RetryLaterError, "too many requests"),
        ((503, "etcd is busy"), RetryLaterError, "etcd is busy"),
    ],
)
def test_a_refusal_says_what_was_refused_and_whether_to_try_again(
    api: KubeApi,
    backend: KubeRayBackend,
    job: Job,
    fault: tuple[int, str],
    kind: type[AugmentError],
    named: str,
) -> None:
    api.faults = [fault]

    with pytest.raises(kind, match=named):
        backend.submit(job)


def test_what_can_be_retried_is_retried(
    api: KubeApi, settings: KubeRaySettings, submission: Submission, watch: Watch, tmp_path: Path
) -> None:
    api.faults = [(503, "etcd is busy"), (500, "leader changed")]

    Desk(open_store(str(tmp_path / "out")), clock=watch.clock()).submit(submission, "kuberay", settings)

    assert list(api.objects) == ["defects-1"]
    assert watch.slept == [1, 2]


def test_a_cluster_without_kuberay_is_named_as_such(api: KubeApi, backend: KubeRayBackend, job: Job) -> None:
    api.has_crd = False

    for call in (lambda: backend.submit(job), lambda: backend.status(job.name)):
        with pytest.raises(ConfigError, match="install KubeRay"):
            call()


def test_no_access_is_the_user_s_error_and_tells_no_token(
    api: KubeApi, backend: KubeRayBackend, job: Job
) -> None:
    api.write_kubeconfig("wrong-canary")

    with pytest.raises(ConfigError, match="log in again") as caught:
        backend.submit(job)

    assert "canary" not in str(caught.value)
    assert api.objects == {}


def test_a_server_that_is_gone_is_tried_later(
    api: KubeApi, settings: KubeRaySettings, tmp_path: Path
) -> None:
    other = KubeApi(tmp_path)
    other.close()

    with pytest.raises(RetryLaterError, match="does not answer") as caught:
        KubeRayBackend(settings).status("defects-1")

    assert TOKEN not in str(caught.value)


def test_a_kubeconfig_that_is_not_there_is_named(settings: KubeRaySettings) -> None:
    nowhere = settings.model_copy(update={"kubeconfig": "/nowhere/kubeconfig"})

    with pytest.raises(ConfigError, match="/nowhere/kubeconfig"):
        KubeRayBackend(nowhere).status("defects-1")

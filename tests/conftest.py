"""Fixtures that several rooms' tests share. Nothing is set globally: a fixture that sets, undoes."""

from __future__ import annotations

import os
import uuid
from collections.abc import Iterator
from pathlib import Path

import hypothesis
import pytest
from moto.server import ThreadedMotoServer

from tests.servers import SeaweedServer, client_env

# Machines are shared: no test asserts a time, and an example's deadline is one.
hypothesis.settings.register_profile("no-deadline", deadline=None)
hypothesis.settings.load_profile("no-deadline")


if "PYTEST_XDIST_WORKER" in os.environ:
    os.environ.setdefault("OMP_NUM_THREADS", "1")  # a worker has a core, not the machine


def pytest_collection_modifyitems(items: list[pytest.Item]) -> None:
    """The long files first, which wait for Ray's processes: short ones then fill up the end of every process."""
    items.sort(key=lambda item: not {"pipelines", "benchmarks"} & set(item.path.parts))


@pytest.fixture(scope="session", autouse=True)
def croissant_cache(tmp_path_factory: pytest.TempPathFactory) -> Iterator[None]:
    """mlcroissant keeps what it extracted by the archive's name, for ever: not beside an earlier run's."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("CROISSANT_CACHE", str(tmp_path_factory.mktemp("croissant")))
        yield


@pytest.fixture(scope="session")
def seaweed(tmp_path_factory: pytest.TempPathFactory) -> Iterator[SeaweedServer]:
    """A SeaweedFS server, started when the first test asks for it."""
    server = SeaweedServer(tmp_path_factory.mktemp("seaweed"))
    yield server
    server.close()


@pytest.fixture(scope="session")
def ray_and_s3(seaweed: SeaweedServer) -> Iterator[SeaweedServer]:
    """The one Ray instance, on this machine, its workers with the S3 server's credentials in their environment."""
    import ray

    from pipelines.cluster import local_ray

    before = dict(os.environ)
    os.environ.update(seaweed.env)
    seaweed.create_bucket("jobs")
    ray.init(
        address="local", num_cpus=2, include_dashboard=False, log_to_driver=False, logging_level="error",
        _system_config=local_ray(),
    )  # fmt: skip
    yield seaweed
    ray.shutdown()
    os.environ.clear()
    os.environ.update(before)


@pytest.fixture(scope="session")
def moto_endpoint() -> Iterator[str]:
    """The endpoint of a moto server: quick, but it takes any credentials."""
    server = ThreadedMotoServer(ip_address="127.0.0.1", port=0, verbose=False)
    server.start()
    host, port = server.get_host_and_port()
    yield f"http://{host}:{port}"
    server.stop()


@pytest.fixture
def s3_uri(seaweed: SeaweedServer, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty prefix on SeaweedFS; while the test runs, AWS_* point there."""
    seaweed.create_bucket("bucket-x")
    set_aws(monkeypatch, seaweed.env)
    return f"s3://bucket-x/{uuid.uuid4().hex}"


@pytest.fixture
def moto_uri(moto_endpoint: str, monkeypatch: pytest.MonkeyPatch) -> str:
    """An empty prefix on moto; while the test runs, AWS_* point there."""
    import boto3

    set_aws(monkeypatch, client_env(moto_endpoint, "moto", "moto"))
    boto3.session.Session().client("s3").create_bucket(Bucket="bucket-x")
    return f"s3://bucket-x/{uuid.uuid4().hex}"


@pytest.fixture(params=["memory", "local", "moto", "seaweedfs"])
def store_uri(request: pytest.FixtureRequest, tmp_path: Path) -> str:
    """An empty store of every kind, one after another."""
    if request.param == "memory":
        return f"memory://{uuid.uuid4().hex}/some/prefix"
    if request.param == "local":
        return str(tmp_path / "store")
    fixture = {"moto": "moto_uri", "seaweedfs": "s3_uri"}[request.param]
    uri: str = request.getfixturevalue(fixture)
    return uri


def set_aws(monkeypatch: pytest.MonkeyPatch, env: dict[str, str]) -> None:
    """Point the standard AWS variables at one server, and nothing else."""
    for name in ("AWS_PROFILE", "AWS_SESSION_TOKEN", "AWS_ENDPOINT_URL_S3", "HTTP_PROXY", "http_proxy"):
        monkeypatch.delenv(name, raising=False)
    monkeypatch.setenv("NO_PROXY", "127.0.0.1,localhost")
    for name, value in env.items():
        monkeypatch.setenv(name, value)

"""Lineage events by the real library, to a real HTTP server on loopback and to a file: what a catalogue is told."""

from __future__ import annotations

import json
import os
import sys
import threading
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, HTTPServer
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from augment.config import Config, load_config
from augment.errors import ConfigError, PartialError
from augment.objects import open_store
from pipelines.lineage import dataset_name, lineage_of
from pipelines.progress import log
from tests.store.helpers import commit, tiny_run

FINGERPRINT = "ab" * 32
RUN = tiny_run(source_fingerprint=FINGERPRINT)
KEY = "canary-of-the-catalogue"


class Catalogue:
    """Takes events as Marquez does; `status` is what it answers."""

    def __init__(self) -> None:
        self.events: list[dict[str, Any]] = []
        self.paths: list[str] = []
        self.authorizations: list[str | None] = []
        self.status = 201
        catalogue = self

        class Handler(BaseHTTPRequestHandler):
            def do_POST(self) -> None:
                body = self.rfile.read(int(self.headers["Content-Length"]))
                catalogue.paths.append(self.path)
                catalogue.authorizations.append(self.headers.get("Authorization"))
                catalogue.events.append(json.loads(body))
                self.send_response(catalogue.status)
                self.send_header("Content-Length", "0")
                self.end_headers()

            def log_message(self, *args: object) -> None:
                pass

        self._server = HTTPServer(("127.0.0.1", 0), Handler)
        self.url = f"http://127.0.0.1:{self._server.server_port}"
        self._thread = threading.Thread(target=self._server.serve_forever, kwargs={"poll_interval": 0.01})
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._thread.join()
        self._server.server_close()


@pytest.fixture
def catalogue() -> Iterator[Catalogue]:
    server = Catalogue()
    yield server
    server.close()


@pytest.fixture(autouse=True)
def _nothing_said_before(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(log, "propagate", True)  # to where its warnings are looked for
    monkeypatch.chdir(tmp_path)  # the library looks for its own file there
    monkeypatch.setenv("HOME", str(tmp_path))
    for name in list(os.environ):
        if name.startswith("OPENLINEAGE"):
            monkeypatch.delenv(name)


def config_of(folder: Path, **report: str) -> Config:
    path = folder / "job.yaml"
    path.write_text(f"name: shoes\nsource: {{uri: {folder / 'train'}}}\noutput: {{uri: {folder / 'out'}}}\n")
    return load_config(path, [f"report.{name}={value}" for name, value in report.items()])


def committed(config: Config) -> Any:
    """What the run of RUN's plan comes to, in the dataset."""
    return SimpleNamespace(run_id=RUN.run_id, version=commit(open_store(config.output.uri), RUN).version)


def test_a_run_that_is_committed_is_told_with_what_went_in_and_out(
    catalogue: Catalogue, tmp_path: Path
) -> None:
    config = config_of(tmp_path, openlineage=catalogue.url)

    with lineage_of(config, "run") as made:
        assert [event["eventType"] for event in catalogue.events] == ["START"]
        made(committed(config))

    start, complete = catalogue.events
    assert catalogue.paths == ["/api/v1/lineage"] * 2
    assert (start["eventType"], complete["eventType"]) == ("START", "COMPLETE")
    assert start["run"]["runId"] == complete["run"]["runId"]
    assert complete["job"]["namespace"] == "augment"
    assert complete["job"]["name"] == "shoes.run"
    assert complete["producer"].startswith("urn:ray-augment:")
    (source,), (dataset,) = complete["inputs"], complete["outputs"]
    assert (source["namespace"], source["name"]) == ("file", str(tmp_path / "train"))
    assert source["facets"]["version"]["datasetVersion"] == FINGERPRINT
    assert source["inputFacets"]["inputStatistics"]["rowCount"] == 16
    assert (dataset["namespace"], dataset["name"]) == ("file", str(tmp_path / "out"))
    assert dataset["facets"]["version"]["datasetVersion"] == "1"
    told = dataset["outputFacets"]["outputStatistics"]
    assert (told["rowCount"], told["fileCount"]) == (11, 3)
    assert told["size"] == sum(path.stat().st_size for path in (tmp_path / "out/data").rglob("*.parquet"))
    assert "version" not in start["outputs"][0]["facets"]


@pytest.mark.parametrize(
    ("raised", "kind", "message"),
    [
        (
            PartialError("no answer from s3://bob:hunter2@example.org/b"),
            "FAIL",
            "no answer from s3://***@example.org/b",
        ),
        (ValueError(), "FAIL", "ValueError"),
        (KeyboardInterrupt(), "ABORT", None),
    ],
)
def test_a_run_that_fails_or_is_stopped_is_told_without_secrets(
    catalogue: Catalogue, tmp_path: Path, raised: BaseException, kind: str, message: str | None
) -> None:
    with pytest.raises(type(raised)), lineage_of(config_of(tmp_path, openlineage=catalogue.url), "run"):
        raise raised

    end = catalogue.events[-1]
    assert end["eventType"] == kind
    assert end["run"]["facets"].get("errorMessage", {}).get("message") == message


def test_a_file_gets_an_event_a_line_and_keeps_those_before(tmp_path: Path) -> None:
    config = config_of(tmp_path, openlineage=str(tmp_path / "lineage.jsonl"))

    for _ in range(2):
        with lineage_of(config, "generate") as made:
            made(SimpleNamespace(run_id=None, version=None))  # type: ignore[arg-type] # every class was full

    events = [json.loads(line) for line in (tmp_path / "lineage.jsonl").read_text().splitlines()]
    assert [event["eventType"] for event in events] == ["START", "COMPLETE"] * 2
    assert len({event["run"]["runId"] for event in events}) == 2


def test_the_library_s_own_variables_are_heeded_and_the_key_is_in_no_event(
    catalogue: Catalogue, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("OPENLINEAGE_API_KEY", KEY)
    monkeypatch.setenv("OPENLINEAGE_NAMESPACE", "vision")
    with lineage_of(config_of(tmp_path, openlineage=catalogue.url), "run"):
        pass
    monkeypatch.setenv("OPENLINEAGE_URL", catalogue.url)
    with lineage_of(config_of(tmp_path), "run"):
        pass

    assert catalogue.authorizations == [f"Bearer {KEY}"] * 4
    assert {event["job"]["namespace"] for event in catalogue.events} == {"vision"}
    assert KEY not in json.dumps(catalogue.events)


def test_without_any_setting_nobody_is_told_and_the_library_is_not_imported(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    with lineage_of(config_of(tmp_path), "run") as made:
        assert made("result") == "result"  # type: ignore[arg-type,comparison-overlap]
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    monkeypatch.setenv("OPENLINEAGE_DISABLED", "true")
    with lineage_of(config_of(tmp_path), "run"):
        pass


def test_without_the_library_the_extra_is_named(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setitem(sys.modules, "openlineage.client", None)
    with (
        pytest.raises(ConfigError, match=r"ray-augment\[lineage\]"),
        lineage_of(config_of(tmp_path, openlineage="http://127.0.0.1:9"), "run"),
    ):
        raise AssertionError("begun")
    monkeypatch.setenv("OPENLINEAGE_URL", "http://127.0.0.1:9")
    with lineage_of(config_of(tmp_path), "run"):
        pass
    assert "ray-augment[lineage]" in caplog.text


@pytest.mark.parametrize("status", [500, 403])
def test_a_catalogue_that_refuses_is_warned_of_and_the_run_goes_on(
    catalogue: Catalogue, tmp_path: Path, caplog: pytest.LogCaptureFixture, status: int
) -> None:
    catalogue.status = status
    with lineage_of(config_of(tmp_path, openlineage=catalogue.url), "run"):
        pass

    warnings = [record.getMessage() for record in caplog.records if record.name == "augment"]
    assert [text[:26] for text in warnings] == ["lineage: START is not told", "lineage: COMPLETE is not t"]


def test_a_file_that_cannot_be_written_is_warned_of(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    with lineage_of(config_of(tmp_path, openlineage=str(tmp_path)), "run"):
        pass
    assert "lineage: START is not told" in caplog.text


def test_a_password_in_the_catalogue_s_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds credentials") as caught:
        config_of(tmp_path, openlineage="https://bob:hunter2@example.org")
    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize(
    ("uri", "name"),
    [
        ("s3://bucket/a/b/", ("s3://bucket", "a/b")),
        ("s3://bucket", ("s3://bucket", "/")),
        ("/data/a", ("file", "/data/a")),
        ("file:///data/a", ("file", "/data/a")),
        ("demo://fashion-mnist-lt", ("demo://fashion-mnist-lt", "/")),
    ],
)
def test_places_have_openlineage_s_names(uri: str, name: tuple[str, str]) -> None:
    assert dataset_name(uri) == name

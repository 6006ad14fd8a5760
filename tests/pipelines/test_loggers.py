"""Finished runs in TensorBoard and MLflow, by the real libraries: what the report says is what they are told."""

from __future__ import annotations

import re
import sys
from pathlib import Path

import numpy as np
import pytest
from tensorboard.backend.event_processing.event_accumulator import EventAccumulator

from augment.config import Config, load_config
from augment.errors import ConfigError
from augment.objects import ObjectStore
from augment.store.reading import Dataset
from pipelines.loggers import figures_of, log_run
from pipelines.reporting import PutReport, put_report
from tests.report.html.test_gathering import with_evidence
from tests.report.runs import newest
from tests.store.helpers import encode


def config_of(folder: Path, *fields: str) -> Config:
    path = folder / "job.yaml"
    path.write_text(f"source: {{uri: {folder / 'train'}}}\noutput: {{uri: {folder / 'out'}}}\n")
    return load_config(path, fields)


@pytest.fixture(scope="module")
def reported() -> tuple[Dataset, str, PutReport]:
    dataset = with_evidence()
    run_id = newest(dataset).plan.run_id
    picture = encode(np.full((8, 8, 3), 200, np.uint8), "png")
    dataset.store.put(f"_runs/{run_id}/contact_sheet.png", picture)
    return dataset, run_id, put_report(dataset.store, 1, run_id)


def test_figures_have_names_and_are_those_of_the_report(reported: tuple[Dataset, str, PutReport]) -> None:
    document = reported[2].document
    figures = dict(figures_of(document))
    assert figures["balance/synthetic"] == 8
    assert figures["gates/refused by label"] == 4
    assert document.metrics is not None
    assert document.metrics.overall is not None
    assert figures["FID/all classes"] == document.metrics.overall[0].value
    assert figures["FID floor/down"] == document.metrics.rows[0].cells[0].floor
    assert figures["synthetic by class/both"] == 4
    assert len(figures) == len(list(figures_of(document)))


def test_nobody_is_told_unless_the_config_names_them(
    reported: tuple[Dataset, str, PutReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    dataset, run_id, report = reported
    log_run(config_of(tmp_path), dataset.store, run_id, report)
    assert [path.name for path in tmp_path.iterdir()] == ["job.yaml"]


def test_tensorboard_has_every_figure_once_though_it_was_logged_twice(
    reported: tuple[Dataset, str, PutReport], tmp_path: Path
) -> None:
    dataset, run_id, report = reported
    config = config_of(tmp_path, f"report.tensorboard={tmp_path / 'curves'}")
    for _ in range(2):
        log_run(config, dataset.store, run_id, report)
    events = EventAccumulator(str(tmp_path / "curves" / f"augment-{run_id}")).Reload()
    figures = dict(figures_of(report.document))
    assert len(events.Tags()["scalars"]) == len(figures)
    for name in ("FID/all classes", "gates/drawn"):
        (event,) = events.Scalars(name)
        assert event.value == pytest.approx(figures[name])
    assert events.Tags()["images"] == ["contact sheet"]


def test_a_folder_that_cannot_be_written_is_named_and_the_committed_run_is_none_the_worse(
    reported: tuple[Dataset, str, PutReport], tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "file").touch()
    config = config_of(tmp_path, f"report.tensorboard={tmp_path / 'file'}")
    log_run(config, *_arguments(reported))
    (warning,) = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
    assert re.search(r"report\.tensorboard=.*can't be written to.*the run is committed", warning)


def test_a_password_in_mlflows_address_is_refused_and_not_repeated(tmp_path: Path) -> None:
    with pytest.raises(ConfigError, match="holds credentials") as caught:
        config_of(tmp_path, "report.mlflow=https://bob:hunter2@example.org")
    assert "hunter2" not in str(caught.value)


@pytest.mark.filterwarnings("ignore::DeprecationWarning:mlflow", "ignore::DeprecationWarning:sqlalchemy")
@pytest.mark.filterwarnings(
    "ignore:The ``noload`` loader strategy:DeprecationWarning"
)  # MLflow's own, in SQLAlchemy
def test_mlflow_has_the_config_the_figures_and_the_report_of_a_run_once(
    reported: tuple[Dataset, str, PutReport], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.chdir(tmp_path)  # where MLflow puts artefacts, beside a database in a file
    mlflow = pytest.importorskip("mlflow")
    pytest.importorskip("sqlalchemy")
    where = f"sqlite:///{tmp_path / 'mlflow.db'}"
    config = config_of(tmp_path, f"report.mlflow={where}", "report.mlflow_experiment=shoes")
    for _ in range(2):
        log_run(config, *_arguments(reported))
    client = mlflow.MlflowClient(tracking_uri=where)
    experiment = client.get_experiment_by_name("shoes")
    (run,) = client.search_runs([experiment.experiment_id])
    assert run.info.status == "FINISHED"
    assert run.data.tags["augment.run_id"] == reported[1]
    assert run.data.params["balance.strategy"] == config.balance.strategy
    figures = dict(figures_of(reported[2].document))
    assert run.data.metrics["FID/all classes"] == pytest.approx(figures["FID/all classes"])
    assert run.data.metrics["KID _ 1_000/down"] == pytest.approx(figures["KID × 1,000/down"])
    assert {file.path for file in client.list_artifacts(run.info.run_id)} == {"report.html", "report.json"}


def test_without_mlflow_the_extra_is_named(
    reported: tuple[Dataset, str, PutReport],
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    monkeypatch.setitem(sys.modules, "mlflow", None)
    log_run(config_of(tmp_path, "report.mlflow=sqlite:///x.db"), *_arguments(reported))
    assert "ray-augment[mlflow]" in caplog.text


def _arguments(reported: tuple[Dataset, str, PutReport]) -> tuple[ObjectStore, str, PutReport]:
    dataset, run_id, report = reported
    return dataset.store, run_id, report

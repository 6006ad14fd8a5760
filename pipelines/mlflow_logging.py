"""A finished run in MLflow: config as parameters, figures and training curves as metrics, the report as artifact.

Owns what MLflow is told, and that one run of ours is one of MLflow's: it is found again by its tag. The library is
an extra, `ray-augment[mlflow]`; credentials are its own affair, by its environment variables.
"""

import json
import re
import time
from collections.abc import Iterator, Mapping
from typing import TYPE_CHECKING, Any

from augment.config import Config, config_to_dict
from augment.errors import ConfigError
from augment.objects import ObjectStore
from augment.redaction import redact
from augment.report.html.evidence import TrainingCurves
from pipelines.loggers import figures_of
from pipelines.reporting import PutReport

if TYPE_CHECKING:
    from mlflow import MlflowClient

__all__ = ["log_to_mlflow"]

_TAG = "augment.run_id"
_MOST_A_CALL = 1_000  # metrics; MLflow takes no more at once
_MOST_PARAMS = 100  # at once
_LONGEST_PARAM = 6_000


def log_to_mlflow(config: Config, store: ObjectStore, run_id: str, report: PutReport) -> str:
    """MLflow's id of the run. A run that was logged before is not logged twice.

    Raises ConfigError where MLflow is not installed, or its server says no.
    """
    try:
        from mlflow import MlflowClient
        from mlflow.exceptions import MlflowException
    except ImportError as error:
        raise ConfigError(
            "report.mlflow needs MLflow, which is not installed; pip install 'ray-augment[mlflow]', or set it to null"
        ) from error
    assert config.report.mlflow is not None  # noqa: S101  # the caller looked
    try:
        client = MlflowClient(tracking_uri=config.report.mlflow)
        return _log(client, config, store, run_id, report)
    except MlflowException as error:
        where = redact(config.report.mlflow)
        raise ConfigError(f"report.mlflow={where}: {redact(str(error))}") from error


def _log(client: "MlflowClient", config: Config, store: ObjectStore, run_id: str, report: PutReport) -> str:
    experiment = _experiment(client, config.report.mlflow_experiment)
    known = client.search_runs([experiment], filter_string=f"tags.`{_TAG}` = '{run_id}'", max_results=1)
    if known and known[0].info.status == "FINISHED":
        return str(known[0].info.run_id)
    tags = {_TAG: run_id, "augment.uri": redact(store.uri)}
    run = known[0] if known else client.create_run(experiment, run_name=f"{config.name}-{run_id}", tags=tags)
    name = str(run.info.run_id)
    _log_params(client, name, config_to_dict(config))
    _log_metrics(client, name, report)
    client.log_text(name, report.html.decode(), "report.html")
    client.log_text(name, report.document.to_json().decode(), "report.json")
    client.set_terminated(name)
    return name


def _experiment(client: "MlflowClient", name: str) -> str:
    found = client.get_experiment_by_name(name)
    return str(found.experiment_id if found is not None else client.create_experiment(name))


def _log_params(client: "MlflowClient", run: str, config: Mapping[str, Any]) -> None:
    from mlflow.entities import Param

    params = [Param(key, value[:_LONGEST_PARAM]) for key, value in _flat(config)]
    for first in range(0, len(params), _MOST_PARAMS):
        client.log_batch(run, params=params[first : first + _MOST_PARAMS])


def _flat(values: Mapping[str, Any], prefix: str = "") -> Iterator[tuple[str, str]]:
    """Fields by their dotted names; what is itself a map, or a list, of the user's as JSON."""
    for key, value in values.items():
        if prefix == "" and isinstance(value, dict):
            yield from _flat(value, f"{key}.")
        else:
            text = value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
            yield prefix + key, redact(text)


def _log_metrics(client: "MlflowClient", run: str, report: PutReport) -> None:
    from mlflow.entities import Metric

    now_ms, document = int(time.time() * 1000), report.document
    step = document.provenance.model.steps if document.provenance and document.provenance.model else 0
    metrics = [Metric(_metric_name(name), value, now_ms, step) for name, value in figures_of(document)]
    if document.training is not None:
        metrics += [
            Metric(_metric_name(name), value, now_ms, at) for name, at, value in _points(document.training)
        ]
    for first in range(0, len(metrics), _MOST_A_CALL):
        client.log_batch(run, metrics=metrics[first : first + _MOST_A_CALL])


def _points(training: TrainingCurves) -> Iterator[tuple[str, int, float]]:
    for panel in training.panels:
        for curve in panel.curves:
            for step, value in zip(curve.steps, curve.values, strict=True):
                yield f"training/{curve.name}", step, value


def _metric_name(name: str) -> str:
    """Of a name in words one that MLflow takes: letters, digits and `_-. /`."""
    return re.sub(r"[^\w\-. /]", "_", name)[:250]

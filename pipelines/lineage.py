"""A run for lineage catalogues, by the open standard OpenLineage: START, and COMPLETE, FAIL or ABORT; what went in and out.

Owns what is told: the source with its fingerprint as its version, the dataset with its own, and how much of each. Who is
told is `report.openlineage`, or what the library's own environment variables say (OPENLINEAGE_URL, OPENLINEAGE_API_KEY,
OPENLINEAGE_CONFIG, OPENLINEAGE__TRANSPORT__…); without either nobody is. The library is an extra,
`ray-augment[lineage]`. A catalogue that does not answer is warned of, and the run goes on.
"""

from __future__ import annotations

import importlib.metadata
import os
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any
from urllib.parse import urlsplit

from augment.config import Config
from augment.errors import AugmentError, ConfigError
from augment.objects import ObjectStore, open_store
from augment.redaction import redact
from augment.store.records import read_manifest, read_plan
from augment.types import Manifest, RunPlan
from pipelines.progress import log

if TYPE_CHECKING:
    from openlineage.client import OpenLineageClient
    from openlineage.client.event_v2 import InputDataset, OutputDataset, RunEvent

    from pipelines.job import RunResult

__all__ = ["dataset_name", "lineage_of"]

INSTALL = "needs the OpenLineage client, which is not installed; pip install 'ray-augment[lineage]'"

_FAILURES = (
    OSError,
    RuntimeError,
    ValueError,
)  # of its transports: no answer, a file that can't be written, a wrong URL
_RETRIES = {"total": 2, "connect": 2, "read": 2}  # a run does not wait long for a catalogue
_LONGEST_TEXT = 2_000


@contextmanager
def lineage_of(config: Config, command: str) -> Iterator[Callable[[RunResult], RunResult]]:
    """Tell the catalogue, if there is one, that the body begins, and how it ends; the body hands over what it made.

    Raises ConfigError where `report.openlineage` is set, and the library is missing or the place is none.
    """
    client = _client(config)
    if client is None:
        yield lambda result: result
        return
    teller, made = _Teller(client, config, command), []

    def hand_over(result: RunResult) -> RunResult:
        made.append(result)
        return result

    teller.tell("START")
    try:
        yield hand_over
    except KeyboardInterrupt:
        teller.tell("ABORT")
        raise
    except BaseException as error:
        teller.tell("FAIL", error=error)
        raise
    else:
        teller.tell("COMPLETE", result=made[-1] if made else None)
    finally:
        client.close(timeout=5.0)


class _Teller:
    """Makes and sends the events of one run."""

    def __init__(self, client: OpenLineageClient, config: Config, command: str) -> None:
        from openlineage.client.generated.base import set_producer
        from openlineage.client.uuid import generate_new_uuid

        set_producer(f"urn:ray-augment:{importlib.metadata.version('ray-augment')}")
        self._client, self._config, self._command = client, config, command
        self._store = open_store(config.output.uri)
        self._run_id = str(generate_new_uuid())

    def tell(self, kind: str, *, result: RunResult | None = None, error: BaseException | None = None) -> None:
        """Send one event; one that can't be made or sent is warned of."""
        try:
            self._client.emit(self._event(kind, result, error))
        except (AugmentError, *_FAILURES) as failure:
            log.warning("lineage: %s is not told: %s", kind, redact(str(failure)))

    def _event(self, kind: str, result: RunResult | None, error: BaseException | None) -> RunEvent:
        from openlineage.client.event_v2 import Job, Run, RunEvent, RunState

        plan = manifest = None
        if result is not None and result.run_id is not None and result.version is not None:
            plan = read_plan(self._store, result.run_id).record
            manifest = read_manifest(self._store, result.run_id).record
        return RunEvent(
            eventType=RunState[kind],
            eventTime=datetime.now(timezone.utc).isoformat(timespec="milliseconds"),
            run=Run(self._run_id, facets=_run_facets(error)),
            job=Job(
                namespace=os.environ.get("OPENLINEAGE_NAMESPACE") or "augment",
                name=f"{self._config.name}.{self._command}",
                facets=_job_facets(),
            ),
            inputs=_inputs(self._config, plan),
            outputs=[_output(self._store, manifest, result.version if result is not None else None)],
        )


def dataset_name(uri: str) -> tuple[str, str]:
    """Namespace and name of a place, by OpenLineage's naming: `("s3://bucket", "a/b")`, `("file", "/data/a")`."""
    parts = urlsplit(uri)
    if parts.scheme in ("", "file"):
        return "file", str(Path(parts.path if parts.scheme else uri).absolute())
    return f"{parts.scheme}://{parts.netloc}", parts.path.strip("/") or "/"


def _client(config: Config) -> OpenLineageClient | None:
    """For whoever is to be told; None for nobody."""
    place = config.report.openlineage
    if place is None and not _asked_by_environment():
        return None
    try:
        from openlineage.client import OpenLineageClient
    except ImportError as error:
        if place is None:
            log.warning(
                "lineage: the environment's OPENLINEAGE_… %s, or unset it; nobody is told of this run",
                INSTALL,
            )
            return None
        raise ConfigError(f"report.openlineage {INSTALL}, or set it to null") from error
    try:
        return OpenLineageClient(config={"transport": _transport(place)} if place is not None else None)
    except _FAILURES as error:
        raise ConfigError(f"report.openlineage={redact(place or 'null')}: {redact(str(error))}") from error


def _asked_by_environment() -> bool:
    if os.environ.get("OPENLINEAGE_DISABLED", "").strip().lower() == "true":
        return False
    return any(
        name in ("OPENLINEAGE_URL", "OPENLINEAGE_CONFIG") or name.startswith("OPENLINEAGE__TRANSPORT")
        for name, value in os.environ.items()
        if value
    )


def _transport(place: str) -> dict[str, Any]:
    """The library's settings for a URL, with the key that its environment variable holds, or for a file to add to."""
    if "://" not in place:
        return {"type": "file", "log_file_path": place, "append": True}
    key = os.environ.get("OPENLINEAGE_API_KEY")
    auth = {"auth": {"type": "api_key", "apiKey": key}} if key else {}
    return {"type": "http", "url": place, "retry": _RETRIES, **auth}


def _inputs(config: Config, plan: RunPlan | None) -> list[InputDataset]:
    """The source; its fingerprint and its size, once they are in a plan."""
    from openlineage.client.event_v2 import InputDataset
    from openlineage.client.facet_v2 import (
        dataset_version_dataset,
        datasource_dataset,
        input_statistics_input_dataset,
    )

    uris, inputs = config.source.uris, []
    for uri in uris:
        namespace, name = dataset_name(uri)
        facets: dict[str, Any] = {
            "dataSource": datasource_dataset.DatasourceDatasetFacet(name=namespace, uri=redact(uri))
        }
        sizes: dict[str, Any] = {}
        if plan is not None and plan.source_fingerprint is not None:
            facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(plan.source_fingerprint)
        if plan is not None and len(uris) == 1:
            rows = sum(target.real for target in plan.plan.classes)
            sizes["inputStatistics"] = input_statistics_input_dataset.InputStatisticsInputDatasetFacet(
                rowCount=rows
            )
        inputs.append(InputDataset(namespace, name, facets=facets, inputFacets=sizes))
    return inputs


def _output(store: ObjectStore, manifest: Manifest | None, version: int | None) -> OutputDataset:
    """The dataset; its version and what the run added to it, once it is committed."""
    from openlineage.client.event_v2 import OutputDataset
    from openlineage.client.facet_v2 import (
        dataset_version_dataset,
        datasource_dataset,
        output_statistics_output_dataset,
    )

    namespace, name = dataset_name(store.uri)
    facets: dict[str, Any] = {
        "dataSource": datasource_dataset.DatasourceDatasetFacet(name=namespace, uri=redact(store.uri))
    }
    sizes: dict[str, Any] = {}
    if version is not None:
        facets["version"] = dataset_version_dataset.DatasetVersionDatasetFacet(str(version))
    if manifest is not None:
        sizes["outputStatistics"] = output_statistics_output_dataset.OutputStatisticsOutputDatasetFacet(
            rowCount=sum(shard.rows for shard in manifest.shards),
            size=sum(shard.size_bytes for shard in manifest.shards),
            fileCount=len(manifest.shards),
        )
    return OutputDataset(namespace, name, facets=facets, outputFacets=sizes)


def _run_facets(error: BaseException | None) -> dict[str, Any]:
    from openlineage.client.facet_v2 import error_message_run, processing_engine_run

    version = importlib.metadata.version("ray-augment")
    facets: dict[str, Any] = {
        "processing_engine": processing_engine_run.ProcessingEngineRunFacet(
            version=importlib.metadata.version("ray"), name="ray", openlineageAdapterVersion=version
        )
    }
    if error is not None:
        text = redact(str(error) or type(error).__name__)[:_LONGEST_TEXT]
        facets["errorMessage"] = error_message_run.ErrorMessageRunFacet(text, programmingLanguage="python")
    return facets


def _job_facets() -> dict[str, Any]:
    from openlineage.client.facet_v2 import job_type_job

    kind = job_type_job.JobTypeJobFacet(processingType="BATCH", integration="AUGMENT", jobType="JOB")
    return {"jobType": kind}

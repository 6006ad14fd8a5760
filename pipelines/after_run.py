"""What follows a commit: fidelity is measured, the report made, the card written anew, and loggers told.

Owns this order, and what a new recommendation changes in it. Everything here can be made again by the same command; the
samples are committed already.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from augment.config import Config
from augment.errors import AugmentError
from augment.objects import ObjectStore
from augment.report.neighbours import has_neighbours
from augment.store.models import GatesRecord, ModelFolder
from augment.store.records import latest_snapshot
from pipelines.describing import describe_newest
from pipelines.loggers import log_run
from pipelines.progress import Progress, log
from pipelines.reporting import put_report

if TYPE_CHECKING:
    from pipelines.cluster import Cluster
    from pipelines.ingest import DecodedImages

__all__ = ["report_run", "show_advice"]


def report_run(
    config: Config,
    folder: ModelFolder,
    version: int,
    run_id: str,
    images: Callable[[], DecodedImages],
    gates: GatesRecord | None,
    *,
    cluster: Callable[[], Cluster],
    progress: Progress,
) -> str:
    """The URI of the report of a committed run; `images` and `cluster` are asked for only to measure."""
    to_measure = config.report.fidelity and not has_neighbours(folder.store, run_id)
    if to_measure:
        from pipelines.fidelity import measure_run

        measure_run(config, folder, version, run_id, images, gates, cluster=cluster, progress=progress)
    with progress.stage("report"):
        report = put_report(folder.store, version, run_id)
        if to_measure:  # the card was written when the version was made, so that it is there whatever happens
            describe_newest(folder.store.uri)
        log_run(config, folder.store, run_id, report)
    return folder.store.uri_of(report.key)


def show_advice(store: ObjectStore, progress: Progress) -> None:
    """Card and report of the newest run with the recommendation that was stored just now; nothing where no run is
    published. What hinders it is told: the recommendation stands.
    """
    latest = latest_snapshot(store)
    if latest is None or not latest.record.runs:
        return
    try:
        with progress.stage("report"):
            describe_newest(store.uri)
            put_report(store, latest.record.version, latest.record.runs[-1].run_id)
    except AugmentError as error:
        log.warning("report: not made anew: %s; the recommendation is stored all the same", error)

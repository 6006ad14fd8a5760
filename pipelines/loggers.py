"""Who else is told of a finished run: MLflow and TensorBoard, where the config names them.

Owns which there are, and what they are told: the figures of the report, flat and by name.
"""

from collections.abc import Iterator

from augment.config import Config
from augment.errors import AugmentError
from augment.objects import ObjectStore
from augment.report.html.document import ReportDocument
from pipelines.progress import log
from pipelines.reporting import PutReport

__all__ = ["figures_of", "log_run"]


def log_run(config: Config, store: ObjectStore, run_id: str, report: PutReport) -> None:
    """Tell those that `report.mlflow` and `report.tensorboard` name.

    The run is committed by now: one that can't be told is warned of, and the same command tells it again.
    """
    for tell in (_tell_tensorboard, _tell_mlflow):
        try:
            tell(config, store, run_id, report)
        except AugmentError as error:
            log.warning("report: %s; the run is committed: run the same command again to log it", error)


def _tell_tensorboard(config: Config, store: ObjectStore, run_id: str, report: PutReport) -> None:
    if config.report.tensorboard is not None:
        from pipelines.tensorboard_logging import log_to_tensorboard

        where = log_to_tensorboard(config, store, run_id, report)
        log.info("report: figures of run %s for TensorBoard are in %s", run_id, where)


def _tell_mlflow(config: Config, store: ObjectStore, run_id: str, report: PutReport) -> None:
    if config.report.mlflow is not None:
        from pipelines.mlflow_logging import log_to_mlflow

        name = log_to_mlflow(config, store, run_id, report)
        log.info("report: run %s is MLflow's run %s", run_id, name)


def figures_of(document: ReportDocument) -> Iterator[tuple[str, float]]:
    """(name, value) of the figures over all classes, and of what each class came to; names are in words."""
    yield "balance/real", document.balance.real
    yield "balance/synthetic", document.balance.synthetic
    yield "balance/imbalance before", document.balance.imbalance_before
    yield "balance/imbalance after", document.balance.imbalance_after
    if document.gates is not None:
        overall = document.gates.overall
        yield "gates/drawn", overall.drawn
        yield "gates/accepted", overall.accepted
        yield "gates/missing", overall.missing
        refusals = zip(document.gates.gates, overall.refused, strict=True)
        yield from ((f"gates/refused by {gate}", count) for gate, count in refusals)
    if document.metrics is not None:
        yield from _fidelity(document)
    if document.memorization is not None:
        yield "near copies/generated", document.memorization.generated.share.estimate
        yield "near copies/held-out", document.memorization.heldout.share.estimate
    for one in document.balance.classes:
        yield f"synthetic by class/{one.name}", one.synthetic


def _fidelity(document: ReportDocument) -> Iterator[tuple[str, float]]:
    table, names = document.metrics, document.names
    assert table is not None  # noqa: S101  # the caller looked
    rows = [("all classes", table.overall or ())] + [(names[row.label], row.cells) for row in table.rows]
    for name, cells in rows:
        for metric, cell in zip(table.metrics if cells else (), cells, strict=True):
            if cell.value is not None:
                yield f"{metric.name}/{name}", cell.value
            if cell.floor is not None:
                yield f"{metric.name} floor/{name}", cell.floor

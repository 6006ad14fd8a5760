"""A dataset's whole report: what the dataset holds, and what lift was measured; beside each run, and for its card.

Owns where a run's report lies. How it looks is augment.report.html's.

    _runs/<run>/report.html     as the run left it, one file; report.json has every figure of it
"""

from dataclasses import dataclass

from augment.objects import ObjectStore
from augment.report.html.card_section import card_section
from augment.report.html.document import ReportDocument
from augment.report.html.gathering import TITLE, report_document_from
from augment.report.html.page import render_page
from augment.store.reading import Dataset, open_dataset

__all__ = ["PutReport", "put_report", "report_of", "section_of"]


@dataclass(frozen=True)
class PutReport:
    """A report that lies beside its run."""

    document: ReportDocument
    html: bytes
    key: str


def report_of(dataset: Dataset, *, title: str = TITLE, whole: bool = True) -> ReportDocument:
    """The report of a dataset version; not `whole` leaves out pictures and curves.

    Raises IntegrityError where stored data is damaged.
    """
    document = report_document_from(dataset, title=title, whole=whole)
    if not any(True for _ in dataset.store.list("_lift/recommendation.json")):
        return document
    from pipelines.lift_evidence import lift_evidence  # imports torch, for trials

    if (found := lift_evidence(dataset)) is None:
        return document
    return document.model_copy(update={"lift": found.lift, "recommendation": found.recommendation})


def section_of(dataset: Dataset) -> str:
    """The report's section of the dataset's card, in Markdown."""
    return card_section(report_of(dataset, whole=False))


def put_report(store: ObjectStore, version: int, run_id: str) -> PutReport:
    """Make the report of a dataset version and put it beside `run_id`, in the place of an earlier one."""
    document = report_of(open_dataset(store.uri, version))
    html, key = render_page(document).encode(), f"_runs/{run_id}/report.html"
    store.put(f"_runs/{run_id}/report.json", document.to_json())
    store.put(key, html)
    return PutReport(document, html, key)

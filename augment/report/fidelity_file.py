"""What was measured of a run's generated samples, kept beside the run.

    _runs/<run>/fidelity.json

Owns this record and its key. Imports no torch: a report is made of it anywhere.
"""

from __future__ import annotations

from typing import Literal

from augment.objects import ObjectStore
from augment.quality.report_card import ReportCard
from augment.stored_record import stored_record
from augment.types import Record

__all__ = ["FidelityRecord", "put_fidelity", "read_fidelity"]


class FidelityRecord(Record):
    """The report card of a run's generated samples, as it was measured when they were made."""

    format_version: Literal[1] = 1
    run_id: str
    examiner: Literal["gates", "judge"]
    """`gates`: the first classifier of the gates, and the real images that it has not seen are held out; `judge`:
    the classifier of the training, which has seen all: none is."""
    samples_a_class: int  # at most
    card: ReportCard


def put_fidelity(store: ObjectStore, record: FidelityRecord) -> None:
    """Keep what was measured of a run, replacing what was before."""
    store.put(_key(record.run_id), record.to_json())


def read_fidelity(store: ObjectStore, run_id: str) -> FidelityRecord | None:
    """What was measured of a run; None where nothing was. Raises IntegrityError where it is damaged."""
    return stored_record(FidelityRecord, store, _key(run_id), called="fidelity record")


def _key(run_id: str) -> str:
    return f"_runs/{run_id}/fidelity.json"

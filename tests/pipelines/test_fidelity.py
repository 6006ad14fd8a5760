"""Fidelity on real Ray: measured once for a committed run, in the eyes of the training's judge or of the gates."""

from __future__ import annotations

import shutil
from pathlib import Path

from augment.config import load_config
from augment.objects import open_store
from augment.report.fidelity_file import read_fidelity
from augment.report.html.document import ReportDocument
from augment.report.neighbours import read_neighbours
from augment.store.reading import open_dataset
from pipelines.progress import Progress
from pipelines.run import run
from tests.pipelines.conftest import Finished, keys


def test_a_committed_run_is_measured_once_and_its_report_and_card_tell(
    finished: Finished, quiet: Progress, tmp_path: Path
) -> None:
    shutil.copytree(finished.result.uri, tmp_path / "copy")
    store, run_id = open_store(str(tmp_path / "copy")), finished.result.run_id
    assert run_id is not None
    assert read_fidelity(store, run_id) is None  # the small job does without
    config = load_config(
        finished.config_file, [f"output.uri={tmp_path / 'copy'}", "report.fidelity=true", "report.samples=10"]
    )

    again = run(config, quiet)

    assert (again.run_id, again.version) == (run_id, 1)
    assert again.report == store.uri_of(f"_runs/{run_id}/report.html")
    record = read_fidelity(store, run_id)
    assert record is not None
    assert record.examiner == "judge"  # no gates here
    assert {card.name: card.generated for card in record.card.classes} == {"dots": 10, "rings": 10}
    assert {len(one.ids_B) for one in read_neighbours(store, run_id).values()} == {10}
    document = ReportDocument.model_validate_json(store.get(f"_runs/{run_id}/report.json"))
    assert document.metrics is not None
    assert document.sheets is not None
    assert all(pair.nearest is not None for sheet in document.sheets.classes for pair in sheet.pairs)
    assert "Fidelity over all classes" in store.get("README.md").decode()

    store.delete(f"_runs/{run_id}/fidelity.json")  # would be measured again, if anything were
    run(config, quiet)
    assert f"_runs/{run_id}/fidelity.json" not in keys(store)
    assert open_dataset(store.uri).version == 1

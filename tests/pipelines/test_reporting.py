"""`augment report`: one page with everything that is known of a version, and its figures beside it. No Ray."""

from __future__ import annotations

import json
import uuid
from pathlib import Path

import numpy as np
import pytest
from typer.testing import CliRunner

from augment.errors import ConfigError, InputError, IntegrityError
from augment.lift.arms import ARMS
from augment.lift.config import LiftConfig
from augment.lift.following import Advice, Basis, put_advice
from augment.lift.verdict import ArmTrials, Asked, LiftResult, verdict
from augment.objects import open_store
from augment.report.html.card_section import card_section
from augment.report.html.document import ReportDocument
from augment.store.reading import Dataset, open_dataset
from augment.types import ClassInfo
from pipelines.cli import app
from pipelines.describing import describe_newest
from pipelines.lift_store import LiftStore
from pipelines.reporting import put_report, report_of
from tests.lift.common import predictions
from tests.report.runs import NAMES, REAL, committed, drawn, newest

GAN, CONTROL = (0.9, 0.9, 0.9), (0.9, 0.8, 0.5)


def with_lift(*, helps: bool = True, model: str = "ab" * 32) -> Dataset:
    """A dataset whose samples were measured in two arms, three seeds each."""
    dataset = committed(drawn(6))
    result = lift_result(GAN if helps else CONTROL, model)
    LiftStore(dataset.store).put_result(result)
    found = result.verdict.recommendation
    advice = Advice(question=result.question, basis=result.basis, arm=ARMS[found.train], recommendation=found)
    put_advice(dataset.store, advice)
    return dataset


def lift_result(recall_K: tuple[float, ...], model: str) -> LiftResult:
    validation_N, test_N = np.repeat(np.arange(3), 100), np.repeat(np.arange(3), 200)
    trials = [
        ArmTrials(
            ARMS[name],
            sure(predictions(validation_N, recalls, seed, seeds=3)),
            sure(predictions(test_N, recalls, seed + 50, seeds=3)),
            seconds=1.0,
        )
        for seed, (name, recalls) in enumerate({"balanced-softmax": CONTROL, "gan": recall_K}.items())
    ]
    asked = Asked(NAMES, np.array(REAL), validation_N, test_N, (0, 1, 2), LiftConfig(steps=9))
    basis = Basis(
        name="m", classes=tuple(ClassInfo(label=10 + k, name=name) for k, name in enumerate(NAMES)),
        counts=REAL, labelled=REAL, data_sha256="d" * 64, model_sha256=model, gates=None,
    )  # fmt: skip
    return LiftResult(
        question="0123456789abcdef" * 4, basis=basis, verdict=verdict(asked, trials), test_sha256="e" * 64,
        test_uses=2, left_out=0, warnings=("asked twice",),
    )  # fmt: skip


def sure(classes_SN: np.ndarray) -> np.ndarray:
    return np.where(np.eye(3, dtype=bool)[classes_SN], 0.8, 0.1).astype(np.float32)


# ---- lift --------------------------------------------------------------------------------------------------


def test_the_arms_and_the_recommendation_are_those_of_lift_json() -> None:
    dataset = with_lift()
    document = report_of(dataset, whole=False)
    expected = LiftStore(dataset.store).result("0123456789abcdef" * 4)
    assert expected is not None
    assert document.lift is not None
    assert document.recommendation is not None
    assert (document.lift.control, document.lift.recommended) == ("balanced-softmax", "gan")
    assert (document.lift.seeds, document.lift.steps, document.lift.test_images) == (3, 9, 600)
    for arm, result in zip(document.lift.arms, expected.verdict.arms, strict=True):
        assert arm.balanced_accuracy == result.test.balanced_accuracy
        assert (arm.lift is None) == (result.difference is None)
        if arm.lift is not None and result.difference is not None:
            of = result.difference.difference
            assert (arm.lift.estimate, arm.lift.low, arm.lift.high) == (of.estimate, of.low, of.high)
    assert document.recommendation.verdict == "some-classes"  # the largest class needs none
    assert document.recommendation.warnings == ("asked twice",)
    ratios = {document.names[one.label]: one.ratio for one in document.recommendation.classes}
    assert ratios == {"across": None, "down": 20 / 60, "both": 56 / 24}


def test_do_not_augment_is_said_plainly() -> None:
    document = report_of(with_lift(helps=False), whole=False)
    assert document.recommendation is not None
    assert document.recommendation.verdict == "do-not-augment"
    assert document.recommendation.headline == "Don’t add generated samples: train by balanced-softmax."
    assert document.lift is not None
    assert document.lift.recommended is None


def test_lift_of_another_model_is_shown_with_a_warning() -> None:
    document = report_of(with_lift(model="99" * 32), whole=False)
    assert document.recommendation is not None
    assert "of another" in document.recommendation.warnings[-1]


def test_a_damaged_answer_is_named() -> None:
    dataset = with_lift()
    dataset.store.put("_lift/0123456789abcdef/lift.json", b"{}")
    with pytest.raises(IntegrityError, match=r"lift\.json is not a valid LiftResult"):
        report_of(dataset)


def test_the_card_has_the_section_of_the_report() -> None:
    dataset = with_lift()
    describe_newest(dataset.uri)
    card = dataset.store.get("README.md").decode()
    assert card_section(report_of(dataset, whole=False)) in card
    assert "| gan (recommended) |" in card


# ---- beside a run ------------------------------------------------------------------------------------------


def test_the_report_lies_beside_its_run_with_its_figures() -> None:
    dataset = committed(drawn(6))
    run_id = newest(dataset).plan.run_id
    made = put_report(dataset.store, 1, run_id)
    assert made.key == f"_runs/{run_id}/report.html"
    assert dataset.store.get(made.key) == made.html
    stored = ReportDocument.model_validate_json(dataset.store.get(f"_runs/{run_id}/report.json"))
    assert stored == made.document == report_of(dataset)
    assert open_dataset(dataset.uri).rows == 12  # readers don't mind


# ---- the verb ----------------------------------------------------------------------------------------------


def report(*arguments: object) -> str:
    done = CliRunner().invoke(app, ["report", *map(str, arguments), "--quiet"], catch_exceptions=False)
    assert done.exit_code == 0
    return done.stdout


def test_report_writes_one_page_and_its_figures(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    dataset = committed(drawn(6), uri=str(tmp_path / "data set"))
    monkeypatch.chdir(tmp_path)
    said = report(dataset.uri, "--title", "Stripes")
    assert said.startswith("report.html: version 1 of ")
    html = Path("report.html").read_text(encoding="utf-8")
    assert "<title>Stripes</title>" in html
    document = ReportDocument.model_validate_json(Path("report.json").read_bytes())
    assert document == report_of(dataset, title="Stripes")


def test_report_prints_every_figure_as_json_without_the_pictures(tmp_path: Path) -> None:
    first = committed(drawn(6), uri=str(tmp_path / "out"))
    committed(drawn(8), seed=8, uri=first.uri)
    page = tmp_path / "deep" / "page.html"
    document = json.loads(report(f"{first.uri}@1", "--out", page, "--json"))
    assert (document["version"], document["html"]) == (1, str(page))
    assert document["report"]["balance"]["synthetic"] == 12
    assert "sheets" not in document["report"]
    stored = json.loads(page.with_suffix(".json").read_bytes())
    assert {key: value for key, value in stored.items() if key != "sheets"} == document["report"]
    assert stored["sheets"]["classes"]


def test_a_wrong_call_is_told_apart(tmp_path: Path) -> None:
    dataset = committed(drawn(2))
    runner = CliRunner()
    with pytest.raises(ConfigError, match=r"must end in \.html"):
        runner.invoke(app, ["report", dataset.uri, "--out", "x.pdf"], catch_exceptions=False)
    (tmp_path / "file").touch()
    with pytest.raises(ConfigError, match="can't write"):
        runner.invoke(
            app, ["report", dataset.uri, "--out", str(tmp_path / "file" / "x.html")], catch_exceptions=False
        )
    with pytest.raises(InputError, match="no dataset is committed"):
        runner.invoke(app, ["report", f"memory://{uuid.uuid4().hex}"], catch_exceptions=False)
    assert open_store(dataset.uri).uri == dataset.uri

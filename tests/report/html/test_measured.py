"""What was measured is shown as it was measured: no figure is made up, rounded or dropped on its way."""

from __future__ import annotations

import numpy as np
import pytest
from pydantic import ValidationError

from augment.quality.report_card import LabelledFeatures, fidelity_report
from augment.report.fidelity_file import FidelityRecord
from augment.report.html.evidence import Gates, GatesOfClass
from augment.report.html.measured import ALL_CLASSES, gates_of, memorization_of, metrics_of
from augment.store.reading import Dataset, open_dataset
from augment.store.revoke import revoke_classes
from augment.types import ClassLedger
from tests.report.runs import NAMES, committed, drawn, newest

LEDGER = (
    ClassLedger(label=11, accepted=3, fallback=1, drawn=9, refused={"label": 4, "repeat": 2}),
    ClassLedger(label=12, accepted=4, drawn=6, refused={"repeat": 2}),
)


def labelled(seed: int, counts: tuple[int, int], shift: float = 0.0) -> LabelledFeatures:
    """Features of classes 1 and 2; one of ten is taken for class 0."""
    random = np.random.default_rng(seed)
    class_index = np.repeat((1, 2), counts)
    features = random.normal(2.0 * class_index[:, None] + shift, 1.0, (len(class_index), 5))
    return LabelledFeatures(
        features, class_index, np.where(random.random(len(features)) < 0.1, 0, class_index)
    )


def record_of(dataset: Dataset, *, heldout: bool = True) -> FidelityRecord:
    training, held = labelled(1, (60, 40)), labelled(2, (30, 12)) if heldout else None
    card = fidelity_report(
        labelled(0, (50, 50)), training, held, NAMES, feature_space="toy", seed=0, membership=False
    )
    return FidelityRecord(
        run_id=newest(dataset).plan.run_id,
        examiner="gates" if heldout else "judge",
        samples_a_class=50,
        card=card,
    )


# ---- fidelity and near copies ------------------------------------------------------------------------------


def test_each_figure_stands_beside_its_floor_under_its_name() -> None:
    dataset = committed(drawn(4))
    record = record_of(dataset)
    table = metrics_of(record, newest(dataset))
    names = [metric.name for metric in table.metrics]
    assert names == ["FID", "KID × 1,000", "Precision", "Recall", "Density", "Coverage", "Label accuracy"]
    assert [row.label for row in table.rows] == [11, 12]
    card, cells = record.card.classes[0], dict(zip(names, table.rows[0].cells, strict=True))
    assert (cells["FID"].value, cells["FID"].floor) == (
        card.fidelity.frechet.value,
        card.fidelity.frechet.floor,
    )
    assert cells["Recall"].value == card.fidelity.recall.value
    assert cells["KID × 1,000"].value == pytest.approx(1_000 * card.fidelity.kernel.value)
    assert card.label_accuracy.value is not None
    assert cells["Label accuracy"].value == card.label_accuracy.value.estimate
    assert table.overall is not None
    assert table.overall[0].value == record.card.overall.frechet.value


def test_near_copies_are_counted_over_the_classes_and_for_each() -> None:
    dataset = committed(drawn(4))
    record = record_of(dataset)
    found = memorization_of(record, newest(dataset))
    assert found is not None
    assert (found.generated.total, found.heldout.total) == (100, 42)
    assert found.generated.count == sum(one.generated.count for one in found.classes)
    assert found.generated.share.estimate == found.generated.count / 100
    assert found.histogram is not None
    assert sum(found.histogram.synthetic) == pytest.approx(1)
    assert sum(found.histogram.heldout) == pytest.approx(1)
    assert [one.label for one in found.classes] == [11, 12]
    assert found.membership_auc is None


def test_without_held_out_images_nothing_is_said_of_copies() -> None:
    dataset = committed(drawn(4))
    record = record_of(dataset, heldout=False)
    assert memorization_of(record, newest(dataset)) is None
    assert "has seen all real images" in metrics_of(record, newest(dataset)).note


def test_a_class_that_was_revoked_since_is_not_shown_and_the_reader_is_told() -> None:
    dataset = committed(drawn(4))
    record = record_of(dataset)
    revoke_classes(dataset.store, ["down"], why="a test")
    later = newest(open_dataset(dataset.uri))
    table, found = metrics_of(record, later), memorization_of(record, later)
    assert found is not None
    assert [row.label for row in table.rows] == [one.label for one in found.classes] == [12]
    assert "revoked since" in table.note
    assert "revoked since" in found.note


# ---- gates -------------------------------------------------------------------------------------------------


def test_the_ledger_is_summed_over_runs_and_classes() -> None:
    first = committed(drawn(4), ledger=LEDGER)
    dataset = committed(drawn(4), ledger=LEDGER, seed=8, uri=first.uri)
    gates = gates_of(dataset.runs)
    assert gates is not None
    assert gates.gates == ("label", "repeat")
    assert gates.on_shortfall == "duplicate"
    assert [one.label for one in gates.classes] == [11, 12]
    down, both = gates.classes
    assert (down.planned, down.drawn, down.accepted, down.refused, down.fallback) == (8, 18, 6, (8, 4), 2)
    assert (both.refused, both.missing, both.passed) == ((0, 4), 0, 8 / 12)
    assert gates.overall.label == ALL_CLASSES
    assert (gates.overall.drawn, gates.overall.refused) == (30, (8, 8))


def test_samples_that_no_gate_judges_are_planned_and_not_drawn() -> None:
    ledger = (
        ClassLedger(label=11, ungated=4),
        ClassLedger(label=12, accepted=4, drawn=6, refused={"repeat": 2}),
    )
    gates = gates_of(committed(drawn(4), ledger=ledger).runs)
    assert gates is not None
    repeated, judged = gates.classes
    assert (repeated.planned, repeated.ungated, repeated.drawn, repeated.passed) == (4, 4, 0, None)
    assert (judged.ungated, gates.overall.passed) == (0, 4 / 6)


def test_a_dataset_without_gates_has_no_ledger() -> None:
    assert gates_of(committed(drawn(4)).runs) is None
    assert gates_of(()) is None


def test_a_ledger_that_does_not_add_up_is_refused() -> None:
    fine = GatesOfClass(
        label=1, planned=3, drawn=5, accepted=3, passed=0.6, refused=(2,), fallback=0, missing=0
    )
    with pytest.raises(ValidationError, match="drawn are not"):
        GatesOfClass(**fine.model_dump() | {"drawn": 6})
    with pytest.raises(ValidationError, match="planned are not"):
        GatesOfClass(**fine.model_dump() | {"missing": 1})
    with pytest.raises(ValidationError, match="2 counts of refusals"):
        Gates(gates=("label", "repeat"), on_shortfall="partial", overall=fine, classes=(fine,))

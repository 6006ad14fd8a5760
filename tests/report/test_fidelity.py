"""Fidelity of a committed run: judged by images that the judge has not seen, and copies are found out."""

from __future__ import annotations

from functools import cache

import numpy as np
import pytest

from augment.errors import IntegrityError
from augment.quality.calibration import calibrate
from augment.quality.config import GatesConfig
from augment.quality.gates import GateKeeper
from augment.report.fidelity import Examiner, generated_classes, measure_fidelity
from augment.report.fidelity_file import FidelityRecord, put_fidelity, read_fidelity
from augment.store.reading import Dataset
from augment.types import ClassLedger
from tests.report.runs import committed, drawn, newest, real_images


@cache
def keeper() -> GateKeeper:
    pixels, class_index = real_images()
    return calibrate(pixels, class_index, 3, GatesConfig(steps=40, batch_size=32, folds=2), seed=0)


def measured(dataset: Dataset, samples: int = 1_000) -> FidelityRecord:
    examiner = Examiner.of_gates(keeper(), *real_images())
    return measure_fidelity(dataset, newest(dataset), *real_images(), examiner, samples=samples)


def test_the_examiner_is_judged_on_images_that_it_has_not_seen() -> None:
    _, class_index = real_images()
    unseen = Examiner.of_gates(keeper(), *real_images()).unseen_N
    assert unseen is not None
    for index in range(3):  # half of each class, by its two folds
        assert abs(int(unseen[class_index == index].sum()) - int((class_index == index).sum()) // 2) <= 1


def test_a_generator_of_the_real_distribution_is_near_its_floors_and_copies_nothing() -> None:
    record = measured(committed(drawn(60)))
    assert record.examiner == "gates"
    assert [card.name for card in record.card.classes] == ["down", "both"]
    overall = record.card.overall
    assert overall.copies is not None
    assert not overall.copies.copies
    assert overall.membership is None  # the generator was trained on the held-out images too
    for figure in (overall.mean_precision, overall.mean_coverage):
        assert figure.value == pytest.approx(figure.floor, abs=0.2)


def test_a_generator_that_gives_its_training_images_back_is_found_out() -> None:
    pixels, class_index = real_images()
    seen = ~Examiner.of_gates(keeper(), pixels, class_index).unseen_N  # type: ignore[operator]
    record = measured(committed({1: np.repeat(pixels[(class_index == 1) & seen], 2, axis=0)}))
    assert record.card.overall.copies is not None
    assert record.card.overall.copies.copies
    assert record.card.overall.copies.share.value is not None
    assert record.card.overall.copies.share.value.estimate == 1


def test_at_most_so_many_samples_of_a_class_are_looked_at() -> None:
    record = measured(committed(drawn(60)), samples=20)
    assert record.samples_a_class == 20
    assert {card.generated for card in record.card.classes} == {20}


def test_a_judge_that_has_seen_all_real_images_holds_none_out() -> None:
    dataset = committed(drawn(30))
    examiner = Examiner(keeper().parts.ensemble.members[0], None)
    record = measure_fidelity(dataset, newest(dataset), *real_images(), examiner, samples=100)
    assert record.examiner == "judge"
    assert record.card.overall.copies is None
    assert {card.fidelity.floor_from for card in record.card.classes} == {"halves"}


def test_only_rows_of_the_generator_are_judged() -> None:
    samples = drawn(20)
    dataset = committed(samples, {2: "smote"})
    assert generated_classes(newest(dataset)) == (1,)
    made_by = {1: ["gan"] * 12 + ["duplicate"] * 8, 2: ["duplicate"] * 20}
    ledger = [
        ClassLedger(label=11, accepted=12, fallback=8, drawn=12),
        ClassLedger(label=12, fallback=20, drawn=0),
    ]
    filled = committed(samples, ledger=ledger, made_by=made_by, shard_rows=40)  # type: ignore[arg-type]
    assert generated_classes(newest(filled)) == (1,)
    assert [card.generated for card in measured(filled).card.classes] == [12]


def test_a_record_comes_back_and_a_damaged_one_is_named() -> None:
    dataset = committed(drawn(10))
    record = measured(dataset)
    assert read_fidelity(dataset.store, record.run_id) is None
    put_fidelity(dataset.store, record)
    assert read_fidelity(dataset.store, record.run_id) == record
    dataset.store.put(f"_runs/{record.run_id}/fidelity.json", b"{}")
    with pytest.raises(IntegrityError, match=r"fidelity\.json is not a valid fidelity record"):
        read_fidelity(dataset.store, record.run_id)

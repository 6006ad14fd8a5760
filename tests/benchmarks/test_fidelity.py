"""The judge of suite `gan`: what real and copied images score, and what counts as missed."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest

from augment.errors import ConfigError, InputError
from augment.quality.classifier import Classifier, fit_classifier
from augment.quality.memorization import NearCopies, Share
from tests.benchmarks.fidelity import ClassFidelity, Fidelity, Judge, References, fitted_classifier
from tests.benchmarks.fidelity_tables import Line, class_table, contender_table
from tests.benchmarks.real_images import RealSets, small_fashion
from tests.benchmarks.score import samples_of


@pytest.fixture(scope="module")
def real() -> RealSets:
    return small_fashion()


@pytest.fixture(scope="module")
def classifier(real: RealSets) -> Classifier:
    known = real.known
    return fit_classifier(known.pixels_NHWC, known.class_index_N, 10, seed=0, steps=5, batch_size=32)


@pytest.fixture(scope="module")
def judge(classifier: Classifier, real: RealSets) -> Judge:
    return Judge(classifier, real)


def one_class(name: str, frechet: float, lost: float, recall: float, copies: int) -> ClassFidelity:
    near = NearCopies(
        threshold=1.0, generated=Share(count=copies, total=1000), heldout=Share(count=10, total=1000)
    )
    return ClassFidelity(
        name=name, frechet=frechet, precision=1, recall=recall, density=1, coverage=1, accuracy=0.9 - lost,
        accuracy_lost=lost, spread=1, near_by_features=near, near_by_pixels=near,
    )  # fmt: skip


def fidelity(*, frechet: float = 1.0, lost: float = 0.0, recall: float = 0.8, copies: int = 10) -> Fidelity:
    """Of two classes, the second as told."""
    return Fidelity(
        classes=(one_class("head", 1, 0, 0.8, 10), one_class("tail", frechet, lost, recall, copies))
    )


REFERENCES = References(floor=fidelity(), duplicates=fidelity(frechet=3.0))


def test_the_test_images_themselves_lose_nothing(judge: Judge, real: RealSets) -> None:
    found = judge(real.test)
    assert found.mean_frechet == pytest.approx(0, abs=1e-6)
    assert found.worst_accuracy.accuracy_lost == 0
    assert all((one.recall, one.precision, one.coverage) == (1, 1, 1) for one in found.classes)
    assert all(one.spread == pytest.approx(1) for one in found.classes)
    assert judge.accuracy == pytest.approx(np.mean([one.accuracy for one in found.classes]))


def test_duplicates_are_all_near_copies_and_the_floor_is_not(judge: Judge) -> None:
    references = judge.references()
    assert references.duplicates.near_by_features.generated.value == 1
    assert references.duplicates.near_by_pixels.generated.value == 1
    assert "near copies" in references.misses(references.duplicates)
    assert references.floor.near_by_pixels.generated.value < 0.2


def test_a_judge_that_knows_the_images_too_poorly_is_refused(classifier: Classifier, real: RealSets) -> None:
    with pytest.raises(ConfigError, match=r"accuracy on real test images is .* must be at least 0.99"):
        Judge(classifier, replace(real, judge_accuracy=0.99))


def test_a_judge_of_other_classes_is_refused(classifier: Classifier, real: RealSets) -> None:
    with pytest.raises(ConfigError, match="not 9 classes"):
        Judge(classifier, replace(real, class_names=real.class_names[:9]))


def test_the_judge_is_fitted_once(real: RealSets, tmp_path: Path) -> None:
    quick, announced = replace(real, judge_steps=2), list[str]()
    first = fitted_classifier(quick, tmp_path, announced.append)
    assert fitted_classifier(quick, tmp_path, announced.append).to_bytes() == first.to_bytes()
    assert announced == ["judge: 2 steps on 7,443 real images"]


@pytest.mark.parametrize(
    ("found", "missed"),
    [
        (fidelity(), ()),
        (fidelity(frechet=7.0), ()),  # mean 4 of 2 and worst 7 of 3: within four times
        (fidelity(frechet=12.5), ("FID worst",)),
        (fidelity(frechet=15.5), ("FID mean", "FID worst")),
        (fidelity(lost=0.051), ("labels",)),
        (fidelity(recall=0.39), ("recall",)),
        (fidelity(copies=30), ("near copies",)),
    ],
)
def test_what_must_hold_is_missed_by_its_worst_class(found: Fidelity, missed: tuple[str, ...]) -> None:
    references = References(floor=fidelity(), duplicates=fidelity(frechet=3.0))
    assert references.misses(found) == missed


def test_tables_hold_a_line_for_every_contender_and_every_class() -> None:
    lines = [Line("ours", fidelity(), {"steps": "5"}), Line("other", None, why="training stopped")]
    assert contender_table("title", REFERENCES, lines).row_count == 4
    assert class_table("title", REFERENCES, fidelity()).row_count == 2


def test_samples_of_another_number_are_refused(real: RealSets, tmp_path: Path) -> None:
    path = tmp_path / "samples.npy"
    np.save(path, real.floor.pixels_NHWC)
    np.testing.assert_array_equal(samples_of(path, real).class_index_N, real.floor.class_index_N)
    np.save(path, real.floor.pixels_NHWC[1:])
    with pytest.raises(InputError, match="holds 99 images instead of 100"):
        samples_of(path, real)

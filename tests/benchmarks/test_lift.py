"""Suite `lift`: images stay on their side, samples are made as wanted, and what is finished is found again."""

from __future__ import annotations

import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from augment.errors import ConfigError, InputError
from augment.gan.generator import GeneratorInfo
from augment.lift.arms import ARMS, arms_named
from augment.quality.config import GatesConfig
from augment.types import ClassInfo
from tests.benchmarks.__main__ import main
from tests.benchmarks.lift_data import LiftSets, lift_cells, slide_of, small_lift
from tests.benchmarks.lift_pools import Pools, _positions, wanted_samples
from tests.benchmarks.real_images import Images, write_folder


@pytest.fixture(scope="module")
def sets() -> LiftSets:
    return small_lift()


@pytest.fixture
def pools(sets: LiftSets, tmp_path: Path) -> Callable[[list[str]], Pools]:
    return lambda said: Pools(sets, tmp_path, None, GatesConfig(steps=2), said.append)


def cell_folder(place: Path, slides: int) -> None:
    """Three classes of 64 × 64 cells, one to three of each a slide."""
    draws = np.random.default_rng(0)
    for name, most in (("RBC", 3), ("WBC", 2), ("platelet", 2)):
        count = slides * most
        images = Images(draws.integers(0, 256, (count, 64, 64, 3), np.uint8), np.zeros(count, np.int64))
        write_folder(images, place / "unnamed")
        (place / name).mkdir(parents=True)
        for number, path in enumerate(sorted((place / "unnamed" / "00").iterdir())):
            path.rename(place / name / f"slide_{number % slides:05d}_{number // slides:02d}.png")
        (place / "unnamed" / "00").rmdir()
        (place / "unnamed").rmdir()


def test_a_slides_cells_are_all_on_one_side_and_rare_classes_are_cut(tmp_path: Path) -> None:
    cell_folder(tmp_path, 120)
    cells = lift_cells(tmp_path)
    counts = cells.training.counts(3)
    assert counts[0] > counts[1] == counts[2] == 40
    total = sum(len(part.class_index_N) for part in (cells.validation, cells.test))
    assert total < 120 * 7 * 0.7
    again = lift_cells(tmp_path)
    assert again.training.sha256 == cells.training.sha256


def test_a_cells_slide_is_its_name_without_the_last_part() -> None:
    assert slide_of("WBC/BloodImage_00012_03.png") == "BloodImage_00012"
    with pytest.raises(InputError, match="does not tell its slide"):
        slide_of("WBC/cell7.png")


def test_a_source_must_have_what_its_hungriest_arm_wants(sets: LiftSets) -> None:
    counts_K = sets.training.counts(10)
    wanted = wanted_samples(arms_named(("gan-0.25", "gan-0.5", "smote", "real")), counts_K)
    assert set(wanted) == {"gan", "smote"}
    np.testing.assert_array_equal(wanted["smote"], counts_K.max() - counts_K)
    np.testing.assert_array_equal(wanted["gan"], np.rint(0.5 * (counts_K.max() - counts_K)))


@pytest.mark.parametrize("source", ["duplicate", "classic", "smote"])
def test_recipes_fill_pools_of_training_images_and_a_pool_is_made_once(
    source: str, sets: LiftSets, pools: Callable[[list[str]], Pools]
) -> None:
    wanted_K = np.array([0, 3] * 5)
    said: list[str] = []
    first = pools(said).pool(source, wanted_K, soft=False)
    again = pools(said).pool(source, wanted_K, soft=False)
    np.testing.assert_array_equal(first.counts(10), wanted_K)
    assert first.sha256 == again.sha256
    assert len(said) == 1


def test_samples_without_a_generator_are_an_error_that_names_the_option(
    pools: Callable[[list[str]], Pools],
) -> None:
    with pytest.raises(ConfigError, match=r"samples of gan-gated .* need a generator.*--generator"):
        pools([]).pool("gan-gated", np.ones(10, np.int64), soft=False)


@pytest.mark.parametrize(
    ("theirs", "positions"), [(("b", "c", "a"), [2, 0, 1]), (("00", "01", "02"), [0, 1, 2])]
)
def test_a_generators_classes_are_found_by_name_and_numbered_ones_by_their_order(
    theirs: tuple[str, ...], positions: list[int]
) -> None:
    classes = tuple(ClassInfo(label=label, name=name) for label, name in enumerate(theirs))
    info = GeneratorInfo.model_construct(classes=classes)
    np.testing.assert_array_equal(_positions(("a", "b", "c"), info), positions)


@pytest.mark.skipif("RAY_ADDRESS" in os.environ, reason="a cluster of its own is started")
def test_a_small_run_is_told_in_full_and_found_again(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["--small", "--only", "real,duplicates", "--seeds", "0,1", "--out", str(tmp_path), "lift"]
    assert main(arguments) == 0
    first = json.loads((tmp_path / "bench-lift.json").read_bytes())
    assert "trials to run" in capsys.readouterr().err
    assert main(arguments) == 0
    assert "trials to run" not in capsys.readouterr().err
    again = json.loads((tmp_path / "bench-lift.json").read_bytes())
    assert first["data"] == again["data"]
    (found,) = first["data"]
    assert [one["arm"]["name"] for one in found["arms"]] == ["real", "duplicates"]
    assert not found["recommendation"]["augment"]
    assert found["test_uses"] == 1
    assert ARMS[found["recommendation"]["train"]].is_control

"""Curves come back from TensorBoard's files as they were recorded, a resumed training's as one."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path

import pytest
from torch.utils.tensorboard import SummaryWriter

from augment.objects import open_store
from augment.report.html.recorded_curves import curves_of_files, training_curves
from augment.store.models import ModelFolder


def recorded(folder: Path, curves: Mapping[str, Mapping[int, float]]) -> bytes:
    with SummaryWriter(str(folder)) as writer:
        for name, points in curves.items():
            for step, value in points.items():
                writer.add_scalar(name, value, step)
    (path,) = folder.iterdir()
    return path.read_bytes()


def test_a_recorded_curve_comes_back(tmp_path: Path) -> None:
    data = recorded(tmp_path / "a", {"generator loss": {50: 0.5, 100: 0.25}, "unknown": {50: 1.0}})
    found = curves_of_files([data])
    assert found is not None
    ((panel,), thinned) = found.panels, found.thinned
    assert not thinned
    assert [(curve.name, curve.steps, curve.values) for curve in panel.curves] == [
        ("generator loss", (50, 100), (0.5, 0.25))
    ]


def test_a_resumed_training_replaces_what_came_after_its_first_step(tmp_path: Path) -> None:
    first = recorded(tmp_path / "a", {"real logit": {50: 1.0, 100: 2.0, 150: 3.0}})
    second = recorded(tmp_path / "b", {"real logit": {100: 7.0, 200: 8.0}})
    found = curves_of_files([first, second])
    assert found is not None
    (curve,) = found.panels[0].curves
    assert (curve.steps, curve.values) == ((50, 100, 200), (1.0, 7.0, 8.0))


def test_a_long_curve_is_thinned_and_keeps_its_ends(tmp_path: Path) -> None:
    found = curves_of_files(
        [recorded(tmp_path / "a", {"real logit": {step: float(step) for step in range(1, 1001)}})]
    )
    assert found is not None
    (curve,) = found.panels[0].curves
    assert found.thinned
    assert len(curve.steps) == 240
    assert (curve.steps[0], curve.steps[-1]) == (1, 1000)


def test_values_that_are_not_finite_are_left_out(tmp_path: Path) -> None:
    found = curves_of_files(
        [recorded(tmp_path / "a", {"real logit": {1: float("nan"), 2: 1.0, 3: float("inf")}})]
    )
    assert found is not None
    assert found.panels[0].curves[0].steps == (2,)


@pytest.mark.parametrize("files", [[], [b""]])
def test_without_a_recorded_curve_there_is_none(files: list[bytes]) -> None:
    assert curves_of_files(files) is None


def test_a_models_folder_is_read_in_the_order_of_its_files(tmp_path: Path) -> None:
    folder = ModelFolder(open_store(str(tmp_path / "set")), "gan")
    assert training_curves(folder) is None
    for step, value in ((1, 5.0), (51, 6.0)):
        data = recorded(tmp_path / str(step), {"images per second": {step: value, step + 50: value}})
        folder.put_artefact(f"tensorboard/events.out.tfevents.{step:010d}", data)
    found = training_curves(folder)
    assert found is not None
    assert found.panels[0].curves[0].values == (5.0, 6.0, 6.0)

"""What rank 0 leaves to look at. No Ray."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace

import torch
from tensorboard.backend.event_processing.event_file_loader import EventFileLoader

from augment.gan.report import Report
from augment.gan.state import new_state
from augment.gan.supervision import ClassScore, Evaluation
from augment.objects import open_store
from augment.store.models import ModelFolder
from pipelines.recorder import Recorder
from tests.gan.common import tiny_spec
from tests.pipelines.conftest import keys


def report(step: int, evaluation: Evaluation | None = None) -> Report:
    return Report(
        step=step,
        images_seen=8 * step,
        images_per_second=100.0,
        values={"generator loss": 0.5},
        diversity={"bag": 0.75},
        evaluation=evaluation,
    )


def test_curves_hold_losses_diversity_and_quality_class_by_class(tmp_path: Path) -> None:
    posted: list[Report] = []
    board = SimpleNamespace(post=SimpleNamespace(remote=posted.append))
    folder = ModelFolder(open_store(str(tmp_path)), "m")
    scores = (
        ClassScore(name="bag", frechet=2.0, recall=0.5, label_accuracy=1.0),
        ClassScore(name="boot", frechet=None),
    )
    recorder = Recorder(folder, board)
    recorder.report(report(3))
    recorder.report(report(4, Evaluation(step=4, classes=scores)))
    recorder.close()

    (name,) = keys(folder.store, "_models/m/tensorboard/")
    assert name.endswith("events.out.tfevents.0000000003")
    points = [
        (value.tag, event.step)
        for event in EventFileLoader(str(tmp_path / name)).Load()
        for value in event.summary.value
    ]
    every_time = ["generator loss", "images per second", "diversity/bag"]
    measured = ["fréchet mean", "fréchet worst", "fréchet/bag", "recall/bag", "label accuracy/bag"]
    assert points == [*((tag, 3) for tag in every_time), *((tag, 4) for tag in every_time + measured)]
    assert [one.step for one in posted] == [3, 4]


def test_a_picture_is_drawn_at_once_and_uploaded_when_asked(tmp_path: Path) -> None:
    folder = ModelFolder(open_store(str(tmp_path)), "m")
    recorder = Recorder(folder, SimpleNamespace())
    upload = recorder.look(new_state(tiny_spec(), torch.device("cpu")))
    assert keys(folder.store) == []

    upload()
    recorder.close()
    assert keys(folder.store) == ["_models/m/grids/0000000000.png"]

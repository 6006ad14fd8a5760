"""A model's training curves, read back from the TensorBoard files beside it.

Owns which of the recorded scalars a report shows, and how a resumed training's files become one curve. A
file's records are read by TensorBoard's own reader.
"""

from __future__ import annotations

import math
import tempfile
from collections.abc import Iterable, Mapping
from pathlib import Path
from typing import Any

from augment.report.html.evidence import Curve, Panel, TrainingCurves
from augment.store.models import ModelFolder

__all__ = ["curves_of_files", "training_curves"]

_MOST_POINTS = 240  # a curve
_PANELS: tuple[tuple[str, str, tuple[str, ...]], ...] = (
    ("Losses", "mean loss", ("discriminator loss", "generator loss")),
    ("Logits", "mean logit", ("real logit", "fake logit")),
    ("Quality", "intra-class Fréchet distance", ("fréchet mean", "fréchet worst")),
    ("Speed", "images a second", ("images per second",)),
)
"""Title, vertical axis and recorded names of each panel; one without a recorded name is left out."""

Scalars = dict[str, dict[int, float]]  # name → step → value


def training_curves(folder: ModelFolder) -> TrainingCurves | None:
    """What a model's folder holds; None where no curve was recorded."""
    keys = sorted(found.key for found in folder.store.list(f"{folder.root}/tensorboard/"))
    return curves_of_files([folder.store.get(key) for key in keys])


def curves_of_files(files: Iterable[bytes]) -> TrainingCurves | None:
    """Event files of one training in the order of their first steps.

    Where training resumed at an earlier step, what an earlier file has from that step on is dropped, as
    TensorBoard does. Values that are not finite are left out: a line cannot show them.
    """
    scalars: Scalars = {}
    for data in files:
        later = _scalars(data)
        first = min((step for curve in later.values() for step in curve), default=None)
        if first is not None:
            earlier = {
                name: {step: value for step, value in curve.items() if step < first}
                for name, curve in scalars.items()
            }
            scalars = {
                name: earlier.get(name, {}) | later.get(name, {}) for name in earlier.keys() | later.keys()
            }
    panels = [panel for title, y_axis, names in _PANELS if (panel := _panel(title, y_axis, names, scalars))]
    thinned = any(len(curve) > _MOST_POINTS for curve in scalars.values())
    return TrainingCurves(panels=tuple(panels), thinned=thinned) if panels else None


def _scalars(data: bytes) -> Scalars:
    from tensorboard.backend.event_processing.event_file_loader import EventFileLoader
    from tensorboard.util.tensor_util import make_ndarray

    with tempfile.TemporaryDirectory(prefix="augment-curves-") as folder:
        path = Path(folder, "events.out.tfevents.0")
        path.write_bytes(data)
        found: Scalars = {}
        event: Any
        events = EventFileLoader(str(path)).Load()  # type: ignore[no-untyped-call]
        for event in events:
            for value in event.summary.value:
                number = float(make_ndarray(value.tensor))  # type: ignore[no-untyped-call]
                if math.isfinite(number):
                    found.setdefault(value.tag, {})[int(event.step)] = number
    return found


def _panel(
    title: str, y_axis: str, names: tuple[str, ...], scalars: Mapping[str, dict[int, float]]
) -> Panel | None:
    curves = [_curve(name, scalars[name]) for name in names if scalars.get(name)]
    return Panel(title=title, y_axis=y_axis, curves=tuple(curves)) if curves else None


def _curve(name: str, values: dict[int, float]) -> Curve:
    """At most _MOST_POINTS of the points, evenly spaced, the first and the last among them."""
    steps = sorted(values)
    if len(steps) > _MOST_POINTS:
        last = len(steps) - 1
        steps = [steps[round(point * last / (_MOST_POINTS - 1))] for point in range(_MOST_POINTS)]
    return Curve(name=name, steps=tuple(steps), values=tuple(values[step] for step in steps))

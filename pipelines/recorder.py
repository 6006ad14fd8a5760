"""What the first worker leaves to look at while training: progress, curves and pictures.

Owns the artefacts beside a model. Called from the training loop, so every call is short; what takes an upload
is handed back to be done in the background.
"""

import io
import tempfile
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from augment.gan.generator import sample_grid
from augment.gan.report import Report
from augment.gan.state import TrainState
from augment.gan.supervision import Evaluation
from augment.store.models import ModelFolder

__all__ = ["Recorder"]

GRID_COLUMNS = 8


class Recorder:
    """Writes to the model's folder and to the driver's board; used by rank 0 alone."""

    def __init__(self, folder: ModelFolder, board: Any) -> None:
        self._folder, self._board = folder, board
        self._curves = tempfile.TemporaryDirectory(prefix="augment-curves-")
        self._writer: SummaryWriter | None = None
        self._first_step = 0

    def report(self, report: Report) -> None:
        """Send one report to the driver and add it to the curves."""
        self._board.post.remote(report)
        if self._writer is None:
            self._first_step = report.step
            self._writer = SummaryWriter(self._curves.name, purge_step=report.step)
        for name, value in _scalars(report):
            self._writer.add_scalar(name, value, report.step)

    def look(self, state: TrainState) -> Callable[[], None]:
        """A picture of fixed samples and the curves so far; the call that is returned uploads them."""
        samples_KNHWC, curves = sample_grid(state, GRID_COLUMNS), self._read_curves()
        name = f"grids/{state.step:010d}.png"

        def upload() -> None:
            self._folder.put_artefact(name, _png(_tile(samples_KNHWC)))
            self._put_curves(curves)

        return upload

    def close(self) -> None:
        """Store what is left of the curves."""
        try:
            self._put_curves(self._read_curves())
        finally:
            if self._writer is not None:
                self._writer.close()
            self._curves.cleanup()

    def _read_curves(self) -> bytes | None:
        if self._writer is None:
            return None
        self._writer.flush()
        (path,) = Path(self._curves.name).iterdir()
        return path.read_bytes()

    def _put_curves(self, curves: bytes | None) -> None:
        # TensorBoard names its file by clock, host and process; a stored name must not tell any of them.
        if curves is not None:
            name = f"tensorboard/events.out.tfevents.{self._first_step:010d}"
            self._folder.put_artefact(name, curves)


def _scalars(report: Report) -> Iterator[tuple[str, float]]:
    """Every curve's next point."""
    yield from report.values.items()
    yield "images per second", report.images_per_second
    yield from ((f"diversity/{name}", share) for name, share in report.diversity.items())
    if report.evaluation is not None:
        yield from _quality(report.evaluation)


def _quality(evaluation: Evaluation) -> Iterator[tuple[str, float]]:
    if evaluation.distances:
        yield from (("fréchet mean", evaluation.mean), ("fréchet worst", evaluation.worst))
    for one in evaluation.classes:
        by_kind = {"fréchet": one.frechet, "recall": one.recall, "label accuracy": one.label_accuracy}
        yield from ((f"{kind}/{one.name}", value) for kind, value in by_kind.items() if value is not None)


def _tile(samples_KNHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
    """[K classes, N samples, H, W, C] → one picture [K·H, N·W, C], a row a class."""
    classes, samples, height, width, channels = samples_KNHWC.shape
    rows_KHNWC = samples_KNHWC.transpose(0, 2, 1, 3, 4)
    return rows_KHNWC.reshape(classes * height, samples * width, channels)


def _png(picture_HWC: npt.NDArray[np.uint8]) -> bytes:
    image = Image.fromarray(picture_HWC[..., 0] if picture_HWC.shape[2] == 1 else picture_HWC)
    buffer = io.BytesIO()
    image.save(buffer, "PNG")
    return buffer.getvalue()

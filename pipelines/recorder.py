"""What the first worker writes while training: progress, curves, pictures and snapshots.

Owns the artefacts beside a model. Called from the training loop, so every call is short.
"""

import io
import tempfile
from pathlib import Path
from typing import Any

import numpy as np
import numpy.typing as npt
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from augment.gan.checkpoint import dump
from augment.gan.generator import sample_grid
from augment.gan.state import TrainState
from augment.gan.training import Report
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
        for name, value in report.values.items():
            self._writer.add_scalar(name, value, report.step)
        self._writer.add_scalar("images per second", report.images_per_second, report.step)

    def snapshot(self, state: TrainState) -> None:
        """Store a snapshot, and what there is to see of it."""
        self._folder.put_snapshot(state.step, dump(state))
        self._folder.put_artefact(
            f"grids/{state.step:010d}.png", _png(_tile(sample_grid(state, GRID_COLUMNS)))
        )
        self._upload_curves()

    def close(self) -> None:
        """Store what is left of the curves."""
        self._upload_curves()
        if self._writer is not None:
            self._writer.close()
        self._curves.cleanup()

    def _upload_curves(self) -> None:
        # TensorBoard names its file by clock, host and process; a stored name must not tell any of them.
        if self._writer is None:
            return
        self._writer.flush()
        for path in Path(self._curves.name).iterdir():
            self._folder.put_artefact(
                f"tensorboard/events.out.tfevents.{self._first_step:010d}", path.read_bytes()
            )


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

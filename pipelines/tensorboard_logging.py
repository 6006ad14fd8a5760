"""A finished run for TensorBoard: its figures as scalars, its contact sheet as a picture, its config as text.

Owns where they lie: `<report.tensorboard>/<name>-<run>`. A run that is logged again replaces what was there.
"""

import io
import shutil
from pathlib import Path

import numpy as np
from PIL import Image
from torch.utils.tensorboard import SummaryWriter

from augment.config import Config, config_to_json
from augment.errors import ConfigError
from augment.objects import ObjectStore
from pipelines.loggers import figures_of
from pipelines.reporting import PutReport

__all__ = ["log_to_tensorboard"]


def log_to_tensorboard(config: Config, store: ObjectStore, run_id: str, report: PutReport) -> Path:
    """The folder that was written. Raises ConfigError where it can't be."""
    assert config.report.tensorboard is not None  # noqa: S101  # the caller looked
    folder = Path(config.report.tensorboard) / f"{config.name}-{run_id}"
    try:
        if folder.exists():
            shutil.rmtree(folder)
        folder.mkdir(parents=True)
    except OSError as error:
        raise ConfigError(
            f"report.tensorboard={config.report.tensorboard} can't be written to: {error.strerror}"
        ) from error
    step = report.document.provenance.model.steps if _has_model(report) else 0  # type: ignore[union-attr]
    with SummaryWriter(str(folder)) as writer:
        for name, value in figures_of(report.document):
            writer.add_scalar(name, value, step)
        writer.add_text("config", f"```json\n{config_to_json(config).decode()}\n```", step)
        with Image.open(io.BytesIO(store.get(f"_runs/{run_id}/contact_sheet.png"))) as picture:
            writer.add_image("contact sheet", np.asarray(picture.convert("RGB")), step, dataformats="HWC")
    return folder


def _has_model(report: PutReport) -> bool:
    provenance = report.document.provenance
    return provenance is not None and provenance.model is not None

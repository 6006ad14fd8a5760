"""Which rows a batch holds, and the base augmentation of each: shifts and mirrors, by global sample index.

Owns these draws. Arms of one seed share their random numbers: where two arms differ in little, so do their
batches, and the difference of what they score has less noise.

B = rows of a batch, R = rows an arm may draw, H, W, C = rows, columns, channels.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.lift.config import LiftConfig
from augment.lift.mixture import Phase
from augment.seeds import stream_id, uniforms

__all__ = ["Batch", "Draws"]


@dataclass(frozen=True, slots=True)
class Batch:
    """Rows, the first `real` of them real, and where each pixel of the augmented image is taken from.

    Among their kind they are in the order they were drawn in: whatever pairs rows by position pairs by chance.
    """

    real: int
    row_B: npt.NDArray[np.int64]
    y_BH: npt.NDArray[np.int64]
    x_BW: npt.NDArray[np.int64]

    def gather(
        self, pixels_NHWC: npt.NDArray[np.uint8], index_B: npt.NDArray[np.int64], rows: slice
    ) -> npt.NDArray[np.uint8]:
        """`rows` of the batch, augmented, uint8 [B, H, W, C]; `index_B` are their positions in `pixels_NHWC`."""
        return pixels_NHWC[index_B[:, None, None], self.y_BH[rows][:, :, None], self.x_BW[rows][:, None, :]]


class Draws:
    """The batches of one training."""

    def __init__(self, config: LiftConfig, size: int, seed: int) -> None:
        """`size`: the image's side in pixels."""
        self._config, self._size, self._seed = config, size, seed

    def batch(self, step: int, phase: Phase, real: int) -> Batch:
        """The batch of `step`: rows by the phase's probabilities, with replacement; those below `real` are real."""
        config, rows = self._config, self._config.batch_size
        u_BV = uniforms(self._seed, stream_id("lift.batch"), step * rows, rows, 5)
        # The sum of all may be 1 - 1e-16, and no draw may lie above it.
        drawn_B = np.searchsorted(phase.cumulative_R, u_BV[:, 0] * phase.cumulative_R[-1], side="right")
        order_B = np.argsort(drawn_B >= real, kind="stable")
        _, shift_y_B, shift_x_B, mirror_y_B, mirror_x_B = u_BV[order_B].T
        return Batch(
            real=int(np.sum(drawn_B < real)),
            row_B=drawn_B[order_B],
            y_BH=self._positions(shift_y_B, config.vertical_flip & (mirror_y_B < 0.5)),
            x_BW=self._positions(shift_x_B, config.horizontal_flip & (mirror_x_B < 0.5)),
        )

    def blend(self, step: int) -> npt.NDArray[np.float64]:
        """Three uniform numbers that decide how the batch of `step` is blended."""
        row_13 = uniforms(self._seed, stream_id("lift.blend"), step, 1, 3)
        return row_13.reshape(3)

    def _positions(
        self, shift_B: npt.NDArray[np.float64], mirror_B: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        """Along one axis, where each pixel of the augmented image is taken from, [B, size]."""
        most = round(self._size * self._config.shift)
        offset_B = np.floor(shift_B * (2 * most + 1)).astype(np.int64) - most
        position_BP = np.clip(np.arange(self._size) + offset_B[:, None], 0, self._size - 1)
        return np.asarray(np.where(mirror_B[:, None], position_BP[:, ::-1], position_BP), dtype=np.int64)

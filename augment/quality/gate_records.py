"""What a gate keeper is made of, and what it says: frozen records and arrays, and nothing that acts.

Owns the gates' names and order.

B = candidates, G = gates, E = members of the ensemble, R = real images kept for reference, F = features,
D = numbers of a small picture, K = classes.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.quality.config import GatesConfig
from augment.quality.crossfit import Ensemble
from augment.quality.gate_names import GATES
from augment.types import ImageShape, Record

__all__ = ["KeeperInfo", "KeeperParts", "Limits", "References", "Verdicts"]


class KeeperInfo(Record):
    """What decided a gate keeper, besides the real images."""

    config: GatesConfig
    image: ImageShape
    class_count: int
    seed: int
    horizontal_flip: bool  # mirrored copies are copies
    vertical_flip: bool


@dataclass(frozen=True, slots=True)
class References:
    """The real images of the judged classes, class after class: each once, and never a subsample.

    Features are in units of the member's spread over all real images, so that members' distances compare.
    """

    class_index_R: npt.NDArray[np.int64]  # ascending
    position_R: npt.NDArray[np.int64]  # in the array that calibration was given
    features_ERF: npt.NDArray[np.float32]
    middle_RD: npt.NDArray[np.float32]
    spread_E: npt.NDArray[np.float32]

    def rows(self, class_index: int) -> slice:
        """Those of one class; empty where it is not judged."""
        first, last = np.searchsorted(self.class_index_R, (class_index, class_index + 1))
        return slice(int(first), int(last))


@dataclass(frozen=True, slots=True)
class Limits:
    """A candidate passes gate g where low ≤ score ≤ high of its class; -inf and inf let everything pass."""

    low_KG: npt.NDArray[np.float32]
    high_KG: npt.NDArray[np.float32]
    duplicate_pixels_K: npt.NDArray[np.float32]  # two generated images nearer than this are one
    duplicate_features_K: npt.NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class KeeperParts:
    """All that a gate keeper needs, and all that its file holds."""

    info: KeeperInfo
    ensemble: Ensemble
    references: References
    limits: Limits


@dataclass(frozen=True, slots=True)
class Verdicts:
    """Of B candidates: who passed, who was stopped where, and by what score."""

    refused_by_B: npt.NDArray[np.int64]  # the first gate that refused, an index into GATES; -1 is accepted
    scores_BG: npt.NDArray[np.float32]  # distances, log p, a discriminator's score; NaN where there is none
    nearest_position_B: npt.NDArray[np.int64]  # of the class's real image that looks most alike, in pixels
    features_EBF: npt.NDArray[np.float32]  # in units of the member's spread, for `GateKeeper.repeats`

    @property
    def accepted_B(self) -> npt.NDArray[np.bool_]:
        """Who passed every gate."""
        return self.refused_by_B < 0

    def refusals(self) -> dict[str, int]:
        """Candidates that each gate refused; each is counted once, and all add up to those not accepted."""
        return {name: int((self.refused_by_B == gate).sum()) for gate, name in enumerate(GATES)}

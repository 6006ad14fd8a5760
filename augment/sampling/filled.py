"""A shard that is filled: its samples, what the gates let pass, and what they refused, on its way to the store.

Imports no torch: those who encode and store it need none.
"""

from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.types import SampleBlock, ShardLedger

__all__ = ["Filled", "Rejected"]


@dataclass(frozen=True, slots=True)
class Rejected:
    """A candidate that was refused, kept for looking."""

    class_index: int
    sample_index: int
    attempt: int
    gate: str
    score: float  # what the gate measured; NaN of a repeat
    pixels_HWC: npt.NDArray[np.uint8]


@dataclass(frozen=True, slots=True)
class Filled:
    """A shard's samples, what the gates let pass (None where there were no gates), and a few of the refused."""

    block: SampleBlock
    ledger: ShardLedger | None
    rejected: tuple[Rejected, ...] = ()

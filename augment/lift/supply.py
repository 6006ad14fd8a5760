"""What arms become where a source has fewer samples than they want: the gates refused, or a class is left out.

Owns that rule: an arm is filled in the classes that it can fill whole, and named for it; one that can fill none is
not tried. Pure; knows neither images nor gates.

K = classes.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

import numpy as np
import numpy.typing as npt

from augment.lift.arms import Arm, Source, only_classes
from augment.lift.mixture import filled_counts
from augment.types import Record

__all__ = ["Supplied", "Supply", "Untried", "supplied"]


@dataclass(frozen=True)
class Supply:
    """Samples of one source by class index, [K], and what is known of why a class has few."""

    samples_K: npt.NDArray[np.int64]
    why: Mapping[int, str] = field(default_factory=dict)


class Untried(Record):
    """An arm that was asked for and not trained, and why."""

    arm: str
    generated: bool
    reason: str


@dataclass(frozen=True, slots=True)
class Supplied:
    """The arms to train, in the order asked for; for each narrowed one by its new name why; and those not tried."""

    arms: tuple[Arm, ...]
    narrowed: Mapping[str, str]
    untried: tuple[Untried, ...]


def supplied(
    arms: Sequence[Arm],
    counts_K: npt.NDArray[np.int64],
    class_names: Sequence[str],
    supplies: Mapping[Source, Supply],
) -> Supplied:
    """`arms` as `supplies` can fill them up, from `counts_K` real rows."""
    kept: list[Arm] = []
    narrowed: dict[str, str] = {}
    untried: list[Untried] = []
    for arm in arms:
        if arm.source is None:
            kept.append(arm)
            continue
        supply = supplies[arm.source]
        wanted_K = filled_counts(arm, counts_K)
        short = np.flatnonzero(supply.samples_K < wanted_K).tolist()
        full = np.flatnonzero((wanted_K > 0) & (supply.samples_K >= wanted_K)).tolist()
        if not short and full:
            kept.append(arm)
        elif not full:
            reason = _short(supply, wanted_K, class_names, short) if short else "every class is full"
            untried.append(Untried(arm=arm.name, generated=not arm.is_control, reason=reason))
        else:
            kept.append(only_classes(arm, full))
            narrowed[kept[-1].name] = _short(supply, wanted_K, class_names, short)
    return Supplied(tuple(kept), narrowed, tuple(untried))


def _short(
    supply: Supply,
    wanted_K: npt.NDArray[np.int64],
    class_names: Sequence[str],
    short: Sequence[int],
) -> str:
    """Class by class what there is of what is wanted."""
    parts = []
    for index in short:
        why = f" ({supply.why[index]})" if index in supply.why else ""
        parts.append(
            f"{class_names[index]!r} has {supply.samples_K[index]:,} of {wanted_K[index]:,} samples{why}"
        )
    return "; ".join(parts)

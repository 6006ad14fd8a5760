"""Which real rows may take part, where more than their names and labels has to be asked.

Owns the deep look of the mixing reader: every image is opened once, those that cannot be used are left out,
and so is what source.duplicates drops. What is the same, and what a policy makes of it, is
augment.data.duplicates' subject, and the same here as in `augment inspect --deep` and in a run.

Axes: N = rows of the source's training split.
"""

from __future__ import annotations

import logging

import numpy as np
import numpy.typing as npt

from augment.data.census import refuse_bad
from augment.data.config import DuplicatesConfig, ImageConfig
from augment.data.deep_look import TRAINING_SPLIT, OpenedSplit, compare_splits, compared_splits, open_images
from augment.data.listing import Source
from augment.errors import InputError

__all__ = ["is_choosy", "usable_rows"]

log = logging.getLogger("augment")

_THREADS = 4


def is_choosy(policy: DuplicatesConfig) -> bool:
    """Whether a policy may leave rows out, or stop: what can't be known without opening every image."""
    return bool({policy.across_splits, policy.across_labels, policy.exact, policy.near} & {"drop", "refuse"})


def usable_rows(source: Source, image: ImageConfig) -> npt.NDArray[np.bool_]:
    """Which rows of the training split can be decoded and are not dropped as duplicates; shape [N].

    Opens every image, those of held-out splits too where they are compared. Raises InputError for a bad image
    where source.on_bad is `fail`, for a duplicate whose policy is `refuse`, and where nothing is left.
    """
    training = open_images(TRAINING_SPLIT, source, image, _THREADS)
    refuse_bad(training.bad, source.config)
    for bad in training.bad:
        log.warning("left out %s: %s", bad.name, bad.reason)
    usable_N = np.zeros(len(source.listing().labels_B), dtype=bool)
    usable_N[training.hashed.item_B] = True
    usable_N[_dropped(source, training, image)] = False
    if not usable_N.any():
        raise InputError(f"no image of {source.config.where} can be used; run augment inspect --deep for why")
    return usable_N


def _dropped(source: Source, training: OpenedSplit, image: ImageConfig) -> npt.NDArray[np.int64]:
    """Rows that source.duplicates drops; what it keeps is warned of where it leaks."""
    splits = compared_splits(source)
    if not splits:
        return np.empty(0, dtype=np.int64)
    held_out = [
        open_images(name, split, image, _THREADS).hashed
        for name, split in splits.items()
        if name != TRAINING_SPLIT
    ]
    resolution = compare_splits(source, [training.hashed, *held_out])
    for dropped in resolution.dropped:
        log.warning("left out %s: %s", dropped.name, dropped.reason)
    leaked = resolution.report.found.get("across_splits", 0)
    if leaked and source.config.duplicates.across_splits == "keep":
        first = next(pair for pair in resolution.report.pairs if pair.kind == "across_splits")
        log.warning(
            "LEAKAGE: %d training images are in a held-out split too, the first of them %s = %s (%s); "
            "source.duplicates.across_splits=drop leaves them out",
            leaked, first.name, first.other, first.other_split,
        )  # fmt: skip
    return resolution.dropped_items

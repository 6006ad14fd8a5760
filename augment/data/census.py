"""The census: how many usable images each class has, and what cannot be used.

Owns counting and nothing else. Labels alone by default; a deep census decodes every image as well.
"""

from collections.abc import Callable, Sequence

import numpy as np
import numpy.typing as npt
from pydantic import Field

from augment.data.config import ImageConfig, SourceConfig
from augment.data.deep_look import TRAINING_SPLIT, OpenedSplit, compare_splits, compared_splits, open_images
from augment.data.duplicates import DuplicateReport, Resolution
from augment.data.listing import Listing, Source, SourceCounts
from augment.errors import InputError
from augment.types import BadImage, ClassCounts, Record

__all__ = ["Census", "images_to_open", "refuse_bad", "take_census"]

_NAMED_IN_ERROR = 5


class Census(Record):
    """What a source holds, class by class."""

    counts: ClassCounts  # usable images
    head_class: str  # name of the largest class (the first by label among equals)
    tail_class: str  # name of the smallest class that has images (likewise)
    imbalance_ratio: float
    bad: tuple[BadImage, ...]
    fingerprint: str  # of the source's names, sizes and labels
    deep: bool  # whether every image was decoded
    held_out: dict[str, ClassCounts] = Field(
        default={}
    )  # by split, as labelled: never trained on, never balanced
    held_out_unlabelled: dict[str, int] = Field(
        default={}
    )  # held-out rows by split without a label, or with one of no class
    dropped: dict[str, int] = Field(default={})  # images by the class that source.labels leaves out
    etags: dict[str, str] = Field(
        default={}
    )  # by URI; another one where a file was written anew, though of the same size
    duplicates: DuplicateReport | None = None  # of a deep census, where source.duplicates looks for any


def take_census(
    source: Source,
    *,
    image: ImageConfig,
    deep: bool = False,
    threads: int = 4,
    progress: Callable[[int, int], None] | None = None,
) -> Census:
    """Count the usable images of every class.

    `deep` decodes every image in `threads` threads, calling `progress(done, total)` as it goes, so that
    damaged images are found too, and images that are there twice (held-out ones are opened for that as well);
    what source.duplicates drops is among the bad ones. Raises InputError (exit code 3) naming the first bad
    images if there are any and source.on_bad is `fail`, if a policy of source.duplicates refuses, or if
    nothing is usable.
    """
    found = source.counts()
    counts, bad, duplicates = found.counts, list(found.bad), None
    if deep:
        counted = _Progress(source, progress)
        training = open_images(TRAINING_SPLIT, source, image, threads, counted)
        bad += training.bad
        refuse_bad(bad, source.config)
        resolution = _compared(source, training, image, threads, counted)
        left_out = resolution.dropped_items if resolution else ()
        bad += resolution.dropped if resolution else ()
        duplicates = resolution.report if resolution else None
        counts = _counted(source.listing(), np.setdiff1d(training.hashed.item_B, left_out))
    refuse_bad(bad, source.config)
    return _census(found, counts, tuple(bad), deep, source.config.where, duplicates)


def images_to_open(source: Source) -> int:
    """How many images a deep census opens: those to train on, and the held-out ones they are compared with."""
    splits = compared_splits(source) or {TRAINING_SPLIT: source}
    return sum(len(split.listing().labels_B) for split in splits.values())


class _Progress:
    """Counts opened images and tells the caller."""

    def __init__(self, source: Source, progress: Callable[[int, int], None] | None) -> None:
        self._progress = progress
        self._total = images_to_open(source) if progress else 0
        self._done = 0

    def __call__(self) -> None:
        self._done += 1
        if self._progress is not None:
            self._progress(self._done, self._total)


def _compared(
    source: Source, training: OpenedSplit, image: ImageConfig, threads: int, counted: Callable[[], None]
) -> Resolution | None:
    """What is there twice; None where the config doesn't look for it."""
    splits = compared_splits(source)
    if not splits:
        return None
    held_out = [
        open_images(name, split, image, threads, counted).hashed
        for name, split in splits.items()
        if name != TRAINING_SPLIT
    ]
    return compare_splits(source, [training.hashed, *held_out])


def _counted(listing: Listing, item_U: npt.NDArray[np.int64]) -> ClassCounts:
    """Images a class, of the usable items."""
    counted = np.bincount(listing.labels_B[item_U], minlength=len(listing.classes))
    return ClassCounts(classes=listing.classes, counts=tuple(int(count) for count in counted))


def _census(
    found: SourceCounts,
    counts: ClassCounts,
    bad: tuple[BadImage, ...],
    deep: bool,
    where: str,
    duplicates: DuplicateReport | None,
) -> Census:
    present = [(count, info.name) for info, count in zip(counts.classes, counts.counts, strict=True) if count]
    if not present:
        raise InputError(f"no image of {where} can be used: {_named(bad)}")
    return Census(
        counts=counts,
        head_class=max(present, key=lambda pair: pair[0])[1],
        tail_class=min(present, key=lambda pair: pair[0])[1],
        imbalance_ratio=counts.imbalance_ratio,
        bad=bad,
        fingerprint=found.fingerprint,
        deep=deep,
        held_out=dict(found.held_out),
        held_out_unlabelled=dict(found.held_out_unlabelled),
        dropped=dict(found.dropped),
        etags=dict(found.etags),
        duplicates=duplicates,
    )


def refuse_bad(bad: Sequence[BadImage], config: SourceConfig) -> None:
    """InputError naming the first bad images, where `source.on_bad=fail` and there are any.

    What a policy of source.duplicates leaves out is good, and not among them.
    """
    unusable = [image for image in bad if image.duplicate_of is None]
    if unusable and config.on_bad == "fail":
        raise InputError(_refusal(unusable, config.where))


def _refusal(bad: list[BadImage], uri: str) -> str:
    many = "1 image" if len(bad) == 1 else f"{len(bad):,} images"
    return f"{many} of {uri} cannot be used: {_named(bad)}. Mend or remove them, or set source.on_bad=skip"


def _named(bad: list[BadImage] | tuple[BadImage, ...]) -> str:
    first = "; ".join(f"{item.name} {item.reason}" for item in bad[:_NAMED_IN_ERROR])
    return first + (f"; and {len(bad) - _NAMED_IN_ERROR:,} more" if len(bad) > _NAMED_IN_ERROR else "")

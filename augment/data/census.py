"""The census: how many usable images each class has, and what cannot be used.

Owns counting and nothing else. Labels alone by default; a deep census decodes every image as well.
"""

from collections import deque
from collections.abc import Callable, Iterator
from concurrent.futures import Future, ThreadPoolExecutor

import numpy as np
import numpy.typing as npt

from augment.data.config import ImageConfig
from augment.data.images import BadImageError, ImageLimits, decode_image
from augment.data.listing import Listing, Source, SourceItem
from augment.errors import InputError
from augment.types import BadImage, ClassCounts, Record

__all__ = ["Census", "take_census"]

_NAMED_IN_ERROR = 5
_IN_FLIGHT_PER_THREAD = 4  # encoded images waiting; what bounds a deep census's memory


class Census(Record):
    """What a source holds, class by class."""

    counts: ClassCounts  # usable images
    head_class: str  # name of the largest class (the first by label among equals)
    tail_class: str  # name of the smallest class that has images (likewise)
    imbalance_ratio: float
    bad: tuple[BadImage, ...]
    fingerprint: str  # of the source's names, sizes and labels
    deep: bool  # whether every image was decoded


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
    damaged images are found too. Raises InputError (exit code 3) naming the first bad images if there are
    any and source.on_bad is `fail`, or if nothing is usable.
    """
    listing = source.listing()
    usable_B = np.ones(len(listing.labels_B), dtype=bool)
    bad = list(listing.bad)
    if deep:
        for index, fault in _undecodable(source, listing, image, threads, progress):
            usable_B[index] = False
            bad.append(fault)
    if bad and source.config.on_bad == "fail":
        raise InputError(_refusal(bad, source.config.uri))
    return _census(listing, usable_B, tuple(bad), deep, source.config.uri)


def _census(
    listing: Listing, usable_B: npt.NDArray[np.bool_], bad: tuple[BadImage, ...], deep: bool, uri: str
) -> Census:
    counted = np.bincount(listing.labels_B[usable_B], minlength=len(listing.classes))
    counts = ClassCounts(classes=listing.classes, counts=tuple(int(count) for count in counted))
    present = [(count, info.name) for info, count in zip(counts.classes, counts.counts, strict=True) if count]
    if not present:
        raise InputError(f"no image of {uri} can be used: {_named(bad)}")
    return Census(
        counts=counts,
        head_class=max(present, key=lambda pair: pair[0])[1],
        tail_class=min(present, key=lambda pair: pair[0])[1],
        imbalance_ratio=counts.imbalance_ratio,
        bad=bad,
        fingerprint=listing.fingerprint,
        deep=deep,
    )


def _undecodable(
    source: Source,
    listing: Listing,
    image: ImageConfig,
    threads: int,
    progress: Callable[[int, int], None] | None,
) -> Iterator[tuple[int, BadImage]]:
    """Every item that cannot be decoded, in order, with a bounded number of images in memory."""
    limits, total = ImageLimits.of(source.config), len(listing.labels_B)

    def fault_of(item: SourceItem) -> tuple[int, BadImage | None]:
        try:
            decode_image(item.data, image, limits)
        except BadImageError as error:
            return item.item_index, BadImage(name=item.name, reason=str(error))
        return item.item_index, None

    items = (item for chunk in source.chunks() for item in source.read(chunk))
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for done, (index, fault) in enumerate(_in_order(pool, fault_of, items, threads), start=1):
            if progress is not None:
                progress(done, total)
            if fault is not None:
                yield index, fault


def _in_order(
    pool: ThreadPoolExecutor,
    fault_of: Callable[[SourceItem], tuple[int, BadImage | None]],
    items: Iterator[SourceItem],
    threads: int,
) -> Iterator[tuple[int, BadImage | None]]:
    """Like `pool.map`, but never further ahead than a few items a thread."""
    waiting = deque[Future[tuple[int, BadImage | None]]]()
    for item in items:
        waiting.append(pool.submit(fault_of, item))
        if len(waiting) >= threads * _IN_FLIGHT_PER_THREAD:
            yield waiting.popleft().result()
    while waiting:
        yield waiting.popleft().result()


def _refusal(bad: list[BadImage], uri: str) -> str:
    many = "1 image" if len(bad) == 1 else f"{len(bad):,} images"
    return f"{many} of {uri} cannot be used: {_named(bad)}. Mend or remove them, or set source.on_bad=skip"


def _named(bad: list[BadImage] | tuple[BadImage, ...]) -> str:
    first = "; ".join(f"{item.name} {item.reason}" for item in bad[:_NAMED_IN_ERROR])
    return first + (f"; and {len(bad) - _NAMED_IN_ERROR:,} more" if len(bad) > _NAMED_IN_ERROR else "")

"""Every image of a source opened, in threads: which ones cannot be used, and which are there twice.

Owns the walk over the splits and its bounded memory: encoded images in flight, and 41 bytes for each one
that was opened. What is the same, and what becomes of it, is augment.data.duplicates' subject.
"""

from collections import deque
from collections.abc import Callable, Iterator, Mapping, Sequence
from concurrent.futures import Future, ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from augment.data.config import DuplicatesConfig, ImageConfig
from augment.data.duplicates import HashedSplit, HashTable, Resolution, resolve_duplicates
from augment.data.image_hashes import HASH_DTYPE, hashes_of
from augment.data.images import BadImageError, ImageLimits, fit_image, whole_image
from augment.data.listing import Source, SourceItem
from augment.types import BadImage

__all__ = [
    "TRAINING_SPLIT",
    "OpenedSplit",
    "compare_splits",
    "compared_splits",
    "open_images",
]

TRAINING_SPLIT = "train"
"""What reports call the rows to learn from, whatever their splits are named in the source."""

_IN_FLIGHT_PER_THREAD = 4  # encoded images waiting; what bounds the memory


@dataclass(frozen=True)
class OpenedSplit:
    """One split's images: the hashes of those that can be used, and the others by name and reason."""

    hashed: HashedSplit
    bad: tuple[BadImage, ...]


class _Opened(NamedTuple):
    """One item: its hashes (HASH_DTYPE, shape []), or why it cannot be used."""

    item_index: int
    name: str
    fault: str
    hashes: npt.NDArray[Any] | None


def open_images(
    split: str, source: Source, image: ImageConfig, threads: int, opened: Callable[[], None] = lambda: None
) -> OpenedSplit:
    """Decode and hash every image of `source`, which is the split `split`; `opened()` is called after each."""
    labels_B = source.listing().labels_B
    usable_B = np.zeros(len(labels_B), dtype=bool)
    hashes_B = np.empty(len(labels_B), HASH_DTYPE)
    bad = list[BadImage]()
    for item in _opened_in_order(source, image, threads):
        if item.hashes is None:
            bad.append(BadImage(name=item.name, reason=item.fault))
        else:
            usable_B[item.item_index] = True
            hashes_B[item.item_index] = item.hashes
        opened()
    item_U = np.flatnonzero(usable_B)
    return OpenedSplit(HashedSplit(split, item_U, labels_B[item_U], hashes_B[item_U]), tuple(bad))


def compared_splits(source: Source) -> dict[str, Source]:
    """The splits whose images are compared, by name: the training split first; {} if nothing is looked for."""
    policy = source.config.duplicates
    if not policy.looked_for:
        return {}
    return {TRAINING_SPLIT: source} | (dict(source.held_out()) if _across_splits(policy) else {})


def compare_splits(source: Source, splits: Sequence[HashedSplit]) -> Resolution:
    """What is there twice in these splits of `source`, and what its policies make of it.

    Raises InputError, naming files, where a policy refuses.
    """
    sources = compared_splits(source)
    names = tuple(info.name for info in source.listing().classes)
    table = HashTable(tuple(splits), names)

    def names_of(split: int, items: Sequence[int]) -> Mapping[int, str]:
        return sources[splits[split].name].names_of(items)

    return resolve_duplicates(table, source.config.duplicates, names_of)


def _across_splits(policy: DuplicatesConfig) -> bool:
    return policy.across_splits != "off" or policy.near != "off"


def _opened_in_order(source: Source, image: ImageConfig, threads: int) -> Iterator[_Opened]:
    limits = ImageLimits.of(source.config)

    def look(item: SourceItem) -> _Opened:
        if item.fault:
            return _Opened(item.item_index, item.name, item.fault, None)
        try:
            whole = whole_image(item.data, image.background, limits)
            fit_image(whole, image, limits)  # its pixels are forgotten; that they can be made is not
            hashes = hashes_of(item.data, whole)
        except BadImageError as error:
            return _Opened(item.item_index, item.name, str(error), None)
        return _Opened(item.item_index, item.name, "", hashes)

    waiting = deque[Future[_Opened]]()
    with ThreadPoolExecutor(max_workers=threads) as pool:
        for chunk in source.chunks():
            for item in source.read(chunk):  # like pool.map, but never far ahead
                waiting.append(pool.submit(look, item))
                if len(waiting) >= threads * _IN_FLIGHT_PER_THREAD:
                    yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()

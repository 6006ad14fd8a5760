"""What every source promises: a listing without pixels, and picklable chunks to read images from.

Owns the contract and the records that carry it. Knows no format.
"""

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from augment.data.config import SourceConfig
from augment.types import BadImage, ClassInfo, canonical_json

__all__ = ["Chunk", "Listing", "Source", "SourceItem", "fingerprint_of"]


class SourceItem(NamedTuple):
    """One usable image as it lies in the source, still encoded."""

    item_index: int  # its position in the listing, 0 … len(listing.labels_B) - 1
    name: str
    data: bytes


@dataclass(frozen=True)
class Listing:
    """What lies in a source, learned from names and labels alone."""

    classes: tuple[ClassInfo, ...]  # ordered by label
    labels_B: npt.NDArray[np.int32]  # class index (position in `classes`) of every item
    bad: tuple[BadImage, ...]  # what cannot be used; not among the items
    fingerprint: str  # SHA-256 over names, sizes and labels; the same on S3 and locally


@dataclass(frozen=True)
class Chunk:
    """A read task: items `first_index … first_index + count - 1`. Pickles small, reads anywhere."""

    first_index: int
    count: int
    keys: tuple[str, ...]  # a folder's files, one an item; or the one Parquet file
    row_group: int | None = None  # of the Parquet file
    skipped_rows: tuple[int, ...] = ()  # rows of the row group that are not items


class Source(Protocol):
    """Labelled images somewhere. Pickles as its config: clients are built where it is used."""

    @property
    def config(self) -> SourceConfig:
        """Where and how; `format` is resolved, never `auto`."""

    def listing(self) -> Listing:
        """Classes, labels and what is bad; kept after the first call. InputError if nothing is usable."""

    def chunks(self) -> Sequence[Chunk]:
        """The items cut into read tasks, in order and without gaps."""

    def read(self, chunk: Chunk) -> Iterator[SourceItem]:
        """The chunk's items in order; bytes are as stored (empty where the source has none)."""

    def names(self) -> Sequence[str]:
        """A human's name for every item, read when asked for."""


def fingerprint_of(files: Iterable[tuple[str, int]], classes: Sequence[ClassInfo], labels_B: bytes) -> str:
    """SHA-256 over (name, bytes) of every file in order, the classes, and the labels' bytes."""
    digest = hashlib.sha256()
    for name, size in files:
        digest.update(canonical_json([name, size]) + b"\n")
    digest.update(canonical_json([[info.label, info.name] for info in classes]) + b"\n")
    digest.update(labels_B)
    return digest.hexdigest()

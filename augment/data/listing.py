"""What a source promises: a census without images, a listing without pixels, and chunks to read images from.

Owns the contract and the records that carry it. Knows no format.

`open_source(config)` (sources.py) gives the rows to train on; `source.held_out()` gives the others, split by
split, as sources of the same classes. So duplicates across splits, say, are found like this:

    training = open_source(config)
    for split, source in {"train": training, **training.held_out()}.items():
        for chunk in source.chunks():
            for item in source.read(chunk):
                label = source.listing().labels_B[item.item_index]   # -1: held out and unlabelled
"""

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from augment.data.config import SourceConfig
from augment.types import BadImage, ClassCounts, ClassInfo, canonical_json

__all__ = ["Chunk", "FoundImage", "Listing", "Source", "SourceCounts", "SourceItem", "fingerprint_of"]


class SourceItem(NamedTuple):
    """One usable image as it lies in the source, still encoded."""

    item_index: int  # its position in the listing, 0 … len(listing.labels_B) - 1
    name: str
    data: bytes
    fault: str = ""  # why there are no bytes (`does not exist`); such an item is a bad image
    published: str = ""  # what rows made from it call it: it tells no place (published.py)


class FoundImage(NamedTuple):
    """Where an image lies that published rows name."""

    uri: str  # of the source's, as the config has it
    name: str  # a human's, there


@dataclass(frozen=True)
class Listing:
    """What lies in a source, learned from names and labels alone."""

    classes: tuple[ClassInfo, ...]  # ordered by label; the same for every split
    labels_B: npt.NDArray[np.int32]  # class index (position in `classes`) of every item; -1: see Source
    bad: tuple[BadImage, ...]  # what cannot be used; not among the items
    fingerprint: str  # SHA-256 over names, sizes and labels of all splits; the same on S3 and locally


@dataclass(frozen=True)
class SourceCounts:
    """What a census needs, in memory that doesn't grow with the number of images."""

    counts: ClassCounts  # of the rows to train on
    bad: tuple[BadImage, ...]
    fingerprint: str
    held_out: Mapping[str, ClassCounts] = field(
        default_factory=dict
    )  # by split: never trained on or balanced
    held_out_unlabelled: Mapping[str, int] = field(
        default_factory=dict
    )  # rows by split that have no label, or one that no row to learn from has
    dropped: Mapping[str, int] = field(default_factory=dict)  # images by the class that source.labels drops
    etags: Mapping[str, str] = field(default_factory=dict)  # by URI: changes when a file is written anew


@dataclass(frozen=True)
class Chunk:
    """A read task: items `first_index … first_index + count - 1`. Pickles small, reads anywhere."""

    first_index: int
    count: int
    keys: tuple[str, ...]  # an item's file each, or its name within the one file that `container` names
    part: int = 0  # which of the source's URIs
    container: str = ""  # the Parquet file or tar
    row_group: int | None = None  # of the Parquet file
    skipped_rows: tuple[int, ...] = ()  # rows of the row group that are not items
    held_bytes: int = 0  # about what the row group holds: a page of it may be the whole of it
    spans: tuple[tuple[int, int], ...] = ()  # of the tar: each item's first byte, and how many


class Source(Protocol):
    """Labelled images somewhere. Pickles as its config: clients are built where it is used."""

    @property
    def config(self) -> SourceConfig:
        """Where and how; `format` is resolved, never `auto`, where all URIs have one."""

    @property
    def shows_overwrites(self) -> bool:
        """Whether the etags of `counts` are others once an image was written anew, as far as its store can tell."""

    def counts(self) -> SourceCounts:
        """Images a class, streamed: no label is kept. InputError if nothing is usable."""

    def listing(self) -> Listing:
        """Classes, labels and what is bad; kept after the first call. InputError if nothing is usable."""

    def chunks(self) -> Sequence[Chunk]:
        """The items cut into read tasks, in order and without gaps."""

    def read(self, chunk: Chunk) -> Iterator[SourceItem]:
        """The chunk's items in order; bytes are as stored (empty where the source has none)."""

    def names(self) -> Sequence[str]:
        """A human's name for every item, read when asked for."""

    def names_of(self, item_F: Sequence[int]) -> Mapping[int, str]:
        """The names of these items alone, by item."""

    def find_published(self, names: Iterable[str]) -> Mapping[str, FoundImage]:
        """The images that published rows call by these names, by name; those that are not there (any more) are left out."""

    def held_out(self) -> Mapping[str, "Source"]:
        """Rows that are never trained on nor balanced, by split (`test`, `validation`); {} where no split is.

        Their classes are this source's. A row without a label, or with one that no row to train on has, is an
        item with the label -1, as in public test sets; every other item, and every item to train on, has one.
        """


def fingerprint_of(files: Iterable[tuple[str, int]], classes: Sequence[ClassInfo], labels_B: bytes) -> str:
    """SHA-256 over (name, bytes) of every file in order, the classes, and the labels' bytes."""
    digest = hashlib.sha256()
    for name, size in files:
        digest.update(canonical_json([name, size]) + b"\n")
    digest.update(canonical_json([[info.label, info.name] for info in classes]) + b"\n")
    digest.update(labels_B)
    return digest.hexdigest()

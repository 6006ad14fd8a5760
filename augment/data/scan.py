"""What a format tells of the rows at one place, and the contract that every format keeps.

Owns the record in which formats hand over their rows, counted or one by one, and the rule by which label
values become classes. Knows no format, and no label map: which rows are used is selection.py's subject.

Rows are grouped: rows of one split and one class are a pair, and a place has few of these. A census needs no
more than the pairs' counts, and a listing one int32 a row beside them.

Axes: P = pairs of (split, class), B = rows.
"""

import hashlib
from array import array
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple, Protocol

import numpy as np
import numpy.typing as npt

from augment.data.config import SplitConfig
from augment.data.listing import Chunk
from augment.data.named_twice import NamedFiles
from augment.data.places import EtagDigest, Place
from augment.data.splits import unknown_split
from augment.types import BadImage, ClassInfo, canonical_json

__all__ = [
    "UNLABELLED",
    "Format",
    "FoundClasses",
    "Label",
    "ReadImage",
    "RowLog",
    "Scan",
    "classes_of_names",
    "classes_of_pairs",
    "classes_of_values",
    "is_learned",
    "scan_of_labels",
    "text_label",
]

Label = int | str
"""A label's value as it stands in the data."""

UNLABELLED = -1
"""The class index of a row without a usable label."""

Pair = tuple[str, Label | None]


class ReadImage(NamedTuple):
    """One image as a format reads it."""

    name: str
    data: bytes
    fault: str = ""  # why there are no bytes
    published: str = ""  # see Format.published_names


@dataclass(frozen=True)
class Scan:
    """Every row at a place. Rows to learn from that have no usable label are in `bad` as well."""

    classes: tuple[ClassInfo, ...]  # of rows to learn from, ordered by label
    ranked: bool  # labels are only the ranks of the names: the data has none
    split_P: tuple[str, ...]  # '' where the place has no splits
    class_P: npt.NDArray[np.int32]  # position in `classes` or, from there on, in `others`; or UNLABELLED
    count_P: npt.NDArray[np.int64]
    bad: tuple[BadImage, ...]
    fingerprint: str  # SHA-256 of names, sizes and labels
    etag: str
    others: tuple[str, ...] = ()  # class names that held-out rows alone have
    pair_B: npt.NDArray[np.int32] | None = None  # each row's pair, where rows were kept
    named: tuple[NamedFiles, ...] = ()  # of manifests, where the source has several

    @property
    def class_names(self) -> tuple[str, ...]:
        """The names that `class_P` counts through."""
        return (*(info.name for info in self.classes), *self.others)


class FoundClasses(NamedTuple):
    """The classes of a place's label values: those of rows to learn from, and the other values' names."""

    classes: tuple[ClassInfo, ...]
    others: tuple[str, ...]
    index_of_text: Mapping[str, int]  # by a label's text: of both, one after the other
    ranked: bool

    def class_of(self, value: Label | None) -> int:
        """The class index of a row with this label (see Scan.class_P)."""
        return UNLABELLED if value is None else self.index_of_text.get(str(value), UNLABELLED)


class Format(Protocol):
    """Images of one format at one place. Pickles as its place and config; rows are numbered from 0."""

    place: Place

    @property
    def shows_overwrites(self) -> bool:
        """Whether the scan's etag is another one once an image was written anew."""

    def scan(self, *, keep: bool) -> Scan:
        """All rows, counted; with `keep` also one by one, as chunks and names need them afterwards.

        Raises InputError for a place that holds nothing of this format, or breaks its rules.
        """

    def chunks(self, keep_B: npt.NDArray[np.bool_]) -> Iterator[Chunk]:
        """The rows of `keep_B` [all rows] cut into read tasks, in order; items are numbered from 0."""

    def read(self, chunk: Chunk) -> Iterator[ReadImage]:
        """The chunk's images, in order."""

    def names(self, keep_B: npt.NDArray[np.bool_]) -> list[str]:
        """A human's name for each row of `keep_B`."""

    def published_names(self, keep_B: npt.NDArray[np.bool_]) -> list[str]:
        """What published rows call each row of `keep_B`, below its URI: a name that tells no place (published.py)."""


class RowLog:
    """Rows as a format meets them one after another; flat in memory unless they are kept."""

    def __init__(self, *, keep: bool) -> None:
        self._pairs: dict[Pair, int] = {}
        self._counts = array("q")
        self._pair_B = array("i") if keep else None
        self._digest = hashlib.sha256()

    def add(self, split: str, label: Label | None, identity: str) -> None:
        """Take a row; `identity` (its name and size, say) goes into the fingerprint beside them."""
        pair = self._pairs.setdefault((split, label), len(self._counts))
        if pair == len(self._counts):
            self._counts.append(0)
        self._counts[pair] += 1
        if self._pair_B is not None:
            self._pair_B.append(pair)
        self._digest.update(f"{pair} {len(identity)} {identity}\n".encode("utf-8", "surrogateescape"))

    @property
    def pairs(self) -> Sequence[Pair]:
        """The (split, label) pairs so far, in the order in which they were met."""
        return tuple(self._pairs)

    @property
    def rows(self) -> int:
        """Rows so far."""
        return sum(self._counts)

    def scan(
        self, found: FoundClasses, pairs: Sequence[tuple[str, int]], bad: Iterable[BadImage], etag: EtagDigest
    ) -> Scan:
        """All rows; `pairs` gives the split and class index that each of `self.pairs` turned out to be."""
        meaning = [[info.label, info.name] for info in found.classes], found.others, pairs
        self._digest.update(canonical_json(meaning))
        kept = self._pair_B
        return Scan(
            classes=found.classes,
            others=found.others,
            ranked=found.ranked,
            split_P=tuple(split for split, _ in pairs),
            class_P=np.array([index for _, index in pairs], dtype=np.int32),
            count_P=np.array(self._counts, dtype=np.int64),
            bad=tuple(bad),
            fingerprint=self._digest.hexdigest(),
            etag=etag.hexdigest(),
            pair_B=None if kept is None else np.frombuffer(kept, dtype=np.int32),
        )


def is_learned(split: str, config: SplitConfig) -> bool:
    """Whether rows of a split are learned from; those of a place without splits ('') are."""
    return split == "" or split in config.use


def classes_of_pairs(pairs: Iterable[Pair], config: SplitConfig) -> FoundClasses:
    """The classes of (split, label) pairs: what rows to learn from are labelled with, and nothing else.

    A public test set's -1 must neither be a class nor change what the others are numbered.
    """
    labelled = {(split, value) for split, value in pairs if value is not None}
    classes, _ = classes_of_values(value for split, value in labelled if is_learned(split, config))
    learned = [info.name for info in classes]
    others = sorted({str(value) for _, value in labelled} - set(learned))
    index_of_text = {name: index for index, name in enumerate([*learned, *others])}
    ranked = any(isinstance(value, str) for split, value in labelled if is_learned(split, config))
    return FoundClasses(classes, tuple(others), index_of_text, ranked)


def scan_of_labels(
    log: RowLog, config: SplitConfig, where: str, bad: Iterable[BadImage], etag: EtagDigest
) -> Scan:
    """All rows of a place whose labels are plain values; `where` is what to call it.

    Raises InputError where some rows tell a split and others don't: these may be a test set's.
    """
    splits = {split for split, _ in log.pairs}
    if len(splits) > 1 and "" in splits:
        raise unknown_split(None, where, config)
    found = classes_of_pairs(log.pairs, config)
    return log.scan(found, [(split, found.class_of(label)) for split, label in log.pairs], bad, etag)


def classes_of_values(values: Iterable[Label]) -> tuple[tuple[ClassInfo, ...], dict[Label, int]]:
    """The classes of plain label values, ordered by label, and each value's class index.

    Integers are their own labels. Texts, and integers among texts, are labelled by their rank in code-point
    order.
    """
    found = set(values)
    numbers = sorted(value for value in found if isinstance(value, int))
    if len(numbers) == len(found):
        classes = tuple(ClassInfo(label=number, name=str(number)) for number in numbers)
        return classes, {number: index for index, number in enumerate(numbers)}
    classes = classes_of_names(str(value) for value in found)
    index_of = {info.name: index for index, info in enumerate(classes)}
    return classes, {value: index_of[str(value)] for value in found}


def classes_of_names(names: Iterable[str]) -> tuple[ClassInfo, ...]:
    """Classes labelled by the rank of their names in code-point order."""
    return tuple(ClassInfo(label=rank, name=name) for rank, name in enumerate(sorted(set(names))))


def text_label(text: str) -> Label | None:
    """A label written as text: an integer where it is one in plain decimals (`7`, `-3`), None if empty."""
    text = text.strip()
    digits = text.removeprefix("-")
    plain = digits.isascii() and digits.isdecimal() and (digits == "0" or not digits.startswith("0"))
    if plain and text != "-0" and len(digits) < 19:  # 64 bits
        return int(text)
    return text or None

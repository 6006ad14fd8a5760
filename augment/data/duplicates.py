"""Images that are there twice: within a class, across classes, across splits; and what a policy does with them.

Owns the comparing and the policies, as pure functions over columns: hashes, classes and splits. Reads and
decodes nothing; names are asked for only where something is found. Which image is the first of several
follows from the source's order, never from who hashed it.

    across_splits   a training image that a held-out split holds too (leakage): drop leaves out the training copy
    across_labels   one image in two classes of the training split: drop leaves out every copy
    exact           one image twice in a class of the training split: drop leaves out all but the first
    near            a training image whose perceptual hash is near that of a held-out image, or of an earlier
                    training image of any class: drop leaves it out

Two images are the same if their pixels are, upright and at full size, whatever the file format. Faint images
(see image_hashes) are never near anything. Held-out images are compared, and never left out.

Axes: N = images of all splits, the training split's first; F = findings.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Any, Literal, get_args

import numpy as np
import numpy.typing as npt

from augment.data.config import DuplicatesConfig
from augment.data.near_hashes import first_near, hamming_distance
from augment.errors import InputError
from augment.types import BadImage, Record

__all__ = [
    "DUPLICATE_KINDS",
    "DuplicatePair",
    "DuplicateReport",
    "HashTable",
    "HashedSplit",
    "Resolution",
    "finding_text",
    "resolve_duplicates",
]

DuplicateKind = Literal["across_splits", "across_labels", "exact", "near"]
DUPLICATE_KINDS: tuple[DuplicateKind, ...] = get_args(DuplicateKind)
"""In the order in which they are reported; the fields of source.duplicates."""

_LISTED = 10_000  # findings of a kind that a report names; it counts them all
_NAMED_IN_ERROR = 5
_NO_CLASS = "no class"  # of a held-out image without a label
_WHAT: dict[DuplicateKind, tuple[str, str]] = {
    "across_splits": (
        "training image is in a held-out split too",
        "training images are in a held-out split too",
    ),
    "across_labels": ("image is in more than one class", "images are in more than one class"),
    "exact": ("image repeats another of its class", "images repeat another of their class"),
    "near": ("image is nearly the same as another", "images are nearly the same as another"),
}

Rows = npt.NDArray[np.int64]

NamesOf = Callable[[int, Sequence[int]], Mapping[int, str]]
"""The names, by item, of some items of a split: positions in its listing."""


@dataclass(frozen=True)
class HashedSplit:
    """What is known of one split's images that could be decoded."""

    name: str
    item_B: npt.NDArray[np.int64]  # positions in the split's listing, ascending
    class_index_B: npt.NDArray[np.int32]  # -1: a held-out image without a label
    hashes_B: npt.NDArray[Any]  # HASH_DTYPE


@dataclass(frozen=True)
class HashTable:
    """The splits' columns one below the other; the first split is the one that is trained on."""

    splits: tuple[HashedSplit, ...]
    class_names: tuple[str, ...]  # by class index, the same for all splits

    @cached_property
    def hashes_N(self) -> npt.NDArray[Any]:
        """HASH_DTYPE of every image."""
        return np.concatenate([split.hashes_B for split in self.splits])

    @cached_property
    def label_N(self) -> npt.NDArray[np.int32]:
        """Class index of every image."""
        return np.concatenate([split.class_index_B for split in self.splits])

    @property
    def training_rows(self) -> int:
        """Rows of the first split: 0 … training_rows - 1."""
        return len(self.splits[0].item_B)

    @cached_property
    def begins(self) -> Rows:
        """The first row of each split, and one past the last row."""
        return np.cumsum([0, *(len(split.item_B) for split in self.splits)], dtype=np.int64)

    @cached_property
    def rank_N(self) -> Rows:
        """The order in which copies count as the first: held-out images, then training images."""
        row_N = np.arange(len(self.hashes_N), dtype=np.int64)
        return np.where(row_N < self.training_rows, row_N + len(row_N), row_N)

    def place(self, row: int) -> tuple[int, int]:
        """Which split a row is of, and its position among that split's rows."""
        split = int(np.searchsorted(self.begins, row, side="right")) - 1
        return split, row - int(self.begins[split])


class DuplicatePair(Record):
    """A training image and another that is the same, or near."""

    kind: DuplicateKind
    name: str
    class_name: str
    other: str
    other_class: str
    other_split: str
    same: Literal["file", "pixels"] | None  # bytes and pixels, pixels alone, or neither
    distance: int  # bits of 64 in which the perceptual hashes differ


class DuplicateReport(Record):
    """What was found: every finding counted, the first 10,000 of each kind named."""

    compared: int  # images, of all splits
    faint: int  # of these, too faint to be near another
    splits: tuple[str, ...]  # compared; the first is trained on
    found: dict[DuplicateKind, int]  # only kinds that were looked for
    dropped: int  # training images left out by source.duplicates
    pairs: tuple[DuplicatePair, ...]


@dataclass(frozen=True)
class Resolution:
    """The findings, and what the policies make of them."""

    report: DuplicateReport
    dropped_items: Rows  # positions in the training listing, ascending
    dropped: tuple[BadImage, ...]  # the same, by name and reason


@dataclass(frozen=True)
class _Findings:
    """Findings of one kind: training rows, ascending, and the row each repeats."""

    kind: DuplicateKind
    row_F: Rows
    other_F: Rows


def finding_text(kind: DuplicateKind, count: int) -> str:
    """What was found, in words: `2 training images are in a held-out split too`."""
    one, several = _WHAT[kind]
    return f"{count:,} {one if count == 1 else several}"


def resolve_duplicates(table: HashTable, policy: DuplicatesConfig, names_of: "NamesOf") -> Resolution:
    """Compare all images of `table` and apply `policy`.

    `names_of(split, items)` gives the names of some items of a split's listing; it is called only for splits
    with a finding, and asked for no name that nobody will read. Raises InputError (exit code 3), naming the first files, for a finding whose policy is `refuse`.
    """
    findings = [found for found in _looked_for(table, policy) if len(found.row_F)]
    names = _Names.of_findings(table, policy, findings, names_of)
    for found in findings:
        if getattr(policy, found.kind) == "refuse":
            raise InputError(_refusal(found, names, policy))
    dropped_items, dropped = _dropped(table, policy, findings, names)
    counts = dict.fromkeys((kind for kind in DUPLICATE_KINDS if getattr(policy, kind) != "off"), 0)
    report = DuplicateReport(
        compared=len(table.hashes_N),
        faint=int(table.hashes_N["faint"].sum()),
        splits=tuple(split.name for split in table.splits),
        found=counts | {found.kind: len(found.row_F) for found in findings},
        dropped=len(dropped),
        pairs=tuple(pair for found in findings for pair in names.pairs(found, _LISTED)),
    )
    return Resolution(report, dropped_items, dropped)


# ---- comparing ----------------------------------------------------------------------------------------


def _looked_for(table: HashTable, policy: DuplicatesConfig) -> Iterator[_Findings]:
    repeated = _Repeated.of(table)
    if policy.across_splits != "off":
        yield _across_splits(table, repeated)
    if policy.across_labels != "off":
        yield _across_labels(table, repeated)
    if policy.exact != "off":
        yield _exact(table, repeated)
    if policy.near != "off":
        yield _near(table, policy.near_distance)


@dataclass(frozen=True)
class _Repeated:
    """The rows whose pixels occur more than once, group after group, by rank within a group."""

    row_R: Rows
    group_R: Rows  # 0 … groups - 1, ascending

    @classmethod
    def of(cls, table: HashTable) -> "_Repeated":
        digests_N2 = table.hashes_N["pixels"]
        order_N = np.lexsort((table.rank_N, digests_N2[:, 1], digests_N2[:, 0]))
        sorted_N2 = digests_N2[order_N]
        as_before_N = np.zeros(len(order_N) + 1, dtype=bool)
        as_before_N[1:-1] = (sorted_N2[1:] == sorted_N2[:-1]).all(axis=1)
        repeated_N = as_before_N[:-1] | as_before_N[1:]
        group_N = np.cumsum(~as_before_N[:-1])
        _, group_R = np.unique(group_N[repeated_N], return_inverse=True)
        return cls(order_N[repeated_N], group_R.astype(np.int64))

    def only(self, wanted_R: npt.NDArray[np.bool_]) -> "_Repeated":
        """Some of the rows, their groups numbered as before."""
        return _Repeated(self.row_R[wanted_R], self.group_R[wanted_R])

    def first(self) -> Rows:
        """Per row, the first row of its group."""
        _, first, inverse = np.unique(self.group_R, return_index=True, return_inverse=True)
        return self.row_R[first][inverse]


def _across_splits(table: HashTable, repeated: _Repeated) -> _Findings:
    first_R = repeated.first()  # held-out rows rank first, so this one is held out if any is
    leaked_R = (repeated.row_R < table.training_rows) & (first_R >= table.training_rows)
    return _findings("across_splits", repeated.row_R[leaked_R], first_R[leaked_R])


def _across_labels(table: HashTable, repeated: _Repeated) -> _Findings:
    training = repeated.only(repeated.row_R < table.training_rows)
    first_T = training.first()
    other_label_T = table.label_N[training.row_R] != table.label_N[first_T]
    conflicting = training.only(other_label_T)
    groups_G, position_G = np.unique(conflicting.group_R, return_index=True)
    if not len(groups_G):
        return _findings("across_labels", training.row_R[:0], training.row_R[:0])
    # Rows that have the label of their group's first row conflict with the first that has another.
    position_T = np.minimum(np.searchsorted(groups_G, training.group_R), len(groups_G) - 1)
    in_conflict_T = groups_G[position_T] == training.group_R
    first_other_T = conflicting.row_R[position_G][position_T]
    other_T = np.where(other_label_T, first_T, first_other_T)
    return _findings("across_labels", training.row_R[in_conflict_T], other_T[in_conflict_T])


def _exact(table: HashTable, repeated: _Repeated) -> _Findings:
    training = repeated.only(repeated.row_R < table.training_rows)
    if not len(training.row_R):
        return _findings("exact", training.row_R, training.row_R)
    label_T = table.label_N[training.row_R].astype(np.int64)
    of_class = _Repeated(training.row_R, training.group_R * (int(label_T.max()) + 1) + label_T)
    first_T = of_class.first()
    again_T = first_T != training.row_R
    return _findings("exact", training.row_R[again_T], first_T[again_T])


def _near(table: HashTable, max_distance: int) -> _Findings:
    """Each training row and the first row near it, of those that rank before it and have other pixels."""
    clear_C = np.flatnonzero(~table.hashes_N["faint"])
    clear_C = clear_C[np.argsort(table.rank_N[clear_C], kind="stable")]
    # The distinct hashes, in the order of the first row that has each: near the first is near by rank.
    hashes_U, first_U, inverse_C = np.unique(
        table.hashes_N["perceptual"][clear_C], return_index=True, return_inverse=True
    )
    order_U = np.argsort(first_U, kind="stable")
    place_U = np.empty_like(order_U)
    place_U[order_U] = np.arange(len(order_U))
    first_near_U = first_near(hashes_U[order_U], max_distance)
    other_C = clear_C[first_U[order_U][first_near_U[place_U[inverse_C]]]]
    pixels_N2 = table.hashes_N["pixels"]
    found_C = (clear_C < table.training_rows) & (table.rank_N[other_C] < table.rank_N[clear_C])
    found_C &= (pixels_N2[clear_C] != pixels_N2[other_C]).any(axis=1)
    return _findings("near", clear_C[found_C], other_C[found_C])


def _findings(kind: DuplicateKind, row_F: Rows, other_F: Rows) -> _Findings:
    order_F = np.argsort(row_F, kind="stable")
    return _Findings(kind, row_F[order_F].astype(np.int64), other_F[order_F].astype(np.int64))


# ---- policies -----------------------------------------------------------------------------------------


def _dropped(
    table: HashTable, policy: DuplicatesConfig, findings: Sequence[_Findings], names: "_Names"
) -> tuple[Rows, tuple[BadImage, ...]]:
    """The training images that are left out; each with the reason of the first kind that drops it."""
    bad: dict[int, BadImage] = {}
    for found in findings:
        if getattr(policy, found.kind) == "drop":
            for pair, row in zip(names.pairs(found), map(int, found.row_F), strict=True):
                bad.setdefault(row, _left_out(pair))
    rows = np.array(sorted(bad), dtype=np.int64)
    return table.splits[0].item_B[rows], tuple(bad[int(row)] for row in rows)


def _left_out(pair: DuplicatePair) -> BadImage:
    like = "is nearly" if pair.kind == "near" else "is the same as"
    reason = f"{like} {pair.other} ({pair.other_split}, {pair.other_class})"
    return BadImage(
        name=pair.name, reason=f"{reason}: source.duplicates.{pair.kind}=drop", duplicate_of=pair.other
    )


def _refusal(found: _Findings, names: "_Names", policy: DuplicatesConfig) -> str:
    named = "; ".join(
        f"{pair.name} ({pair.class_name}) and {pair.other} ({pair.other_split}, {pair.other_class})"
        for pair in names.pairs(found, _NAMED_IN_ERROR)
    )
    more = f"; and {len(found.row_F) - _NAMED_IN_ERROR:,} more" if len(found.row_F) > _NAMED_IN_ERROR else ""
    bits = f" (at most {policy.near_distance} of 64 bits differ)" if found.kind == "near" else ""
    return (
        f"{finding_text(found.kind, len(found.row_F))}{bits}: {named}{more}. Remove one of each, or set "
        f"source.duplicates.{found.kind} to drop or keep"
    )


class _Names:
    """Findings as pairs of names."""

    def __init__(self, table: HashTable, names: Mapping[int, Mapping[int, str]]) -> None:
        """`names`: by split and item."""
        self._table = table
        self._names = names

    @classmethod
    def of_findings(
        cls, table: HashTable, policy: DuplicatesConfig, findings: Sequence[_Findings], names_of: NamesOf
    ) -> "_Names":
        """All names that are shown: of everything that is dropped, and of the first findings of other kinds."""
        items: dict[int, list[int]] = {}
        for found in findings:
            most = None if getattr(policy, found.kind) == "drop" else _LISTED
            for row in np.union1d(found.row_F[:most], found.other_F[:most]).tolist():
                split, offset = table.place(row)
                items.setdefault(split, []).append(int(table.splits[split].item_B[offset]))
        return cls(table, {split: names_of(split, wanted) for split, wanted in items.items()})

    def pairs(self, found: _Findings, most: int | None = None) -> Iterator[DuplicatePair]:
        """The first `most` findings, or all."""
        for row, other in zip(found.row_F[:most].tolist(), found.other_F[:most].tolist(), strict=True):
            yield self._pair(found.kind, row, other)

    def _pair(self, kind: DuplicateKind, row: int, other: int) -> DuplicatePair:
        hashes = self._table.hashes_N[[row, other]]
        same_file, same_pixels = (
            bool((hashes[what][0] == hashes[what][1]).all()) for what in ("file", "pixels")
        )
        _, name, class_name = self._named(row)
        split, other_name, other_class = self._named(other)
        return DuplicatePair(
            kind=kind,
            name=name,
            class_name=class_name,
            other=other_name,
            other_class=other_class,
            other_split=split,
            same="file" if same_file else "pixels" if same_pixels else None,
            distance=int(hamming_distance(hashes["perceptual"][:1], hashes["perceptual"][1:])[0]),
        )

    def _named(self, row: int) -> tuple[str, str, str]:
        """Split, name and class of a row."""
        position, offset = self._table.place(row)
        split = self._table.splits[position]
        name = self._names[position][int(split.item_B[offset])]
        class_index = int(split.class_index_B[offset])
        return split.name, name, self._table.class_names[class_index] if class_index >= 0 else _NO_CLASS

"""The rows of a source: all its places together, their classes mapped, its held-out splits set apart.

Owns which rows are items of which split, and their order: place after place as the config lists them. What
lies at a place is its format's subject.

Axes: P = pairs of (split, class) of one place, B = rows of one place, then items.
"""

import hashlib
from collections import Counter
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field, replace
from functools import cached_property
from itertools import chain

import numpy as np
import numpy.typing as npt

from augment.data.config import HELD_OUT_SPLITS, SourceConfig
from augment.data.label_map import DROPPED, ClassMap, class_map
from augment.data.listing import Chunk, FoundImage, Listing, Source, SourceCounts, SourceItem
from augment.data.named_twice import check_named_twice
from augment.data.published import numbered_name
from augment.data.scan import UNLABELLED, Format, Scan
from augment.data.splits import check_splits
from augment.errors import InputError
from augment.types import BadImage, ClassCounts

__all__ = ["SelectedSource"]


@dataclass(frozen=True)
class _Selected:
    """What all places hold, and what their pairs mean in terms of the source's classes."""

    scans: tuple[Scan, ...]
    classes: ClassMap
    splits: frozenset[str]  # that were met; empty where there are none
    bad: tuple[BadImage, ...]
    fingerprint: str

    def class_P(self, place: int) -> npt.NDArray[np.int32]:
        """Each pair's class index in the source, UNLABELLED or DROPPED."""
        scan = self.scans[place]
        mapped_P = np.append(self.classes.index_of_place[place], np.int32(UNLABELLED))
        return mapped_P[scan.class_P].astype(np.int32)  # UNLABELLED = -1 picks the last entry


@dataclass
class SelectedSource:
    """A source (see listing.Source) made of one format a URI; `split` is the held-out one it stands for."""

    config: SourceConfig
    places: tuple[Format, ...]
    split: str | None = None
    _kept: _Selected | None = field(default=None, repr=False)  # shared with the held-out sources

    def __reduce__(
        self,
    ) -> tuple[type["SelectedSource"], tuple[SourceConfig, tuple[Format, ...], str | None]]:
        return SelectedSource, (self.config, self.places, self.split)

    @property
    def shows_overwrites(self) -> bool:
        """See Source."""
        return all(place.shows_overwrites for place in self.places)

    def counts(self) -> SourceCounts:
        """See Source. Memory depends on the classes, the splits and what is bad, not on the images."""
        selected = self._kept or self._select(keep=False)
        held_out = {split: self._counted(selected, split) for split in self._held_out_splits(selected)}
        return SourceCounts(
            counts=self._checked(selected, self._counted(selected, self.split)),
            bad=selected.bad if self.split is None else (),
            fingerprint=selected.fingerprint,
            held_out=held_out if self.split is None else {},
            held_out_unlabelled=self._unlabelled(selected) if self.split is None else {},
            dropped=self._dropped(selected),
            etags={
                place.place.uri: scan.etag for place, scan in zip(self.places, selected.scans, strict=True)
            },
        )

    def listing(self) -> Listing:
        """See Source."""
        return self._listing

    def chunks(self) -> tuple[Chunk, ...]:
        """See Source: each place's own chunks, one place after another."""
        chunks, first = list[Chunk](), 0
        for number, (place, keep_B) in enumerate(zip(self.places, self._keep_by_place, strict=True)):
            chunks += [
                replace(chunk, first_index=first + chunk.first_index, part=number)
                for chunk in place.chunks(keep_B)
            ]
            first += int(np.count_nonzero(keep_B))
        return tuple(chunks)

    def read(self, chunk: Chunk) -> Iterator[SourceItem]:
        """See Source."""
        place = self.places[chunk.part]
        for offset, image in enumerate(place.read(chunk)):
            name = self._full_name(place, image.name)
            published = numbered_name(image.published, chunk.part, len(self.places))
            yield SourceItem(chunk.first_index + offset, name, image.data, image.fault, published)

    def names(self) -> list[str]:
        """See Source; with several URIs a name begins with the place it lies at."""
        return self._names(self._keep_by_place)

    def names_of(self, item_F: Sequence[int]) -> dict[int, str]:
        """See Source."""
        wanted = np.unique(np.asarray(item_F, dtype=np.int64))
        only_by_place, first = list[npt.NDArray[np.bool_]](), 0
        for keep_B in self._keep_by_place:
            row_K = np.flatnonzero(keep_B)
            here = wanted[(wanted >= first) & (wanted < first + len(row_K))] - first
            only_B = np.zeros(len(keep_B), dtype=bool)
            only_B[row_K[here]] = True
            only_by_place.append(only_B)
            first += len(row_K)
        return dict(zip(wanted.tolist(), self._names(only_by_place), strict=True))

    def _names(self, keep_by_place: Sequence[npt.NDArray[np.bool_]]) -> list[str]:
        by_place = (
            [self._full_name(place, name) for name in place.names(keep_B)]
            for place, keep_B in zip(self.places, keep_by_place, strict=True)
        )
        return list(chain.from_iterable(by_place))

    def find_published(self, names: Iterable[str]) -> dict[str, FoundImage]:
        """See Source."""
        wanted, found = set(names), dict[str, FoundImage]()
        for part, (place, keep_B) in enumerate(zip(self.places, self._keep_by_place, strict=True)):
            for name, own in zip(place.published_names(keep_B), place.names(keep_B), strict=True):
                published = numbered_name(name, part, len(self.places))
                if published in wanted:
                    found[published] = FoundImage(place.place.uri, own)
        return found

    def held_out(self) -> Mapping[str, Source]:
        """See Source."""
        if self.split is not None:
            return {}
        splits = self._held_out_splits(self._with_rows)
        return {split: SelectedSource(self.config, self.places, split, self._with_rows) for split in splits}

    # ---- what lies at the places ----------------------------------------------------------------------

    @property
    def _with_rows(self) -> _Selected:
        """The scan with every row kept; made once."""
        if self._kept is None:
            self._kept = self._select(keep=True)
        return self._kept

    def _select(self, *, keep: bool) -> _Selected:
        scans = tuple(place.scan(keep=keep) for place in self.places)
        check_named_twice([manifest for scan in scans for manifest in scan.named])
        splits = frozenset(split for scan in scans for split in scan.split_P if split)
        self._check_all_tell(scans)
        check_splits(splits, self.config.split, self.config.where)
        classes = class_map(
            [(scan.classes, scan.ranked) for scan in scans],
            self.config.labels,
            self.config.where,
            [scan.others for scan in scans],
        )
        bad = [
            BadImage(name=self._full_name(place, each.name), reason=each.reason)
            for place, scan in zip(self.places, scans, strict=True)
            for each in scan.bad
        ]
        if len(scans) == 1:
            fingerprint = scans[0].fingerprint
        else:
            fingerprint = hashlib.sha256("".join(scan.fingerprint for scan in scans).encode()).hexdigest()
        return _Selected(scans, classes, splits, tuple(bad), fingerprint)

    def _check_all_tell(self, scans: tuple[Scan, ...]) -> None:
        """InputError where some places tell splits and another doesn't: it may be a test set."""
        told = [place.place.uri for place, scan in zip(self.places, scans, strict=True) if any(scan.split_P)]
        silent = [
            place.place.uri for place, scan in zip(self.places, scans, strict=True) if "" in scan.split_P
        ]
        if told and silent:
            raise InputError(
                f"nothing tells the split of {silent[0]}, and {told[0]} has splits; put its files in a folder called "
                "train, validation or test, name its split in source.split.use, or set source.split.by=none to train "
                "on every row"
            )

    def _full_name(self, place: Format, name: str) -> str:
        return name if len(self.places) == 1 else f"{place.place.root}/{name}"

    # ---- which rows are meant -------------------------------------------------------------------------

    def _held_out_splits(self, selected: _Selected) -> list[str]:
        return sorted(selected.splits & HELD_OUT_SPLITS)

    def _in_split_P(self, scan: Scan, split: str | None) -> npt.NDArray[np.bool_]:
        """Pairs of a held-out split, or (None) of those to learn from; a place without splits is learned from."""
        wanted = {split} if split is not None else {"", *self.config.split.use} - HELD_OUT_SPLITS
        return np.array([each in wanted for each in scan.split_P], dtype=bool)

    def _usable_P(self, selected: _Selected, place: int, split: str | None) -> npt.NDArray[np.bool_]:
        """Pairs whose rows are items: unlabelled rows are, if they are held out."""
        class_P = selected.class_P(place)
        usable_P = class_P >= 0 if split is None else class_P != DROPPED
        return self._in_split_P(selected.scans[place], split) & usable_P

    @cached_property
    def _keep_by_place(self) -> list[npt.NDArray[np.bool_]]:
        """For each place, which of its rows are items."""
        selected = self._with_rows
        return [
            self._usable_P(selected, place, self.split)[_rows_of(scan)]
            for place, scan in enumerate(selected.scans)
        ]

    @cached_property
    def _listing(self) -> Listing:
        selected = self._with_rows
        self._checked(selected, self._counted(selected, self.split))
        labels = [
            selected.class_P(place)[_rows_of(scan)[keep_B]]
            for place, (scan, keep_B) in enumerate(zip(selected.scans, self._keep_by_place, strict=True))
        ]
        return Listing(
            classes=selected.classes.classes,
            labels_B=np.concatenate(labels),
            bad=selected.bad if self.split is None else (),
            fingerprint=selected.fingerprint,
        )

    # ---- counting -------------------------------------------------------------------------------------

    def _counted(self, selected: _Selected, split: str | None) -> ClassCounts:
        counted = np.zeros(len(selected.classes.classes), dtype=np.int64)
        for place, scan in enumerate(selected.scans):
            class_P = selected.class_P(place)
            meant_P = self._in_split_P(scan, split) & (class_P >= 0)
            np.add.at(counted, class_P[meant_P], scan.count_P[meant_P])
        return ClassCounts(classes=selected.classes.classes, counts=tuple(counted.tolist()))

    def _unlabelled(self, selected: _Selected) -> dict[str, int]:
        """Held-out rows without a label that a class is learned for, by split."""
        unlabelled = Counter[str]()
        for place, scan in enumerate(selected.scans):
            for pair in np.flatnonzero(selected.class_P(place) == UNLABELLED):
                unlabelled[scan.split_P[pair]] += int(scan.count_P[pair])
        return {split: unlabelled[split] for split in self._held_out_splits(selected) if unlabelled[split]}

    def _dropped(self, selected: _Selected) -> dict[str, int]:
        """Images of the split by the class, in its own name, that the label map drops."""
        dropped = Counter[str]()
        for place, scan in enumerate(selected.scans):
            lost_P = self._in_split_P(scan, self.split) & (selected.class_P(place) == DROPPED)
            for pair in np.flatnonzero(lost_P):
                dropped[scan.class_names[scan.class_P[pair]]] += int(scan.count_P[pair])
        return dict(sorted(dropped.items()))

    def _checked(self, selected: _Selected, counts: ClassCounts) -> ClassCounts:
        """`counts`; InputError where there is nothing to learn from."""
        if counts.total or self.split is not None:
            return counts
        bad, dropped = selected.bad, self._dropped(selected)
        if dropped:
            why = f": source.labels drops all {sum(dropped.values()):,}"
        else:
            why = f": {bad[0].name} {bad[0].reason}" if bad else " (no rows)"
        raise InputError(f"{self.config.where} holds no labelled image{why}")


def _rows_of(scan: Scan) -> npt.NDArray[np.int32]:
    assert scan.pair_B is not None  # noqa: S101  # the scan was asked to keep them
    return scan.pair_B

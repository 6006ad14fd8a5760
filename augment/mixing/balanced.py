"""The mixing reader: a source's real rows and a dataset's synthetic ones as one shuffled, sharded stream.

Owns `Balanced` and the way to it. Which rows take part is screening.py's subject (real ones) and choice.py's
(synthetic ones), their order order.py's, and how they are read tasks.py's; torch and Hugging Face are imported
when asked for, and Ray's reader is found by entry point, since nothing here may know Ray.

Axes: B = committed rows of a shard, C = channels, H = height, W = width.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Generator, Iterable, Iterator, Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import entry_points
from importlib.util import find_spec
from itertools import islice
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import numpy.typing as npt

from augment.data.config import ImageConfig, SourceConfig
from augment.data.listing import Source
from augment.data.sources import open_source
from augment.errors import ConfigError, InputError
from augment.mixing.arguments import check_whole
from augment.mixing.choice import Ratio, chosen_rows, ranks_of, synthetic_counts
from augment.mixing.order import Slice, buffered, draws, interleaved, picked_rows, refilled, share, sliced
from augment.mixing.screening import is_choosy, usable_rows
from augment.mixing.tasks import MixedRow, Reading, ReadTask, RealTask, SyntheticTask
from augment.store.reading import Dataset, open_dataset
from augment.store.shards import held_spec
from augment.types import ImageShape, ShardReceipt

if TYPE_CHECKING:
    import datasets
    import torch

    from augment.mixing.torch_reading import BalancedImages

__all__ = ["Balanced", "MixedClass", "open_balanced"]

_BUFFER_BYTES = 128_000_000  # of decoded pixels, where the number of rows is not given
_MOST_BUFFERED = 16_384


class MixedClass(NamedTuple):
    """One class of a mix: rows of either kind that take part."""

    label: int
    name: str
    real: int
    synthetic: int


@dataclass(frozen=True)
class Balanced:
    """Real and synthetic rows that take part in training, and the order of each epoch. Reads nothing by
    itself.

    Pickles without credentials. Every row comes exactly once an epoch over all parts, however many there are;
    real images that turn out to be bad are left out, but see `to_torch`.
    """

    reading: Reading
    tasks: tuple[ReadTask, ...]
    classes: tuple[MixedClass, ...]
    seed: int
    buffer_rows: int

    @cached_property
    def rows(self) -> int:
        """Rows an epoch, real images that turn out to be bad among them."""
        return sum(task.rows for task in self.tasks)

    @property
    def class_names(self) -> dict[int, str]:
        """Class name by label, ascending; labels are the source's."""
        return {one.label: one.name for one in self.classes}

    @property
    def shape(self) -> ImageShape:
        """The shape of every image."""
        return self.reading.image.shape

    def read(self, epoch: int = 0, part: int = 0, parts: int = 1, skip: int = 0) -> Iterator[MixedRow]:
        """One part's rows of an epoch; the parts' sizes differ by one row at most, but for bad images.

        The same (seed, epoch, part, parts) gives the same rows in the same order, so that `skip`, the rows
        that were taken before, goes on after them. Raises ConfigError for a part that is not there, or a
        negative number.
        """
        check_whole("skip", skip, 0)
        return self.read_pieces(self.pieces(epoch, part, parts), epoch, part, parts, skip=skip)

    def pieces(self, epoch: int, part: int, parts: int, *, even: bool = False) -> list[Slice]:
        """Which rows of which tasks one part has in an epoch; ConfigError for a part that is not there.

        With `even`, all parts have as many rows, and up to parts - 1 rows are left out.
        """
        check_whole("epoch", epoch, 0)
        check_whole("parts", parts, 1)
        check_whole("part", part, 0)
        if part >= parts:
            raise ConfigError(f"part {part} is not one of 0 … {parts - 1}")
        whole = [Slice(number, 0, task.rows) for number, task in enumerate(self.tasks)]
        return self.shared(whole, part, parts, epoch, even=even)

    def shared(
        self, pieces: Sequence[Slice], part: int, parts: int, *stream: str | int, even: bool = False
    ) -> list[Slice]:
        """What one of `parts` takes of `pieces`; see order.share."""
        return share(pieces, part, parts, self.seed, *stream, even=even, scattered=self._scattered)

    @cached_property
    def _scattered(self) -> frozenset[int]:
        return frozenset(number for number, task in enumerate(self.tasks) if task.is_scattered)

    def read_pieces(
        self, pieces: Sequence[Slice], epoch: int, *reader: int, skip: int = 0, full: bool = False
    ) -> Iterator[MixedRow]:
        """The rows of `pieces`, mixed and shuffled among themselves by a stream of this `reader`'s own.

        With `full`, as many rows as `pieces` have: where an image is bad, another row comes once more.
        InputError if none of them can be used.
        """
        rows = self._full(pieces, epoch, reader) if full else self._mixed(pieces, epoch, reader)
        shuffled = buffered(rows, self.buffer_rows, draws(self.seed, "buffer", epoch, *reader))
        return islice(shuffled, skip, None)

    def _full(self, pieces: Sequence[Slice], epoch: int, reader: tuple[int, ...]) -> Iterator[MixedRow]:
        wanted, given = sum(piece.stop - piece.start for piece in pieces), 0
        for row in refilled(lambda: self._mixed(pieces, epoch, reader), wanted):
            given += 1
            yield row
        if given < wanted:
            raise InputError(
                f"none of {wanted} images of {self.reading.source.config.where} that one reader has can be used; "
                "open the mix with deep=True, which leaves bad images out beforehand"
            )

    def _mixed(self, pieces: Sequence[Slice], epoch: int, reader: tuple[int, ...]) -> Iterator[MixedRow]:
        """Scattered rows and streamed ones, each mixed among themselves, and then with each other."""
        scattered = [piece for piece in pieces if piece.task in self._scattered]
        streamed = [piece for piece in pieces if piece.task not in self._scattered]
        streams = [
            self._interleaved(sliced(scattered, self.seed, epoch, *reader), epoch, "scattered", *reader),
            self._interleaved(streamed, epoch, "streamed", *reader),
        ]
        both = [
            Slice(number, 0, sum(piece.stop - piece.start for piece in some))
            for number, some in enumerate((scattered, streamed))
            if some
        ]
        return interleaved(both, lambda which: streams[which.task], draws(self.seed, "kinds", epoch, *reader))

    def _interleaved(self, pieces: Iterable[Slice], epoch: int, *stream: str | int) -> Generator[MixedRow]:
        return interleaved(
            pieces,
            lambda piece: self._rows_of(piece, epoch),
            draws(self.seed, "mix", epoch, *stream),
            lambda piece: self.tasks[piece.task].held_bytes(piece.stop - piece.start),
        )

    def _rows_of(self, piece: Slice, epoch: int) -> Generator[MixedRow]:
        task = self.tasks[piece.task]
        picked_B = picked_rows(piece, task.rows, self.seed, epoch, task.neighbours)
        return task.read(self.reading, picked_B)

    def to_torch(
        self,
        *,
        transform: Callable[[torch.Tensor], Any] | None = None,
        with_origin: bool = False,
        rank: int | None = None,
        world_size: int | None = None,
        even: bool = False,
    ) -> BalancedImages:
        """A torch IterableDataset of (uint8 image [C, H, W], label), or with `is_synthetic` as a third.

        Its rows are shared out to ranks (torch.distributed's, unless they are given) and to the workers of
        each rank's DataLoader. Call `set_epoch(epoch)` before each epoch. `even` leaves out up to world_size
        - 1 rows, so that every rank has as many as the others and none waits for a last batch. In place of an
        image that turns out to be bad, another row of the same reader comes once more. How many batches a
        loader yields says `steps_per_epoch`, since `len` can't know of workers.
        """
        _require("torch")
        from augment.mixing.torch_reading import BalancedImages

        return BalancedImages(self, transform, with_origin, rank, world_size, even)

    def to_hf(
        self,
        *,
        epoch: int = 0,
        shards: int = 8,
        with_origin: bool = False,
        world_size: int | None = None,
        even: bool = False,
    ) -> datasets.IterableDataset:
        """A Hugging Face IterableDataset of one epoch: `image`, `label` (a ClassLabel where it can be one).

        It has `shards` shards, for `split_dataset_by_node` and loader workers to share out. `even` is for
        ranks, `world_size` of them (torch.distributed's, unless it is given): `shards` is rounded up to a
        multiple of it, every shard has `rows // shards` rows, so that any that a rank is dealt are as many,
        and up to shards - 1 rows are left out. In place of an image that turns out to be bad, another row
        comes once more. Raises ConfigError if `datasets` is not
        installed, or for a world_size without `even`.
        """
        _require("datasets")
        from augment.mixing.hf_reading import iterable_dataset

        return iterable_dataset(self, epoch, shards, with_origin, world_size, even)

    def to_ray(self, *, epoch: int = 0, blocks: int | None = None, with_origin: bool = False) -> Any:
        """A `ray.data.Dataset` of one epoch: `image` (uint8 [C, H, W]) and `label`.

        It is read in `blocks` parallel tasks, by default as many as there are shards and chunks, at most 64.
        """
        for reader in entry_points(group="augment.readers", name="ray-balanced"):
            return reader.load()(self, epoch=epoch, blocks=blocks, with_origin=with_origin)
        raise ConfigError(
            "no reader named 'ray-balanced' is installed (entry point group augment.readers); "
            "reinstall ray-augment"
        )


def open_balanced(
    source: SourceConfig | str,
    synthetic: Dataset | str,
    ratio: Ratio = None,
    *,
    image: ImageConfig | None = None,
    seed: int = 0,
    buffer_rows: int | None = None,
    deep: bool = False,
) -> Balanced:
    """Real rows of `source` (its training split) mixed with committed synthetic rows.

    `synthetic` is a dataset or its URI (`uri@3` pins a version). `ratio` is synthetic rows for every real row
    of a class: a number, a mapping from class name (classes left out get none), or None for all that are
    committed, which is the balance that was planned. A higher ratio holds the rows of a lower one. `image`
    says how images are decoded, by default in the shape of the synthetic ones. `buffer_rows` is the shuffle
    buffer of each reader, by default as many as 128 MB of pixels, at most 16,384.

    `deep` opens every real image once, here, and leaves bad ones out; counts and ratios are then of good images.
    A source.duplicates that drops or refuses has the same effect, since what it says of a row is known only
    then: what it drops doesn't take part. Duplicates that it keeps are otherwise not looked for.

    Classes are matched by name. Raises ConfigError for an argument that can't be meant, where the names differ,
    or if the ratio names an unknown class; InputError if either side has nothing to read, or source.duplicates
    or source.on_bad refuses an image.
    """
    check_whole("seed", seed, 0)
    if buffer_rows is not None:
        check_whole("buffer_rows", buffer_rows, 1)
    config = SourceConfig(uri=source) if isinstance(source, str) else source
    dataset = open_dataset(synthetic) if isinstance(synthetic, str) else synthetic
    opened = open_source(config)
    listing = opened.listing()
    labels = {info.name: info.label for info in listing.classes}
    _check_same_classes(labels, dataset, config)
    decoding = image or _image_of(dataset)
    usable_N = np.ones(len(listing.labels_B), dtype=bool)
    if deep or is_choosy(config.duplicates):
        usable_N = usable_rows(opened, decoding)
    real = np.bincount(listing.labels_B[usable_N], minlength=len(listing.classes)).tolist()
    real_of = {info.name: count for info, count in zip(listing.classes, real, strict=True)}
    taken = synthetic_counts(ratio, real_of, dataset.counts())
    reading = Reading(opened, dataset, decoding, labels)
    row_bytes = decoding.size**2 * decoding.channels
    return Balanced(
        reading=reading,
        tasks=(*_real_tasks(opened, usable_N), *_synthetic_tasks(dataset, taken, seed)),
        classes=tuple(MixedClass(labels[name], name, real_of[name], taken[name]) for name in labels),
        seed=seed,
        buffer_rows=buffer_rows or max(1, min(_MOST_BUFFERED, _BUFFER_BYTES // row_bytes)),
    )


def _check_same_classes(labels: dict[str, int], dataset: Dataset, config: SourceConfig) -> None:
    there = Counter(dataset.class_names.values())
    if repeated := [name for name, times in there.items() if times > 1]:
        raise ConfigError(
            f"{dataset.uri} has two classes named {repeated[0]!r}; rows cannot be matched by name"
        )
    only_real, only_synthetic = sorted(labels.keys() - there), sorted(there.keys() - labels)
    if only_real or only_synthetic:
        sides = (
            f"{_named(names)} only in {where}"
            for names, where in ((only_real, config.where), (only_synthetic, dataset.uri))
            if names
        )
        raise ConfigError(
            f"the classes differ: {' and '.join(sides)}; give the source that the dataset was made for, "
            "with the same source.labels"
        )


def _named(names: list[str]) -> str:
    return ", ".join(map(repr, names[:5])) + (f" and {len(names) - 5} more" if len(names) > 5 else "")


def _image_of(dataset: Dataset) -> ImageConfig:
    shapes = {(run.plan.plan.image.size, run.plan.plan.image.channels) for run in dataset.runs}
    if len(shapes) != 1:
        what = "holds no run" if not shapes else "holds images of several shapes"
        raise ConfigError(
            f"version {dataset.version} of {dataset.uri} {what}; say how to decode: image=ImageConfig(…)"
        )
    ((size, channels),) = shapes
    return ImageConfig(size=size, channels=channels)


def _real_tasks(source: Source, usable_N: npt.NDArray[np.bool_]) -> Iterator[RealTask]:
    listing = source.listing()
    label_of_class = np.array([info.label for info in listing.classes], dtype=np.int64)
    for chunk in source.chunks():
        within = slice(chunk.first_index, chunk.first_index + chunk.count)
        rows_B = np.flatnonzero(usable_N[within])
        if len(rows_B):
            yield RealTask(chunk, rows_B, label_of_class[listing.labels_B[within][rows_B]])


def _synthetic_tasks(dataset: Dataset, taken: dict[str, int], seed: int) -> Iterator[SyntheticTask]:
    number_of = {name: number for number, name in enumerate(taken)}
    shards: list[tuple[ShardReceipt, ImageShape]] = []
    classes_by_shard: list[npt.NDArray[np.int64]] = []
    ranks_by_shard: list[npt.NDArray[np.float64]] = []
    for run in dataset.runs:
        plan = run.plan.plan
        for shard in run.manifest.shards:
            spec = held_spec(plan, shard.index, run.manifest.without, run.manifest.missing)
            numbers = [number_of[plan.classes[piece.class_index].name] for piece in spec.pieces]
            shards.append((shard, plan.image))
            classes_by_shard.append(
                np.repeat(numbers, [piece.count for piece in spec.pieces]).astype(np.int64)
            )
            ranks_by_shard.append(ranks_of(run.plan, spec, seed))
    chosen = chosen_rows(classes_by_shard, ranks_by_shard, list(taken.values()))
    for (shard, shape), rows_B in zip(shards, chosen, strict=True):
        if len(rows_B):
            yield SyntheticTask(shard, shape, rows_B)


def _require(module: str) -> None:
    if find_spec(module) is None:
        raise ConfigError(f"{module} is not installed; pip install 'ray-augment[readers]'")

"""The mix as a torch IterableDataset. The only file of this room that imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from augment.errors import ConfigError
from augment.mixing.arguments import check_whole
from augment.mixing.order import segment, workers_done

if TYPE_CHECKING:
    from augment.mixing.balanced import Balanced

__all__ = ["BalancedImages"]


class BalancedImages(torch.utils.data.IterableDataset[tuple[Any, ...]]):
    """One rank's rows of an epoch, as (uint8 image [C, H, W], label) or with `is_synthetic` as a third.

    Loader workers share the rank's rows out among themselves. A worker gives as many rows as it has, also
    where images turn out to be bad: other rows of its own come again in their place, so that ranks stay even
    and an epoch can be gone on with.

    It has `rows` and `steps_per_epoch`, and no `len`: torch's DataLoader would take its own length from that,
    and a loader with workers yields a short batch for each of them, not one. A `len` that raised would be
    worse: there are trainers that only ask whether there is one.
    """

    def __init__(
        self,
        mix: Balanced,
        transform: Callable[[torch.Tensor], Any] | None,
        with_origin: bool,
        rank: int | None,
        world_size: int | None,
        even: bool,
    ) -> None:
        if (rank is None) != (world_size is None):
            raise ConfigError("give both rank and world_size, or neither")
        if rank is None and torch.distributed.is_available() and torch.distributed.is_initialized():
            rank, world_size = torch.distributed.get_rank(), torch.distributed.get_world_size()
        self._mix, self._transform, self._with_origin, self._even = mix, transform, with_origin, even
        self._rank, self._world_size = rank or 0, world_size or 1
        if not 0 <= self._rank < self._world_size:
            raise ConfigError(f"rank {self._rank} is not one of 0 … {self._world_size - 1}")
        # epoch, batches done, batch size, drop_last: shared, so that persistent workers see what set_epoch says
        self._at = torch.tensor([0, 0, 1, 0])
        self._at.share_memory_()  # type: ignore[no-untyped-call]

    @property
    def rows(self) -> int:
        """How many rows this rank has in an epoch."""
        if self._even:
            return self._mix.rows // self._world_size
        start, stop = segment(self._mix.rows, self._rank, self._world_size)
        return stop - start

    def steps_per_epoch(self, batch_size: int, *, workers: int = 0, drop_last: bool = False) -> int:
        """How many batches a DataLoader of this dataset yields an epoch, with so many `workers`.

        For what must know beforehand, such as a learning-rate schedule. ConfigError for a negative number.
        """
        check_whole("batch_size", batch_size, 1)
        check_whole("workers", workers, 0)
        return sum(self._batches(max(1, workers), batch_size, drop_last))

    def _batches(self, workers: int, batch_size: int, drop_last: bool) -> list[int]:
        """Batches of each loader worker."""
        bounds = [segment(self.rows, each, workers) for each in range(workers)]
        short = 0 if drop_last else batch_size - 1  # whether a worker's last, short batch counts
        return [(stop - start + short) // batch_size for start, stop in bounds]

    def set_epoch(
        self, epoch: int, *, batches_done: int = 0, batch_size: int = 1, drop_last: bool = False
    ) -> None:
        """The next iteration's epoch; persistent loader workers take it up too.

        To go on within an epoch, give the batches that this rank's loader has yielded of it, and its
        batch_size and drop_last, and use as many workers as before: the other batches come as they would have.
        Raises ConfigError for a negative number.
        """
        check_whole("epoch", epoch, 0)
        check_whole("batches_done", batches_done, 0)
        check_whole("batch_size", batch_size, 1)
        self._at.copy_(torch.tensor([epoch, batches_done, batch_size, int(drop_last)]))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        info = torch.utils.data.get_worker_info()
        number, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        epoch, batches_done, batch_size, drop_last = map(int, self._at)
        done = workers_done(batches_done, self._batches(workers, batch_size, bool(drop_last)))
        # A loader asks its first worker first: it takes the part of the one whose turn it is.
        worker = (number + done.turn) % workers
        pieces = self._mix.pieces(epoch, self._rank, self._world_size, even=self._even)
        pieces = self._mix.shared(pieces, worker, workers, "workers", epoch, self._rank)
        reader = (self._rank, self._world_size, worker, workers)
        skip = batch_size * done.batches_W[worker]
        for row in self._mix.read_pieces(pieces, epoch, *reader, skip=skip, full=True):
            image_CHW: Any = torch.from_numpy(row.image_CHW)
            if self._transform is not None:
                image_CHW = self._transform(image_CHW)
            yield (image_CHW, row.label, row.is_synthetic) if self._with_origin else (image_CHW, row.label)

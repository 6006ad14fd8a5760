"""The mix as a torch IterableDataset. The only file of this room that imports torch."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING, Any

import torch

from augment.errors import ConfigError
from augment.mixing.order import batches_by_worker, segment, share

if TYPE_CHECKING:
    from augment.mixing.balanced import Balanced

__all__ = ["BalancedImages"]


class BalancedImages(torch.utils.data.IterableDataset[tuple[Any, ...]]):
    """One rank's rows of an epoch, as (uint8 image [C, H, W], label) or with `is_synthetic` as a third.

    Loader workers share the rank's rows out among themselves. It has no `len`: a loader with workers yields a
    short batch for each of them, and `len` would promise one.
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
        # epoch, batches done, batch size: shared, so that persistent workers see what set_epoch says
        self._at = torch.tensor([0, 0, 1])
        self._at.share_memory_()  # type: ignore[no-untyped-call]

    @property
    def rows(self) -> int:
        """This rank's rows of an epoch; real images that turn out to be bad are among them."""
        if self._even:
            return self._mix.rows // self._world_size
        start, stop = segment(self._mix.rows, self._rank, self._world_size)
        return stop - start

    def set_epoch(self, epoch: int, *, batches_done: int = 0, batch_size: int = 1) -> None:
        """The next iteration's epoch; persistent loader workers take it up too.

        To go on within an epoch, give the batches that this rank's loader has yielded of it, and their size,
        and use as many workers as before.
        """
        self._at.copy_(torch.tensor([epoch, batches_done, batch_size]))

    def __iter__(self) -> Iterator[tuple[Any, ...]]:
        info = torch.utils.data.get_worker_info()
        worker, workers = (info.id, info.num_workers) if info is not None else (0, 1)
        epoch, batches_done, batch_size = (int(value) for value in self._at)
        bounds = [segment(self.rows, number, workers) for number in range(workers)]
        batches = [-(-(stop - start) // batch_size) for start, stop in bounds]
        skip = batch_size * batches_by_worker(batches_done, batches)[worker]
        of_rank = self._mix.pieces(epoch, self._rank, self._world_size, even=self._even)
        pieces = share(of_rank, worker, workers, self._mix.seed, "workers", epoch, self._rank)
        reader = (self._rank, self._world_size, worker, workers)
        for row in self._mix.read_pieces(pieces, epoch, *reader, skip=skip):
            image_CHW: Any = torch.from_numpy(row.image_CHW)
            if self._transform is not None:
                image_CHW = self._transform(image_CHW)
            yield (image_CHW, row.label, row.is_synthetic) if self._with_origin else (image_CHW, row.label)

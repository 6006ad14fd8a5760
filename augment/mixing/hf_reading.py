"""The mix as a Hugging Face IterableDataset. The only file of this room that imports `datasets`."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import datasets

from augment.data.images import encode_image
from augment.errors import ConfigError
from augment.mixing.arguments import check_whole
from augment.mixing.tasks import MixedRow

if TYPE_CHECKING:
    from augment.mixing.balanced import Balanced

__all__ = ["iterable_dataset"]


def iterable_dataset(
    mix: Balanced, epoch: int, shards: int, with_origin: bool, world_size: int | None, even: bool
) -> datasets.IterableDataset:
    """See Balanced.to_hf."""
    check_whole("shards", shards, 1)
    check_whole("epoch", epoch, 0)
    if world_size is not None:
        check_whole("world_size", world_size, 1)
        if not even:
            raise ConfigError(
                f"world_size={world_size} has no effect without even=True; give both or neither"
            )
    ranks = (world_size or _torch_ranks()) if even else 0
    of = -(-shards // ranks) * ranks if ranks else shards
    features = datasets.Features(image=datasets.Image(), label=_label_feature(mix.class_names))
    if with_origin:
        features["is_synthetic"] = datasets.Value("bool")
    return datasets.IterableDataset.from_generator(
        _examples,
        features=features,
        # a list is what `datasets` shares out; all else goes to every worker as it is
        gen_kwargs={
            "parts": list(range(of)),
            "of": of,
            "ranks": ranks,
            "mix": mix,
            "epoch": epoch,
            "with_origin": with_origin,
        },
    )


def _torch_ranks() -> int:
    """How many ranks torch.distributed has in this process; 1 where nobody began it. Imports no torch."""
    torch = sys.modules.get("torch")
    if torch is None or not torch.distributed.is_available() or not torch.distributed.is_initialized():
        return 1
    return int(torch.distributed.get_world_size())


def _label_feature(names: dict[int, str]) -> Any:
    if list(names) == list(range(len(names))):
        return datasets.ClassLabel(names=list(names.values()))
    return datasets.Value("int64")


def _examples(
    parts: Sequence[int], of: int, ranks: int, mix: Balanced, epoch: int, with_origin: bool
) -> Iterator[dict[str, Any]]:
    for part in parts:
        rows = _full_rows(mix, epoch, part, of, ranks) if ranks else mix.read(epoch, part, of)
        for row in rows:
            encoded = encode_image(row.image_CHW.transpose(1, 2, 0), "png")
            example = {"image": {"bytes": encoded, "path": None}, "label": row.label}
            yield example | ({"is_synthetic": row.is_synthetic} if with_origin else {})


def _full_rows(mix: Balanced, epoch: int, part: int, of: int, ranks: int) -> Iterator[MixedRow]:
    """The rows of one shard, of several ranks' as many as any other has.

    Which shards are a rank's is not known here: `set_epoch` and `shuffle` of `datasets` deal them out anew.
    """
    pieces = mix.pieces(epoch, part, of, even=ranks > 1)
    return mix.read_pieces(pieces, epoch, part, of, full=True)

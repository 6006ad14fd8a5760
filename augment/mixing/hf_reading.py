"""The mix as a Hugging Face IterableDataset. The only file of this room that imports `datasets`."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from typing import TYPE_CHECKING, Any

import datasets

from augment.data.images import encode_image
from augment.mixing.arguments import check_whole

if TYPE_CHECKING:
    from augment.mixing.balanced import Balanced

__all__ = ["iterable_dataset"]


def iterable_dataset(mix: Balanced, epoch: int, shards: int, with_origin: bool) -> datasets.IterableDataset:
    """See Balanced.to_hf."""
    check_whole("shards", shards, 1)
    check_whole("epoch", epoch, 0)
    features = datasets.Features(image=datasets.Image(), label=_label_feature(mix.class_names))
    if with_origin:
        features["is_synthetic"] = datasets.Value("bool")
    return datasets.IterableDataset.from_generator(
        _examples,
        features=features,
        # a list is what `datasets` shares out; all else goes to every worker as it is
        gen_kwargs={
            "parts": list(range(shards)),
            "of": shards,
            "mix": mix,
            "epoch": epoch,
            "with_origin": with_origin,
        },
    )


def _label_feature(names: dict[int, str]) -> Any:
    if list(names) == list(range(len(names))):
        return datasets.ClassLabel(names=list(names.values()))
    return datasets.Value("int64")


def _examples(
    parts: Sequence[int], of: int, mix: Balanced, epoch: int, with_origin: bool
) -> Iterator[dict[str, Any]]:
    for part in parts:
        for row in mix.read(epoch, part, of):
            encoded = encode_image(row.image_CHW.transpose(1, 2, 0), "png")
            example = {"image": {"bytes": encoded, "path": None}, "label": row.label}
            yield example | ({"is_synthetic": row.is_synthetic} if with_origin else {})

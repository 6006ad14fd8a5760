"""Flat Parquet under `data/`, named as Hugging Face names it: the committed shards, byte for byte.

data/train-00000-of-00012.parquet

Without a card, `datasets` reads what is named like this and nothing else: so the mark of an unfinished copy is.
"""

from __future__ import annotations

import re
from collections.abc import Iterator

from augment.store.layouts.contract import FileBytes, Layout, OpenedShard

__all__ = ["HF"]

_LOADING = """\
import datasets
datasets.load_dataset(root)
"""


def _files(shard: OpenedShard) -> Iterator[FileBytes]:
    yield FileBytes(f"data/train-{shard.number:05d}-of-{shard.total:05d}.parquet", shard.data)


HF = Layout(
    name="hf",
    files=_files,
    owns=re.compile(r"(?!data/train-99999-of-99999\.)data/train-\d{5,}-of-\d{5,}\.parquet"),
    unfinished_key="data/train-99999-of-99999.parquet",
    records="parquet",
    data_files="data/*.parquet",
    loading=_LOADING,
)

"""WebDataset: a tar a shard, and in it three members a sample.

    data/000003.tar: <sample_id>.png (or .webp), <sample_id>.cls (the label), <sample_id>.json (the rest)

A field of the JSON has one type in every sample, since readers take it from the first they meet: what a sample
does not have is "", and [""] where it has a list.

Tars are numbered without gaps, so `data/{000000..000011}.tar` names them all. Their headers hold no time,
user or host: the same shard gives the same tar.
"""

from __future__ import annotations

import io
import re
import tarfile
from collections.abc import Iterator

from augment.store.layouts.contract import FileBytes, Layout, OpenedShard
from augment.types import canonical_json

__all__ = ["WEBDATASET"]

_LOADING = """\
import glob, webdataset
tars = sorted(glob.glob(f"{root}/data/*.tar"))
webdataset.WebDataset(tars, shardshuffle=False).decode("pil").to_tuple("png;webp", "cls", "json")
# in the JSON, "" stands for what a sample does not have, such as a generator, and [""] for no source images
"""


def _files(shard: OpenedShard) -> Iterator[FileBytes]:
    sink = io.BytesIO()
    with tarfile.open(fileobj=sink, mode="w", format=tarfile.USTAR_FORMAT) as tar:
        for batch in shard.table.to_batches(max_chunksize=256):
            for row in batch.to_pylist():
                for name, data in _members(row):
                    header = tarfile.TarInfo(name)
                    header.size = len(data)
                    tar.addfile(header, io.BytesIO(data))
    yield FileBytes(f"data/{shard.number:06d}.tar", sink.getvalue())


def _members(row: dict[str, object]) -> Iterator[tuple[str, bytes]]:
    image = row.pop("image")
    assert isinstance(image, dict)  # noqa: S101  # the schema's struct
    yield image["path"], image["bytes"]
    yield f"{row['sample_id']}.cls", str(row["label"]).encode()
    yield f"{row['sample_id']}.json", canonical_json({name: _typed(value) for name, value in row.items()})


def _typed(value: object) -> object:
    if value is None:  # in the schema, of strings alone
        return ""
    return value or [""] if isinstance(value, list) else value


WEBDATASET = Layout(
    name="webdataset",
    files=_files,
    owns=re.compile(r"data/\d{6,}\.tar"),
    unfinished_key="data/unfinished-export.tar",
    records="tars",
    data_files="data/*.tar",
    loading=_LOADING,
)

"""One set of labelled rows written in every layout that a source can have."""

from __future__ import annotations

import csv
import io
import json
import tarfile
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import NamedTuple

import pyarrow as pa
import pyarrow.parquet as pq

from augment.objects import open_store

__all__ = ["LAYOUTS", "Row", "parquet_bytes", "put_all", "tar_bytes"]


class Row(NamedTuple):
    data: bytes
    label: str
    split: str  # "" for a data set without splits


def put_all(uri: str, files: Mapping[str, bytes]) -> str:
    """Put files into a store; its URI."""
    store = open_store(uri)
    for key, data in files.items():
        store.put(key, data)
    return uri


def tar_bytes(members: Iterable[tuple[str, bytes]]) -> bytes:
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as tar:
        for name, data in members:
            info = tarfile.TarInfo(name)
            info.size = len(data)
            tar.addfile(info, io.BytesIO(data))
    return buffer.getvalue()


def parquet_bytes(rows: Sequence[Row], *, with_split: bool) -> bytes:
    columns = {"image": pa.array([row.data for row in rows], pa.binary())}
    columns["label"] = pa.array([row.label for row in rows], pa.string())
    if with_split:
        columns["split"] = pa.array([row.split for row in rows], pa.string())
    buffer = io.BytesIO()
    pq.write_table(pa.table(columns), buffer, row_group_size=3)
    return buffer.getvalue()


def folders(rows: Sequence[Row]) -> dict[str, bytes]:
    return {
        f"{row.split + '/' if row.split else ''}{row.label}/{index}.png": row.data
        for index, row in enumerate(rows)
    }


def parquet_files(rows: Sequence[Row]) -> dict[str, bytes]:
    return {
        f"data/{split or 'part'}-00000-of-00001.parquet": parquet_bytes(of_split, with_split=False)
        for split, of_split in _by_split(rows).items()
    }


def parquet_column(rows: Sequence[Row]) -> dict[str, bytes]:
    return {"all.parquet": parquet_bytes(rows, with_split=any(row.split for row in rows))}


def tar_files(rows: Sequence[Row]) -> dict[str, bytes]:
    return {
        f"cells-{split or 'all'}-000000.tar": tar_bytes(
            member
            for index, row in enumerate(of_split)
            for member in ((f"{index:04d}.png", row.data), (f"{index:04d}.cls", row.label.encode()))
        )
        for split, of_split in _by_split(rows).items()
    }


def tar_fields(rows: Sequence[Row]) -> dict[str, bytes]:
    members = []
    for index, row in enumerate(rows):
        fields = {"label": row.label, "other": [1]} | ({"split": row.split} if row.split else {})
        members += [(f"a/{index:04d}.json", json.dumps(fields).encode()), (f"a/{index:04d}.PNG", row.data)]
    return {"shard-0.tar": tar_bytes(members)}


def csv_lines(rows: Sequence[Row]) -> dict[str, bytes]:
    text = io.StringIO(newline="")
    with_split = any(row.split for row in rows)
    writer = csv.writer(text)
    writer.writerow(["path", "label", *(["split"] if with_split else [])])
    for index, row in enumerate(rows):
        writer.writerow([f"img/{index}", row.label, *([row.split] if with_split else [])])
    images = {f"lists/img/{index}": row.data for index, row in enumerate(rows)}
    return images | {"lists/rows.csv": text.getvalue().encode()}


def json_lines(rows: Sequence[Row]) -> dict[str, bytes]:
    lines = [
        json.dumps({"uri": f"img/{index}", "label": row.label} | ({"split": row.split} if row.split else {}))
        for index, row in enumerate(rows)
    ]
    images = {f"img/{index}": row.data for index, row in enumerate(rows)}
    return images | {"rows.jsonl": "\n".join(lines).encode()}


LAYOUTS: dict[str, Callable[[Sequence[Row]], dict[str, bytes]]] = {
    "folder": folders,
    "parquet-files": parquet_files,
    "parquet-column": parquet_column,
    "webdataset-files": tar_files,
    "webdataset-fields": tar_fields,
    "csv": csv_lines,
    "jsonl": json_lines,
}


def _by_split(rows: Sequence[Row]) -> dict[str, list[Row]]:
    found: dict[str, list[Row]] = {}
    for row in rows:
        found.setdefault(row.split, []).append(row)
    return found

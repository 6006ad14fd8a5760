"""The readers that need nothing but themselves to read S3, on a real server: the same rows as from a disk.

Hugging Face's `datasets`, WebDataset and mlcroissant read S3 through other packages (s3fs, pipes of a command
line client), and DuckDB through an extension that it downloads: they are not here.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from augment.objects import filesystem_for, open_store
from augment.report.describing import describe, export
from augment.store.reading import Dataset, open_dataset
from tests.servers import SeaweedServer
from tests.store.helpers import commit
from tests.store.readers.hostile import HOSTILE_NAMES, Row, expected_rows, hostile_run
from tests.store.readers.test_matrix import COLUMNS, check_rows, ray_rows, rows_of

PLACES = ("committed", "hf", "hive")


@pytest.fixture(scope="module")
def places(ray_and_s3: SeaweedServer) -> dict[str, str]:
    """Roots on SeaweedFS; Ray's workers have its credentials, and so does this process while they run."""
    ray_and_s3.create_bucket("readers")
    store = open_store("s3://readers/committed")
    commit(store, hostile_run())
    dataset = open_dataset(store.uri)
    describe(dataset)
    roots = {"committed": store.uri}
    for layout in PLACES[1:]:
        roots[layout] = f"s3://readers/{layout}"
        export(dataset, roots[layout], layout)
    return roots


def files_of(root: str) -> list[str]:
    if root.endswith("committed"):
        return open_dataset(root).files
    store = open_store(root)
    return [store.uri_of(item.key) for item in store.list("data/")]


def pyarrow_rows(root: str) -> list[Row]:
    import pyarrow.dataset as pads

    filesystem, path = filesystem_for(root)
    return rows_of(pads.dataset(f"{path}/data", filesystem=filesystem).to_table(COLUMNS).to_pylist())


def pandas_rows(root: str) -> list[Row]:
    import pandas as pd

    filesystem, path = filesystem_for(root)
    return rows_of(pd.read_parquet(f"{path}/data", filesystem=filesystem)[COLUMNS].to_dict("records"))


def polars_rows(root: str) -> list[Row]:
    import os

    import polars as pl

    options = {"aws_endpoint_url": os.environ["AWS_ENDPOINT_URL"], "aws_allow_http": "true"}
    frame = pl.scan_parquet(files_of(root), storage_options=options, glob=False)
    return rows_of(frame.select(COLUMNS).collect().to_dicts())


def polars_pattern_rows(root: str) -> list[Row]:
    """As augment/store/README.md has it: the endpoint comes from the environment."""
    import polars as pl

    return rows_of(pl.scan_parquet(f"{root}/data/**/*.parquet").select(COLUMNS).collect().to_dicts())


def pyarrow_file_rows(root: str) -> list[Row]:
    """By the list of files, as augment/store/README.md has it: no list of URIs, but names and a file system."""
    import pyarrow.dataset as pads
    import pyarrow.fs as pafs

    s3, _ = pafs.FileSystem.from_uri(root)
    files = [file.removeprefix("s3://") for file in files_of(root)]
    return rows_of(pads.dataset(files, filesystem=s3).to_table(COLUMNS).to_pylist())


def ray_data_rows(root: str) -> list[Row]:
    """By the folder: of a file's URI, Ray and pyarrow decode each %, which in a Hive key is meant."""
    return ray_rows(f"{root}/data")


READERS: dict[str, Callable[[str], list[Row]]] = {
    "pyarrow": pyarrow_rows,
    "pyarrow, files": pyarrow_file_rows,
    "pandas": pandas_rows,
    "polars": polars_rows,
    "polars, pattern": polars_pattern_rows,
    "ray": ray_data_rows,
}


@pytest.mark.parametrize("place", PLACES)
@pytest.mark.parametrize("reader", READERS)
def test_readers_give_the_same_rows_from_s3(places: dict[str, str], reader: str, place: str) -> None:
    check_rows(READERS[reader](places[place]))


def test_torch_gives_the_same_rows_from_s3(places: dict[str, str]) -> None:
    dataset: Dataset = open_dataset(places["committed"])
    images: Any = dataset.to_torch()
    expected = expected_rows(hostile_run())
    for (image_CHW, label), row in zip(
        (images[index] for index in range(len(images))), expected, strict=True
    ):
        assert image_CHW.permute(1, 2, 0).contiguous().numpy().tobytes() == row.pixels
        assert HOSTILE_NAMES[label] == row.label_name

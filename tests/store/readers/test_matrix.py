"""Every reader × every layout: the same rows, whatever the classes are called.

Each reader is used as its own documentation says. `Row` is compared whole: identity, label, class name,
pixels.
"""

from __future__ import annotations

import gc
import re
import warnings
from collections.abc import Callable, Iterable, Iterator
from pathlib import Path
from typing import Any

import pytest

from tests.servers import SeaweedServer
from tests.store.readers.conftest import Copies
from tests.store.readers.hostile import HOSTILE_NAMES, Row, decoded, expected_rows, hostile_run, raw

pytestmark = [
    pytest.mark.filterwarnings("ignore::ResourceWarning"),  # WebDataset and fsspec leave tars open
    pytest.mark.filterwarnings("ignore::pytest.PytestUnraisableExceptionWarning"),
    pytest.mark.filterwarnings(
        "ignore:ConjunctiveGraph is deprecated:DeprecationWarning"
    ),  # mlcroissant's rdflib
    pytest.mark.filterwarnings("ignore:The inplace keyword in"),  # mlcroissant's use of pandas
]

PARQUET_LAYOUTS = ("committed", "hf", "hive")
COLUMNS = ["sample_id", "label", "label_name", "image"]

Reader = Callable[[Copies, str], list[Row]]


def rows_of(records: Iterable[dict[str, Any]]) -> list[Row]:
    """Rows of a reader that gives a dict a row, with the image as its struct."""
    return [
        Row(one["sample_id"], int(one["label"]), one["label_name"], decoded(one["image"]["bytes"]))
        for one in records
    ]


@pytest.fixture(autouse=True)
def leftovers_are_the_readers() -> Iterator[None]:
    """Some readers leave files open; they are closed here, where their warnings count for nothing."""
    yield
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        gc.collect()


def data_folder(copies: Copies, layout: str) -> str:
    return f"{copies.roots[layout]}/data"


def check_rows(rows: list[Row]) -> None:
    expected = sorted(expected_rows(hostile_run()))
    assert sorted(rows) == expected
    assert {row.label_name for row in rows} == set(HOSTILE_NAMES)


# ---- the readers of Parquet -------------------------------------------------------------------------------


def pandas_files(copies: Copies, layout: str) -> list[Row]:
    import pandas as pd

    return rows_of(pd.read_parquet(copies.files(layout))[COLUMNS].to_dict("records"))


def pandas_folder(copies: Copies, layout: str) -> list[Row]:
    import pandas as pd

    return rows_of(pd.read_parquet(data_folder(copies, layout))[COLUMNS].to_dict("records"))


def pyarrow_files(copies: Copies, layout: str) -> list[Row]:
    import pyarrow.dataset as pads

    return rows_of(pads.dataset(copies.files(layout)).to_table(COLUMNS).to_pylist())


def pyarrow_folder(copies: Copies, layout: str) -> list[Row]:
    import pyarrow.dataset as pads

    partitioning = "hive" if layout == "hive" else None
    return rows_of(
        pads.dataset(data_folder(copies, layout), partitioning=partitioning).to_table(COLUMNS).to_pylist()
    )


def polars_files(copies: Copies, layout: str) -> list[Row]:
    import polars as pl

    return rows_of(pl.read_parquet(copies.files(layout), glob=False).select(COLUMNS).to_dicts())


def polars_folder(copies: Copies, layout: str) -> list[Row]:
    import polars as pl

    frame = pl.scan_parquet(f"{data_folder(copies, layout)}/**/*.parquet", hive_partitioning=layout == "hive")
    return rows_of(frame.select(COLUMNS).collect().to_dicts())


def duckdb_files(copies: Copies, layout: str) -> list[Row]:
    import duckdb

    with duckdb.connect() as connection:
        return rows_of(records_of(connection.read_parquet(copies.files(layout)).select(*COLUMNS)))


def duckdb_folder(copies: Copies, layout: str) -> list[Row]:
    import duckdb

    glob = f"{data_folder(copies, layout)}/**/*.parquet"
    with duckdb.connect() as connection:
        found = connection.read_parquet(glob, hive_partitioning=layout == "hive")
        return rows_of(records_of(found.select(*COLUMNS)))


def records_of(relation: Any) -> list[dict[str, Any]]:
    return [dict(zip(relation.columns, values, strict=True)) for values in relation.fetchall()]


def load_hf(copies: Copies, layout: str) -> Any:
    import datasets

    cache = Path(copies.roots[layout]).parent.parent / "hf-cache"
    return datasets.load_dataset(copies.roots[layout], split="train", cache_dir=str(cache))


def hf_root(copies: Copies, layout: str) -> list[Row]:
    loaded = load_hf(copies, layout)
    assert loaded.features["label"].names == list(HOSTILE_NAMES)
    return [Row(one["sample_id"], one["label"], one["label_name"], raw(one["image"])) for one in loaded]


def torch_loader(copies: Copies, layout: str) -> list[Row]:
    """A DataLoader over our own Dataset or over that of Hugging Face."""
    import torch

    source = copies.dataset.to_torch() if layout == "committed" else load_hf(copies, layout)
    loader = torch.utils.data.DataLoader(source, batch_size=None)
    if layout != "committed":
        return [Row(one["sample_id"], one["label"], one["label_name"], raw(one["image"])) for one in loader]
    rows = []
    ids = (row.sample_id for row in expected_rows(hostile_run()))  # items come in the order of rows
    for sample_id, (image_CHW, label) in zip(ids, loader, strict=True):
        pixels = image_CHW.permute(1, 2, 0).contiguous().numpy().tobytes()
        rows.append(Row(sample_id, label, HOSTILE_NAMES[label], pixels))
    return rows


def mlcroissant_records(copies: Copies, layout: str) -> list[Row]:
    import mlcroissant

    found = mlcroissant.Dataset(f"{copies.roots[layout]}/croissant.json")
    assert not found.metadata.ctx.issues.errors
    return [
        Row(
            one["images/sample_id"].decode(),
            one["images/label"],
            one["images/label_name"].decode(),
            raw(one["images/image"]),
        )
        for one in found.records("images")
    ]


def ray_rows(paths: str | list[str]) -> list[Row]:
    import ray.data

    return rows_of(ray.data.read_parquet(paths, override_num_blocks=1).select_columns(COLUMNS).take_all())


def ray_files(copies: Copies, layout: str) -> list[Row]:
    return ray_rows(copies.files(layout))


def ray_folder(copies: Copies, layout: str) -> list[Row]:
    return ray_rows(data_folder(copies, layout))


def ray_reader(copies: Copies, layout: str) -> list[Row]:
    return rows_of(copies.dataset.to_ray().take_all())


PARQUET_READERS: dict[str, Reader] = {
    "pandas, files": pandas_files,
    "pandas, folder": pandas_folder,
    "pyarrow, files": pyarrow_files,
    "pyarrow, folder": pyarrow_folder,
    "polars, files": polars_files,
    "polars, folder": polars_folder,
    "duckdb, files": duckdb_files,
    "duckdb, folder": duckdb_folder,
    "hugging face": hf_root,
    "torch": torch_loader,
    "mlcroissant": mlcroissant_records,
}
RAY_READERS: dict[str, Reader] = {"files": ray_files, "folder": ray_folder}


@pytest.mark.parametrize("layout", PARQUET_LAYOUTS)
@pytest.mark.parametrize("reader", PARQUET_READERS)
def test_readers_of_parquet_give_the_same_rows(copies: Copies, reader: str, layout: str) -> None:
    check_rows(PARQUET_READERS[reader](copies, layout))


@pytest.mark.parametrize("layout", PARQUET_LAYOUTS)
@pytest.mark.parametrize("reader", RAY_READERS)
def test_ray_data_gives_the_same_rows(
    ray_and_s3: SeaweedServer, copies: Copies, reader: str, layout: str
) -> None:
    check_rows(RAY_READERS[reader](copies, layout))


def test_our_own_ray_reader_gives_the_same_rows(ray_and_s3: SeaweedServer, copies: Copies) -> None:
    check_rows(ray_reader(copies, "committed"))


# ---- tars and folders -------------------------------------------------------------------------------------


def webdataset_tars(copies: Copies) -> Iterator[Row]:
    import webdataset

    tars = [str(path) for path in sorted(Path(data_folder(copies, "webdataset")).glob("*.tar"))]
    samples = (
        webdataset.WebDataset(tars, shardshuffle=False)
        .decode("pil")
        .to_tuple("__key__", "cls", "json", "png")
    )
    for key, label, scalars, image in samples:
        assert scalars["sample_id"] == key
        yield Row(key, label, scalars["label_name"], raw(image))


def hf_tars(copies: Copies) -> Iterator[Row]:
    for one in load_hf(copies, "webdataset"):
        yield Row(one["__key__"], one["cls"], one["json"]["label_name"], raw(one["png"]))


def ray_tars(copies: Copies) -> Iterator[Row]:
    import ray.data

    for one in ray.data.read_webdataset(data_folder(copies, "webdataset"), decoder=True).take_all():
        yield Row(one["__key__"], int(one["cls"]), one["json"]["label_name"], one["png"].tobytes())


def test_webdataset_reads_its_tars(copies: Copies) -> None:
    check_rows(list(webdataset_tars(copies)))


def test_hugging_face_reads_tars(copies: Copies) -> None:
    check_rows(list(hf_tars(copies)))


def test_ray_data_reads_tars(ray_and_s3: SeaweedServer, copies: Copies) -> None:
    check_rows(list(ray_tars(copies)))


def check_folder_rows(found: Iterable[tuple[str, int, bytes]]) -> None:
    """(file name, label, pixels) of a reader of class folders."""
    named = (Row(Path(path).stem, label, HOSTILE_NAMES[label], pixels) for path, label, pixels in found)
    check_rows(list(named))


def test_torchvision_reads_class_folders(copies: Copies) -> None:
    from torchvision.datasets import ImageFolder

    images = ImageFolder(copies.roots["folder"])
    check_folder_rows(
        (path, label, raw(images[index][0])) for index, (path, label) in enumerate(images.samples)
    )


def test_hugging_face_reads_class_folders(copies: Copies) -> None:
    import datasets

    loaded = load_hf(copies, "folder")
    paths = loaded.cast_column("image", datasets.Image(decode=False))
    check_folder_rows(
        (row["image"]["path"], one["label"], raw(one["image"]))
        for row, one in zip(paths, loaded, strict=True)
    )


def test_ray_data_reads_class_folders(ray_and_s3: SeaweedServer, copies: Copies) -> None:
    import ray.data

    found = ray.data.read_images(copies.roots["folder"], include_paths=True, mode="RGB").take_all()
    check_folder_rows(
        (one["path"], int(Path(one["path"]).parent.name[:5]), one["image"].tobytes()) for one in found
    )


def test_our_own_source_reads_every_layout_that_is_one(copies: Copies) -> None:
    from augment.data.config import SourceConfig
    from augment.data.sources import open_source

    for layout in ("hf", "hive", "folder"):
        listing = open_source(SourceConfig(uri=copies.roots[layout])).listing()
        assert len(listing.labels_B) == 2 * len(HOSTILE_NAMES)
        assert len(listing.classes) == len(HOSTILE_NAMES)


def test_no_path_is_made_from_a_raw_class_name(copies: Copies) -> None:
    for layout, root in copies.roots.items():
        below = [path.relative_to(root).as_posix() for path in Path(root).rglob("*") if path.is_file()]
        plain = re.compile(r"[A-Za-z0-9_.=~%/-]+")
        assert [path for path in below if not plain.fullmatch(path)] == [], layout
        assert not any(".." in Path(path).parts for path in below)

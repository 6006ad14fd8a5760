"""A damaged Parquet file gives images, bad images or one of our own errors, and nothing else."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pyarrow as pa
import pyarrow.parquet as pq
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.data.census import take_census
from augment.data.config import ImageConfig, SourceConfig
from augment.data.sources import open_source
from augment.errors import AugmentError
from tests.data.factory import class_label_metadata, image_structs
from tests.fuzzing import mutated_bytes

IMAGE = ImageConfig(size=16)


def written(labels: pa.Array, names: list[str] | None, **options: Any) -> bytes:
    table = pa.table({"image": image_structs(len(labels)), "label": labels})
    if names is not None:
        table = table.replace_schema_metadata(class_label_metadata(names))
    sink = io.BytesIO()
    pq.write_table(table, sink, row_group_size=2, **options)
    return sink.getvalue()


VALID = (
    written(pa.array([0, 1, 1]), ["cat", "dog"], compression="none"),
    written(pa.array(["cat", "dog", None]), None, compression="zstd"),
    written(pa.array(["a", "b", "a"]).dictionary_encode(), None, use_dictionary=True, compression="snappy"),
)


def footer_of(data: bytes) -> int:
    """Where a file's footer begins: most of what a reader can be led astray by stands there."""
    return len(data) - 8 - int.from_bytes(data[-8:-4], "little")


@st.composite
def damaged(draw: st.DrawFn) -> bytes:
    data = draw(st.sampled_from(VALID))
    if draw(st.booleans()):
        return draw(mutated_bytes(data))
    start = footer_of(data)
    footer = bytearray(data[start:-8])
    for position in draw(st.lists(st.integers(0, len(footer) - 1), min_size=1, max_size=4)):
        footer[position] ^= 1 << draw(st.integers(0, 7))
    return data[:start] + bytes(footer) + data[-8:]


@pytest.fixture(scope="module")
def file(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tmp_path_factory.mktemp("fuzz") / "fuzz.parquet"


@settings(max_examples=250, deadline=None)
@given(data=damaged())
@pytest.mark.filterwarnings("ignore")  # Pillow warns of what it mends in the images
def test_a_damaged_file_gives_a_census_or_one_of_our_errors(file: Path, data: bytes) -> None:
    file.write_bytes(data)
    try:
        source = open_source(SourceConfig(uri=str(file)))
        census = take_census(source, image=IMAGE, deep=True, threads=1)
        source.names()
    except AugmentError as error:
        str(error).encode()
    else:
        assert census.counts.total + len(census.bad) <= 3

"""What a URI may be, and column-wise reads."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow as pa
import pyarrow.parquet as pq
import pytest

from augment.errors import ConfigError, InputError
from augment.objects import (
    LocalStore,
    ObjectNotFoundError,
    filesystem_errors,
    filesystem_for,
    open_store,
)


def parquet_bytes() -> bytes:
    sink = io.BytesIO()
    pq.write_table(pa.table({"label": [1, 2], "image": [b"a", b"b"]}), sink)
    return sink.getvalue()


def test_a_file_uri_is_the_path_it_names(tmp_path: Path) -> None:
    folder = tmp_path / "a b"
    assert open_store(folder.as_uri()).uri == str(folder)
    assert isinstance(open_store(folder.as_uri()), LocalStore)


def test_a_relative_path_is_made_absolute(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    assert open_store("sets/one/").uri == str(tmp_path / "sets" / "one")


@pytest.mark.parametrize("uri", ["s3://AKIA:canary@bucket/x", "s3://canary@bucket", "http://u:canary@host/x"])
def test_credentials_in_a_uri_are_refused_and_not_repeated(uri: str) -> None:
    with pytest.raises(ConfigError, match="credentials") as caught:
        open_store(uri)
    assert "canary" not in str(caught.value)
    with pytest.raises(ConfigError, match="credentials"):
        filesystem_for(uri)


def test_options_in_an_s3_uri_are_refused_and_not_repeated() -> None:
    with pytest.raises(ConfigError, match="AWS_ENDPOINT_URL") as caught:
        open_store("s3://bucket/x?secret_key=canary")
    assert "canary" not in str(caught.value)


@pytest.mark.parametrize("scheme", ["gs", "http", "hdfs"])
def test_an_unknown_scheme_is_named(scheme: str) -> None:
    with pytest.raises(ConfigError, match=f"{scheme}://"):
        open_store(f"{scheme}://bucket/x")


@pytest.mark.parametrize("uri", ["", "s3://", "s3:///key", "memory://", "file://host/path", "file://"])
def test_a_uri_that_names_nothing_is_refused(uri: str) -> None:
    with pytest.raises(ConfigError):
        open_store(uri)


def test_single_columns_are_read_from_a_folder(tmp_path: Path) -> None:
    (tmp_path / "a.parquet").write_bytes(parquet_bytes())
    filesystem, path = filesystem_for(str(tmp_path / "a.parquet"))
    assert pq.read_table(path, columns=["label"], filesystem=filesystem).to_pydict() == {"label": [1, 2]}


def test_single_columns_are_read_from_s3(s3_uri: str) -> None:
    open_store(s3_uri).put("a.parquet", parquet_bytes())
    filesystem, path = filesystem_for(s3_uri)
    table = pq.read_table(f"{path}/a.parquet", columns=["label"], filesystem=filesystem)
    assert table.to_pydict() == {"label": [1, 2]}


def test_failures_of_column_wise_reads_are_ours(
    s3_uri: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    open_store(s3_uri).put("text.parquet", b"no parquet here, no parquet here")
    filesystem, path = filesystem_for(s3_uri)
    with pytest.raises(ObjectNotFoundError, match="nothing"), filesystem_errors("nothing"):
        pq.read_table(f"{path}/nothing.parquet", filesystem=filesystem)
    with pytest.raises(InputError, match="text is not valid Parquet"), filesystem_errors("text"):
        pq.read_table(f"{path}/text.parquet", filesystem=filesystem)
    monkeypatch.setenv("AWS_SECRET_ACCESS_KEY", "canary")
    filesystem, path = filesystem_for(s3_uri)
    with pytest.raises(ConfigError, match="access denied") as caught, filesystem_errors(s3_uri):
        pq.read_table(f"{path}/text.parquet", filesystem=filesystem)
    assert "canary" not in str(caught.value)


def test_memory_has_no_column_wise_reads() -> None:
    with pytest.raises(ConfigError, match="memory://x"):
        filesystem_for("memory://x")

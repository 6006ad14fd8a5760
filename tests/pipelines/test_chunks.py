"""How the chunks of a source are shared out to tasks."""

from __future__ import annotations

import os
import signal
import time
from pathlib import Path

import numpy as np
import pyarrow as pa
import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from augment.data.config import SourceConfig
from augment.data.listing import Chunk
from augment.data.sources import open_source
from augment.errors import AugmentError, InputError, PartialError
from pipelines.chunks import on_chunks, tasks_for
from pipelines.progress import Progress
from tests.pipelines.conftest import write_folder
from tests.pipelines.test_kept_pixels import source_of


@given(chunks=st.integers(1, 100_000), cpus=st.floats(0.5, 5_000))
def test_tasks_are_neither_more_than_chunks_nor_longer_than_four_of_them(chunks: int, cpus: float) -> None:
    tasks = tasks_for(chunks, cpus)
    assert 1 <= tasks <= chunks
    assert -(-chunks // tasks) <= 4
    assert tasks == chunks or tasks >= min(chunks, int(8 * cpus))


@pytest.mark.usefixtures("ray_and_s3")
def test_tables_come_in_the_source_s_order_and_progress_ends_at_all_images(
    pictures: dict[str, bytes], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(pictures, tmp_path / "images")
    monkeypatch.setattr("augment.data.folder._CHUNK_FILES", 3)
    source = open_source(SourceConfig(uri=str(tmp_path / "images")))
    progress = Progress("none", quiet=True)
    first, second = on_chunks(count_chunk, (10,), source, progress, tables=2, stage="count", doing="counting")
    assert len(first) == len(second) > 1
    numbers = pa.concat_tables(ray.get(first))["number"].to_pylist()
    assert numbers == list(range(len(source.chunks())))
    assert sum(pa.concat_tables(ray.get(second))["images"].to_pylist()) == 10 * len(pictures)
    assert "count" in progress.seconds


@pytest.mark.usefixtures("ray_and_s3")
def test_our_own_error_in_a_chunk_ends_the_step_as_it_is(
    pictures: dict[str, bytes], tmp_path: Path, quiet: Progress
) -> None:
    write_folder(pictures, tmp_path / "images")
    source = open_source(SourceConfig(uri=str(tmp_path / "images")))
    with pytest.raises(InputError, match="chunk 0 is not to be had"):
        on_chunks(refuse_chunk, (), source, quiet, tables=1, stage="refuse", doing="refusing")


@pytest.mark.usefixtures("ray_and_s3")
def test_chunks_that_nobody_works_on_are_not_waited_for_for_ever(
    pictures: dict[str, bytes], tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(pictures, tmp_path / "images")
    monkeypatch.setattr("pipelines.chunks.stall_timeout_s", lambda: 0.5)
    source = open_source(SourceConfig(uri=str(tmp_path / "images")))
    with pytest.raises(PartialError, match=r"sleeping stopped: no task ended for 0.5 s .*stall_timeout_s"):
        on_chunks(sleep_over, (), source, quiet, tables=1, stage="sleep", doing="sleeping")


@pytest.mark.usefixtures("ray_and_s3")
def test_images_that_workers_die_of_are_named(
    pictures: dict[str, bytes], tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(pictures, tmp_path / "images")
    monkeypatch.setattr("pipelines.chunks._MOST_TRIES", 0)
    source = open_source(SourceConfig(uri=str(tmp_path / "images")))
    first, last = min(pictures), max(pictures)
    with pytest.raises(
        AugmentError, match=f"1 workers died of the {len(pictures)} images .*{first} to .*{last};"
    ):
        on_chunks(die, (), source, quiet, tables=1, stage="die", doing="decoding")


def sleep_over(number: int, chunk: Chunk) -> tuple[pa.Table]:
    """No news."""
    time.sleep(30)
    return (pa.table({"number": [number]}),)


def die(number: int, chunk: Chunk) -> tuple[pa.Table]:
    """As a decoder does that writes where it must not."""
    os.kill(os.getpid(), signal.SIGKILL)
    return (pa.table({"number": [number]}),)


def count_chunk(number: int, chunk: Chunk, factor: int) -> tuple[pa.Table, pa.Table]:
    """Its number, and its images times `factor`."""
    return pa.table({"number": [number]}), pa.table({"images": [chunk.count * factor]})


def refuse_chunk(number: int, chunk: Chunk) -> tuple[pa.Table]:
    """An error of ours in a worker."""
    raise InputError(f"chunk {number} is not to be had")


@pytest.mark.usefixtures("ray_and_s3")
def test_the_order_of_images_does_not_follow_from_how_chunks_are_shared_out(
    pictures: dict[str, bytes], tmp_path: Path, quiet: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    write_folder(pictures, tmp_path / "images")
    monkeypatch.setattr("augment.data.folder._CHUNK_FILES", 3)
    found = []
    for tasks in (1, 2, 13):
        monkeypatch.setattr("pipelines.chunks.tasks_for", lambda chunks, cpus, tasks=tasks: tasks)
        parts = {"source": {"cache_gb": 0.0}, "image": {"size": 16, "channels": 1}}
        images, _ = source_of(tmp_path, quiet, **parts).decoded()
        found.append((images.sha256, ray.get(images.names), np.asarray(ray.get(images.class_index)).tolist()))
    assert found[0] == found[1] == found[2]
    assert found[0][1] == sorted(pictures)

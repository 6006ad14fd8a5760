"""How the chunks of a source are shared out to tasks."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
import ray
from hypothesis import given
from hypothesis import strategies as st

from pipelines.chunks import tasks_for
from pipelines.progress import Progress
from tests.pipelines.conftest import write_folder
from tests.pipelines.test_kept_pixels import source_of


@given(chunks=st.integers(1, 100_000), cpus=st.floats(0.5, 5_000))
def test_tasks_are_neither_more_than_chunks_nor_longer_than_sixteen_of_them(chunks: int, cpus: float) -> None:
    tasks = tasks_for(chunks, cpus)
    assert 1 <= tasks <= chunks
    assert -(-chunks // tasks) <= 16
    assert tasks == chunks or tasks >= min(chunks, int(8 * cpus))


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

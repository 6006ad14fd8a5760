"""One small job for all tests of the pipelines; one worker trains it, where a test does not ask for two."""

from __future__ import annotations

import subprocess
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.config import Config, load_config
from augment.objects import ObjectStore
from pipelines.progress import Progress
from pipelines.run import RunResult, run
from tests.servers import SeaweedServer

COUNTS = {"bars": 24, "dots": 9, "rings": 6}

SMALL_JOB = """
name: small
source: {{uri: "{source}"}}
image: {{size: 16, channels: 1}}
balance: {{min_real: 4}}
model: {{width: 4, max_width: 8, latent_dim: 4, embedding_dim: 2}}
train: {{steps: 4, batch_size: 8, workers: 1, snapshot_every: 2, log_every: 1, evaluate_every: 2, patience: 0, precision: fp32, cpus_per_worker: 0.5}}
generate: {{batch_size: 8}}
gates: {{enabled: false}}
report: {{fidelity: false}}
output: {{uri: "{output}", shard_rows: 10}}
"""


@dataclass(frozen=True)
class Finished:
    """A job that was run: its config file and what came of it."""

    config_file: Path
    result: RunResult


@pytest.fixture(scope="session")
def pictures() -> dict[str, bytes]:
    """PNG files by relative path: three classes of gray patterns, 16×16, a long tail."""
    rng = np.random.default_rng(0)
    row, column = np.mgrid[:16, :16]
    patterns: dict[str, Callable[[int], np.ndarray]] = {
        "bars": lambda phase: (column + phase) % 4 < 2,
        "dots": lambda phase: ((row + phase) % 5 < 2) & ((column + phase) % 5 < 2),
        "rings": lambda phase: (np.hypot(row - 8, column - 8) + phase) % 6 < 3,
    }
    files = {}
    for name, count in COUNTS.items():
        for index in range(count):
            pixels = patterns[name](index) * 200 + rng.integers(0, 40, (16, 16))
            files[f"{name}/{index:03d}.png"] = png(pixels.astype(np.uint8))
    return files


@pytest.fixture
def source_folder(pictures: dict[str, bytes], tmp_path: Path) -> Path:
    """Those pictures as a folder of class folders."""
    return write_folder(pictures, tmp_path / "train")


@pytest.fixture(scope="session")
def finished(
    ray_and_s3: SeaweedServer, pictures: dict[str, bytes], tmp_path_factory: pytest.TempPathFactory
) -> Finished:
    """The small job, trained by two workers, run once; tests that change its dataset copy it first."""
    root = tmp_path_factory.mktemp("finished")
    write_folder(pictures, root / "train")
    path = root / "job.yaml"
    job = SMALL_JOB.format(source=root / "train", output=root / "out")
    path.write_text(job.replace("workers: 1", "workers: 2"))
    return Finished(path, run(load_config(path), Progress("none")))


@pytest.fixture
def config_file(tmp_path: Path, source_folder: Path) -> Path:
    """The small job on local files."""
    path = tmp_path / "job.yaml"
    path.write_text(SMALL_JOB.format(source=source_folder, output=tmp_path / "out"))
    return path


@pytest.fixture
def config(config_file: Path) -> Config:
    """The same, loaded."""
    return load_config(config_file)


@pytest.fixture
def quiet() -> Progress:
    """Progress that prints nothing."""
    return Progress("none", quiet=True)


def write_folder(pictures: dict[str, bytes], root: Path) -> Path:
    """Files by relative path below `root`."""
    for name, data in pictures.items():
        (root / name).parent.mkdir(parents=True, exist_ok=True)
        (root / name).write_bytes(data)
    return root


def png(pixels: np.ndarray) -> bytes:
    """An array as PNG bytes."""
    import io

    buffer = io.BytesIO()
    Image.fromarray(pixels).save(buffer, "PNG")
    return buffer.getvalue()


def train_workers_below(ancestor: int) -> list[int]:
    """Process ids of the Ray Train workers that run in the Ray which process `ancestor` has started."""
    listed = subprocess.run(["ps", "-eo", "pid=,ppid=,args="], stdout=subprocess.PIPE, text=True, check=True)
    rows = [line.split(None, 2) for line in listed.stdout.splitlines()]
    parent = {int(pid): int(ppid) for pid, ppid, *_ in rows}

    def is_below(pid: int) -> bool:
        while pid in parent and pid != ancestor:
            pid = parent[pid]
        return pid == ancestor

    titled = [int(pid) for pid, _, *title in rows if title and title[0].startswith("ray::RayTrainWorker")]
    return [pid for pid in titled if is_below(pid)]


def wait_until(
    condition: Callable[[], bool], still_going: Callable[[], bool], timeout_s: float = 250.0
) -> None:
    """Poll until `condition()`; fail if what it waits for has ended, or lasts too long."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert still_going(), "it ended too early"
        assert time.monotonic() < deadline
        time.sleep(0.01)


def keys(store: ObjectStore, prefix: str = "") -> list[str]:
    """All keys below a prefix."""
    return [stored.key for stored in store.list(prefix)]

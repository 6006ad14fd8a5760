"""Nodes that are lost, workers that are killed, a cluster that grows: on a real cluster of several raylets.

A run that lost a node has the samples of one that did not: the same sample ids, where the generator is the same to the
last bit; the same classes and indices, where fewer workers trained it than were begun with.
"""

from __future__ import annotations

import random
import subprocess
import sys
import threading
import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import pyarrow.parquet as pq
import pytest

from augment.config import load_config
from augment.errors import RetryLaterError
from augment.objects import open_store
from augment.store.models import ModelFolder
from augment.store.verification import verify
from pipelines.progress import Progress
from pipelines.run import run
from tests.pipelines.conftest import keys, png, wait_until
from tests.pipelines.ray_nodes import Node, RayNodes

pytestmark = [pytest.mark.slow, pytest.mark.timeout(1200)]

SMALL = ["output.shard_rows=2", "train.log_every=4", "train.snapshot_every=4", "train.evaluate_every=20"]
ALONE = [*SMALL, "train.steps=60", "train.workers=1"]
ELASTIC = [
    *SMALL,
    "train.steps=160",
    "train.workers=[1,2]",
    "train.cpus_per_worker=1.5",
]  # so one on each node


@pytest.fixture
def nodes() -> Iterator[RayNodes]:
    """A head of two CPUs."""
    cluster = RayNodes()
    yield cluster
    cluster.close()


@contextmanager
def running(
    nodes: RayNodes, config_file: Path, output: Path, settings: Sequence[str]
) -> Iterator[subprocess.Popen[str]]:
    """`augment run` on that cluster."""
    options = [*settings, f"output.uri={output}", f"ray.address={nodes.address!r}"]
    arguments = [part for option in options for part in ("--set", option)]
    with (output.parent / f"{output.name}.log").open("w") as log:
        command = [
            sys.executable,
            "-m",
            "pipelines.cli",
            "run",
            "-c",
            str(config_file),
            "--progress",
            "log",
            *arguments,
        ]
        with subprocess.Popen(command, stdout=log, stderr=log, text=True, env=nodes.env) as process:
            try:
                yield process
            finally:
                process.kill()


def finish(process: subprocess.Popen[str], output: Path) -> None:
    """Wait for a run that ends well."""
    assert process.wait(600) == 0, (output.parent / f"{output.name}.log").read_text()
    report = verify(str(output), deep=True)
    assert report.ok, report.problems


def column(output: Path, name: str) -> list[object]:
    """A column of all committed rows, sorted."""
    found = [
        value
        for path in sorted(output.glob("data/**/*.parquet"))
        for value in pq.read_table(path)[name].to_pylist()
    ]
    return sorted(found)


def samples(output: Path) -> list[tuple[object, ...]]:
    """Class and index of all rows, sorted."""
    tables = [
        pq.read_table(path, columns=["label", "sample_index"]) for path in output.glob("data/**/*.parquet")
    ]
    return sorted(tuple(row.values()) for table in tables for row in table.to_pylist())


def works_at(node: Node, *titles: str) -> bool:
    """Whether a worker of the node does one of these."""
    return any(title in told for _, told in node.workers() for title in titles)


@pytest.fixture
def undisturbed(config_file: Path, quiet: Progress, tmp_path: Path, ray_and_s3: object) -> Path:
    """What one worker makes, on this process's Ray."""
    output = tmp_path / "undisturbed"
    run(load_config(config_file, [*ALONE, f"output.uri={output}"]), quiet)
    return output


@pytest.fixture
def many_pictures(source_folder: Path) -> Path:
    """More and larger pictures in the source: four chunks, so that decoding takes both nodes, and a while."""
    rng = np.random.default_rng(1)
    for index in range(1_600):
        (source_folder / "bars" / f"large-{index:04d}.png").write_bytes(
            png(rng.integers(0, 255, (250, 250)).astype(np.uint8))
        )
    return source_folder


def test_a_node_killed_in_ingest_costs_no_sample(
    nodes: RayNodes,
    many_pictures: Path,
    config_file: Path,
    tmp_path: Path,
    quiet: Progress,
    ray_and_s3: object,
) -> None:
    settings = [*ALONE, "balance.max_per_class=30"]
    run(load_config(config_file, [*settings, f"output.uri={tmp_path / 'undisturbed'}"]), quiet)
    second = nodes.add()

    with running(nodes, config_file, tmp_path / "out", settings) as process:
        wait_until(lambda: works_at(second, "_decode_chunk"), lambda: process.poll() is None)
        second.kill()
        finish(process, tmp_path / "out")

    assert column(tmp_path / "out", "sample_id") == column(tmp_path / "undisturbed", "sample_id")


def test_a_node_killed_in_training_costs_no_sample(
    nodes: RayNodes, undisturbed: Path, config_file: Path, tmp_path: Path
) -> None:
    second = nodes.add()
    folder = ModelFolder(open_store(str(tmp_path / "out")), "small")

    with running(nodes, config_file, tmp_path / "out", ELASTIC) as process:
        wait_until(
            lambda: (folder.latest_step() or 0) >= 20 and works_at(second, "RayTrainWorker"),
            lambda: process.poll() is None,
        )
        second.kill()
        assert folder.finished() is None
        finish(process, tmp_path / "out")

    assert samples(tmp_path / "out") == samples(undisturbed)


def test_a_node_killed_in_generation_costs_no_sample(
    nodes: RayNodes, config_file: Path, tmp_path: Path, quiet: Progress, ray_and_s3: object
) -> None:
    settings = [*ALONE, "balance.strategy={dots: 200, rings: 200}"]
    run(load_config(config_file, [*settings, f"output.uri={tmp_path / 'undisturbed'}"]), quiet)
    second, store = nodes.add(), open_store(str(tmp_path / "out"))

    # Of six generators of half a CPU the head has room for four.
    with running(nodes, config_file, tmp_path / "out", [*settings, "generate.actors=6"]) as process:
        wait_until(lambda: works_at(second, "ShardSampler"), lambda: process.poll() is None)
        second.kill()
        assert keys(store, "_snapshots/") == []
        finish(process, tmp_path / "out")

    assert column(tmp_path / "out", "sample_id") == column(tmp_path / "undisturbed", "sample_id")


@pytest.mark.parametrize("seed", [0, 1, 2])
def test_a_run_whose_workers_are_killed_one_by_one_finishes(
    nodes: RayNodes, undisturbed: Path, config_file: Path, tmp_path: Path, seed: int
) -> None:
    chance, ended, killed = random.Random(seed), threading.Event(), list[str]()
    second = nodes.add()

    def kill_one() -> None:
        """Those that do the work. The driver's own helpers live and die with it: test_kill.py."""
        doing = (
            "RayTrainWorker",
            "MapWorker",
            "MapBatches",
            "_decode_chunk",
            "commit_shard",
            "_fit",
            "_assemble",
        )
        found = [
            one
            for node in (nodes.head, second)
            for one in node.workers()
            if any(each in one[1] for each in doing)
        ]
        if found:
            pid, title = chance.choice(found)
            subprocess.run(["kill", "-9", str(pid)], check=False)
            killed.append(title)

    def kill_on() -> None:
        while not ended.wait(chance.uniform(4, 10)):
            kill_one()

    with running(nodes, config_file, tmp_path / "out", [*ALONE, "train.max_failures=50"]) as process:
        thread = threading.Thread(target=kill_on, daemon=True)
        thread.start()
        try:
            finish(process, tmp_path / "out")
        finally:
            ended.set()
            thread.join()

    assert killed
    assert column(tmp_path / "out", "sample_id") == column(undisturbed, "sample_id")


WAITING = """
import sys
from augment.config import RayConfig
from augment.errors import RetryLaterError
from pipelines.cluster import ray_cluster
from pipelines.progress import Progress
from pipelines.room import with_room

Progress("log")
with ray_cluster(RayConfig(address=sys.argv[1], wait_s=float(sys.argv[2]))) as cluster:
    print("before", cluster.gpus, flush=True)
    try:
        room = with_room(cluster, [{"GPU": 1.0, "CPU": 1.0}], what="training")
    except RetryLaterError as error:
        print(error)
        sys.exit(error.exit_code)
    print("after", room.gpus, room.device_for("gpu", processes=1, field="train.device"))
"""


def waiting(nodes: RayNodes, wait_s: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-c", WAITING, nodes.address, str(wait_s)]
    return subprocess.Popen(command, stdout=subprocess.PIPE, text=True, env=nodes.env)


def test_a_gpu_that_comes_later_is_waited_for(nodes: RayNodes) -> None:
    with waiting(nodes, 300) as process:
        assert process.stdout is not None
        assert process.stdout.readline() == "before 0.0\n"
        time.sleep(3)
        assert process.poll() is None
        nodes.add(gpus=1)
        said, _ = process.communicate(timeout=120)
    assert (process.returncode, said) == (0, "after 1.0 gpu\n")


def test_a_gpu_that_never_comes_is_exit_code_75(nodes: RayNodes) -> None:
    with waiting(nodes, 3) as process:
        said, _ = process.communicate(timeout=120)
    assert process.returncode == RetryLaterError.exit_code
    assert "training needs 1 × (1 GPU, 1 CPU), and the cluster has 0 GPU(s) and 2 CPU(s)" in said

"""Suite `scale`: how time, memory and manifests grow with rows, tenfold by tenfold.

`committed`: a tiny generator's samples of 16×16 gray pixels, through Ray to a committed version on a local store, as
`augment generate` does it. `paced`: the same with shards of a single row, so that all there is to measure is what a shard
costs whatever it holds. `simulated`: the same protocol with empty shards in a store in memory, whose keys and
digests are as real ones: what planning, listing, sealing, publishing and reading cost the driver. Every size in a
process of its own; its memory is that process's peak alone, which in `simulated` holds the store as well. From these
figures alone, what a billion images on many GPUs would meet is computed (extrapolation.py).
"""

from __future__ import annotations

import os
import sys
import tempfile
import uuid
from collections.abc import Callable
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from rich.console import Console
from rich.table import Table

from tests.benchmarks.extrapolation import IMAGES, SHARD_ROWS, extrapolated
from tests.benchmarks.measure import in_fresh_process, timed
from tests.benchmarks.options import Options

if TYPE_CHECKING:
    from augment.types import AugmentPlan, Manifest, RunPlan

__all__ = ["run"]

COMMITTED = (1_000, 10_000, 100_000, 1_000_000)
SIMULATED = (1_000_000, 10_000_000, 100_000_000, 1_000_000_000)
PACED = (500, 2_500)
CLASSES = 10


@dataclass(frozen=True, slots=True)
class Size:
    """One size's figures; seconds by step, in the order they were taken."""

    rows: int
    shards: int
    seconds: dict[str, float]
    driver_mb: float
    manifest_bytes: int
    new_keys_of_publish: int


def run(options: Options) -> dict[str, Any]:
    """All tables, and their figures."""
    parts: dict[str, tuple[Callable[[int], Size], tuple[int, ...]]] = {
        "committed": (_committed, COMMITTED[:2] if options.small else COMMITTED),
        "paced": (_paced, (10, 50) if options.small else PACED),
        "simulated": (
            _simulated,
            tuple(rows // 1_000 for rows in SIMULATED) if options.small else SIMULATED,
        ),
    }
    found: dict[str, list[Size]] = {}
    for name, (measured, sizes) in parts.items():
        found[name] = []
        for rows in sizes:
            print(f"{name}: {rows:,} rows", file=sys.stderr)
            found[name].append(in_fresh_process(measured, rows))
        _show(name, found[name])
    figures: dict[str, Any] = {name: [asdict(each) for each in sizes] for name, sizes in found.items()}
    figures["extrapolated"] = extrapolated(figures["simulated"], figures["paced"])
    _show_extrapolated(figures["extrapolated"])
    return figures


def _paced(rows: int) -> Size:
    """Shards of one row."""
    return _committed(rows, shard_rows=1)


def _committed(rows: int, shard_rows: int = SHARD_ROWS) -> Size:
    """Really made, by `pipelines.generate`."""
    from augment.config import RayConfig
    from augment.gan.config import GenerateConfig
    from augment.objects import open_store
    from augment.store.commit import publish
    from augment.types import sha256_hex
    from pipelines.cluster import ray_cluster
    from pipelines.generate import generate_run
    from pipelines.progress import Progress
    from pipelines.sampler_inputs import SamplerInputs

    data, seconds = _tiny_generator(), {}
    with tempfile.TemporaryDirectory(prefix="bench-") as folder:
        store, key = open_store(folder), "_models/tiny/generator.safetensors"
        store.put(key, data)
        run = _run(_plan(rows, shard_rows), sha256_hex(data))
        inputs = SamplerInputs(run, store.uri, key, None, None, None, keep_rejected=0)
        manifests: list[Manifest] = []
        with ray_cluster(RayConfig(address="local")) as cluster:

            def generate() -> None:
                progress = Progress("none", quiet=True)
                manifests.append(
                    generate_run(
                        store, run, lambda: inputs, GenerateConfig(), "refuse", lambda: cluster, progress
                    )
                )

            seconds["generate"] = timed(generate)
        before = sum(1 for _ in store.list())
        seconds["publish"] = timed(lambda: publish(store, manifests[0], "refuse"))
        after = sum(1 for _ in store.list())
        return _size(folder, run, seconds, after - before)


def _simulated(rows: int) -> Size:
    """The protocol alone."""
    from augment.objects import open_store
    from augment.store.commit import begin_run, missing_shards, publish, put_shard, seal_run
    from augment.store.reading import open_dataset

    uri = f"memory://{uuid.uuid4().hex}"
    store, seconds = open_store(uri), {}
    runs: list[RunPlan] = []
    seconds["plan"] = timed(lambda: runs.append(_run(_plan(rows), "ab" * 32)))
    run = runs[0]
    begin_run(store, run)
    for index in range(run.plan.num_shards):
        put_shard(store, run.run_id, index, SHARD_ROWS, b"")
    seconds["what is missing"] = timed(lambda: missing_shards(store, run))
    manifests: list[Manifest] = []
    seconds["seal"] = timed(lambda: manifests.append(seal_run(store, run)))
    before = sum(1 for _ in store.list())
    seconds["publish"] = timed(lambda: publish(store, manifests[0], "refuse"))
    after = sum(1 for _ in store.list())
    manifests.clear()
    seconds["open and list"] = timed(lambda: open_dataset(uri).files)
    return _size(uri, run, seconds, after - before)


def _size(uri: str, run: RunPlan, seconds: dict[str, float], new_keys: int) -> Size:
    from augment.objects import open_store
    from augment.store.records import manifest_key

    return Size(
        rows=run.plan.rows,
        shards=run.plan.num_shards,
        seconds=seconds,
        driver_mb=_peak_mb(),
        manifest_bytes=len(open_store(uri).get(manifest_key(run.run_id))),
        new_keys_of_publish=new_keys,
    )


def _peak_mb() -> float:
    for line in Path(f"/proc/{os.getpid()}/status").read_text().splitlines():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024 / 1e6
    raise AssertionError("Linux's /proc has VmHWM of every process")


def _plan(rows: int, shard_rows: int = SHARD_ROWS) -> AugmentPlan:
    from augment.types import AugmentPlan, ClassTarget, ImageShape

    return AugmentPlan(
        seed=0,
        image=ImageShape(size=16, channels=1),
        classes=tuple(
            ClassTarget(label=index, name=f"class {index}", real=1, target=1 + rows // CLASSES)
            for index in range(CLASSES)
        ),
        shard_rows=shard_rows,
        batch_size=min(256, shard_rows),
    )


def _run(plan: AugmentPlan, digest: str) -> RunPlan:
    from augment.store.commit import make_run_plan

    return make_run_plan(plan, generator_sha256=digest, image_format="png", augmentation=None, versions={})


def _tiny_generator() -> bytes:
    import torch

    from augment.gan.config import ModelConfig, TrainConfig
    from augment.gan.generator import export_generator
    from augment.gan.spec import TrainingSpec
    from augment.gan.state import new_state
    from augment.types import ClassInfo, ImageShape

    spec = TrainingSpec(
        model=ModelConfig(width=4, max_width=8, latent_dim=4, embedding_dim=2),
        train=TrainConfig(),
        image=ImageShape(size=16, channels=1),
        classes=tuple(ClassInfo(label=index, name=f"class {index}") for index in range(CLASSES)),
        counts=(1,) * CLASSES,
        seed=0,
        data_sha256="0" * 64,
    )
    return export_generator(new_state(spec, torch.device("cpu")))


def _show(name: str, sizes: list[Size]) -> None:
    table = Table(title=name, title_justify="left")
    steps = list(sizes[0].seconds)
    for header in ("rows", "shards", *(f"{step}, s" for step in steps), "driver MB", "manifest MB"):
        table.add_column(header, justify="right")
    for size in sizes:
        times = [f"{size.seconds[step]:.2f}" for step in steps]
        table.add_row(
            f"{size.rows:,}", f"{size.shards:,}", *times, f"{size.driver_mb:,.0f}",
            f"{size.manifest_bytes / 1e6:.3g}",
        )  # fmt: skip
    _console().print(table)


def _show_extrapolated(found: dict[str, Any]) -> None:
    """What breaks first and where, and what a billion images take on many GPUs."""
    reached = Table(title=f"what {IMAGES:,} images meet", title_justify="left")
    for header in ("limit", "there", "at most", "met at, images"):
        reached.add_column(header, justify="right")
    for each in found["limits"]:
        reached.add_row(
            each["what"], _told(each["at_a_billion"], each["unit"]), _told(each["limit"], each["unit"]),
            f"{each['images']:.1e}",
        )  # fmt: skip
    _console().print(reached)
    many = Table(
        title=f"{IMAGES:,} images of 256×256 on GPUs; the driver takes {1000 * found['driver_s_a_shard']:.3g} ms a shard",
        title_justify="left",
    )
    for header in (
        "GPUs",
        "hours",
        "encoding cores",
        "written, GB/s",
        "driver MB",
        "driver busy",
        "S3's puts used",
    ):
        many.add_column(header, justify="right")
    for row in found["gpus"]:
        many.add_row(
            f"{row['gpus']:,}", f"{row['hours']:.3g}", f"{row['encoding_cores']:,.0f}",
            f"{row['written_bytes_a_second'] / 1e9:.3g}", f"{row['driver_bytes'] / 1e6:,.0f}",
            f"{row['driver_share']:.1%}", f"{row['puts_share']:.2%}",
        )  # fmt: skip
    _console().print(many)


def _told(value: float, unit: str) -> str:
    return f"{value / 1e6:,.0f} MB" if unit == "bytes" else f"{value:.3g} {unit}"


def _console() -> Console:
    return Console(width=None if sys.stdout.isatty() else 160)

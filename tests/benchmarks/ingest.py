"""Suite `ingest`: images a second, from a folder of files to uint8 pixels in memory, beside a tuned DataLoader.

Two folders: 50,000 small PNG files, where what is done per file decides, and 5,000 larger JPEG files that are made
smaller, where decoding does. Every case lists the folder and ends with all pixels and class indices in memory. Files
were written just before, so that all read them from the page cache. Ours is what `augment train` does first: the census,
bad files named, images that are there twice looked for, pixels put into the object store and kept in the output's cache.

Then a second job on the same images beside the first, from the census on: that is of the listing, which a cache can't
spare, and is told apart. Neither timed: Ray's start, and a first small folder that loads libraries into workers (the
DataLoader's too).
"""

from __future__ import annotations

import os
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from tests.benchmarks.measure import Case, Comparison, Outcome, in_fresh_process, timed
from tests.benchmarks.options import Options
from tests.benchmarks.rates import compare

if TYPE_CHECKING:
    from pipelines.cluster import Cluster
    from pipelines.job_source import JobSource
    from tests.benchmarks.real_images import Images

__all__ = ["REPEATS", "run"]

REPEATS = 5
OURS, UNCOMPARED = "ours", "ours, duplicates not looked for"
FIRST, SECOND = "decoded", "from the cache"
FEW = 64  # images of the first small folder
NOISE_TILES = 64
SEED = 20_240_607
POLICIES = ("across_splits", "across_labels", "exact", "near")


@dataclass(frozen=True, slots=True)
class Work:
    """A folder of images in class folders and what becomes of each; `few` is the small one beside it."""

    name: str
    folder: Path
    few: Path
    images: int
    size: int
    channels: int

    def config(self, output: Path, folder: Path, name: str, **source: Any) -> dict[str, Any]:
        """A job's config over one of the folders."""
        return {
            "name": name,
            "source": {"uri": str(folder), **source},
            "image": {"size": self.size, "channels": self.channels},
            "output": {"uri": str(output)},
        }


def run(options: Options) -> dict[str, Any]:
    """Measure and print."""
    return compare(partial(comparisons, options.idx), REPEATS, options)


def comparisons(idx: Path, small: bool, stack: ExitStack) -> list[Comparison]:
    """Two; the files last as long as `stack`."""
    root = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
    works = [
        Work("32×32 gray PNG", root / "png", root / "few-png", 600 if small else 50_000, 32, 1),
        Work("256×256 RGB JPEG → 64×64", root / "jpeg", root / "few-jpeg", 120 if small else 5_000, 64, 3),
    ]
    in_fresh_process(write_works, works, idx)
    return [each for work in works for each in (beside_loaders(work), beside_decoding(work))]


def beside_loaders(work: Work) -> Comparison:
    """Of the whole way."""
    decoders = ("Pillow", "torchvision.io")
    return Comparison(
        name=f"{work.images:,} images, {work.name}",
        unit="images",
        cases=[
            *(Case(loader(decoder), partial(torch_loader, work, decoder)) for decoder in decoders),
            Case(OURS, partial(whole_way, work)),
            Case(UNCOMPARED, partial(whole_way, work, compared=False)),
        ],
        baselines=[loader(decoder) for decoder in decoders],
    )


def beside_decoding(work: Work) -> Comparison:
    """Of what a cache can spare."""
    return Comparison(
        name=f"{work.images:,} images, {work.name}, again",
        unit="images",
        cases=[Case(FIRST, partial(first_run, work)), Case(SECOND, partial(second_run, work))],
        baselines=[FIRST],
    )


def loader(decoder: str) -> str:
    """What its case is called."""
    return f"DataLoader, {decoder}"


# ---- contenders ---------------------------------------------------------------------------------------


def torch_loader(work: Work, decoder: str) -> Outcome:
    """The baseline, a worker a core."""
    from tests.benchmarks.baselines.torch_loader import load_folder

    workers = len(os.sched_getaffinity(0))

    def load(folder: Path) -> int:
        pixels, class_index = load_folder(folder, work.size, work.channels, decoder, workers)
        assert len(pixels) == len(class_index)
        return len(pixels)

    first_s = timed(lambda: load(work.few))
    return _checked(work, lambda: load(work.folder), {"first images": first_s})


def whole_way(work: Work, compared: bool = True) -> Outcome:
    """Ours, from the folder on, nothing kept from before."""
    with ExitStack() as stack:
        ours = _Ours(work, stack, compared)

        def load() -> int:
            source, _ = ours.counted(work.folder, "first")
            return images_in(source)

        return _checked(work, load, ours.apart)


def first_run(work: Work) -> Outcome:
    """Ours from the census on, nothing kept from before."""
    with ExitStack() as stack:
        ours = _Ours(work, stack)
        source, census_s = ours.counted(work.folder, "first")
        return _checked(work, lambda: images_in(source), ours.apart | {"census": census_s})


def second_run(work: Work) -> Outcome:
    """Ours from the census on, of another job on images that one has decoded before."""
    with ExitStack() as stack:
        ours = _Ours(work, stack)
        source, _ = ours.counted(work.folder, "first")
        _, before = source.decoded()
        again, census_s = ours.counted(work.folder, "second")
        outcome = _checked(work, lambda: images_in(again), ours.apart | {"census": census_s})
        assert again.decoded()[1] == before  # the same pixels, and the same findings
        return outcome


def images_in(source: JobSource) -> int:
    """Its decoded images."""
    _, record = source.decoded()
    return record.counts.total


class _Ours:
    """Jobs of one process on one output, their cluster up and its workers warm."""

    def __init__(self, work: Work, stack: ExitStack, compared: bool = True) -> None:
        from augment.config import RayConfig
        from pipelines.cluster import ray_cluster

        self._work, self._stack = work, stack
        self._source = {} if compared else {"duplicates": dict.fromkeys(POLICIES, "off")}
        self._output = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        began_s = time.perf_counter()
        self._cluster: Cluster = stack.enter_context(ray_cluster(RayConfig(address="local")))
        start_s = time.perf_counter() - began_s
        first_s = 0.0
        for _ in ("decoded", "from the cache"):
            source, _ = self.counted(work.few, "warm-up")
            first_s += timed(source.decoded)
        self.apart = {"Ray's start": start_s, "first images": first_s}

    def counted(self, folder: Path, job: str) -> tuple[JobSource, float]:
        """A job's source, its census taken, and the seconds of that."""
        from augment.config import Config
        from augment.objects import open_store
        from augment.store.models import ModelFolder
        from augment.types import canonical_json
        from pipelines.job_source import JobSource
        from pipelines.progress import Progress

        parts = self._work.config(self._output, folder, job, **self._source)
        config = Config.model_validate_json(canonical_json(parts))
        models = ModelFolder(open_store(config.output.uri), config.name)
        source = JobSource(config, models, Progress("none", quiet=True), lambda: self._cluster)
        return source, timed(source.census)


def _checked(work: Work, load: Callable[[], int], apart: dict[str, float]) -> Outcome:
    loaded: list[int] = []
    seconds = timed(lambda: loaded.append(load()))
    if loaded != [work.images]:
        raise RuntimeError(f"{loaded[0]:,} images were loaded, and there are {work.images:,}")
    return Outcome(work.images, seconds, apart)


# ---- the files ----------------------------------------------------------------------------------------


def write_works(works: list[Work], idx: Path) -> None:
    """All folders, from Fashion-MNIST's files in `idx`; without them, from the packaged images under noise."""
    from tests.benchmarks.real_images import write_folder

    png, jpeg = works
    images = some_images(png.images, idx)
    write_folder(images, png.folder)
    write_folder(_first(images, FEW), png.few)
    write_jpegs(_first(images, jpeg.images), jpeg.folder, side=256)
    write_jpegs(_first(images, FEW), jpeg.few, side=256)


def some_images(count: int, idx: Path) -> Images:
    """`count` different gray images, 32 × 32, in ten classes."""
    import numpy as np

    from augment.seeds import stream_id, uniforms
    from tests.benchmarks.real_images import Images, fashion, small_fashion

    if idx.is_dir():
        return _first(fashion(idx).known, count)
    few = small_fashion().known
    row_N = np.arange(count) % len(few.class_index_N)
    noise_NP = uniforms(SEED, stream_id("bench.ingest.noise"), 0, count, 32 * 32)
    pixels_NHWC = few.pixels_NHWC[row_N] // 2 + (noise_NP * 128).astype(np.uint8).reshape(-1, 32, 32, 1)
    return Images(pixels_NHWC, few.class_index_N[row_N])


def _first(images: Images, count: int) -> Images:
    """Those that come first."""
    import numpy as np

    return images.at(np.arange(count))


def write_jpegs(images: Images, folder: Path, side: int) -> None:
    """The images enlarged, tinted and grained, as a camera's would be, in one folder a class."""
    import numpy as np
    from PIL import Image

    from augment.seeds import normals, stream_id, uniforms

    count = len(images.class_index_N)
    grain_THW = normals(SEED, stream_id("bench.ingest.grain"), 0, NOISE_TILES, side * side) * 6
    grain_THWC = grain_THW.reshape(NOISE_TILES, side, side, 1)
    tint_NC = 0.4 + 0.6 * uniforms(SEED, stream_id("bench.ingest.tint"), 0, count, 3)
    for number, (pixels_HWC, label) in enumerate(zip(images.pixels_NHWC, images.class_index_N, strict=True)):
        place = folder / f"{label:02d}"
        place.mkdir(parents=True, exist_ok=True)
        large = Image.fromarray(pixels_HWC[..., 0]).resize((side, side), Image.Resampling.BICUBIC)
        coloured_HWC = np.asarray(large)[..., None] * tint_NC[number] + grain_THWC[number % NOISE_TILES]
        picture = Image.fromarray(coloured_HWC.clip(0, 255).astype(np.uint8))
        picture.save(place / f"{number:06d}.jpg", quality=90)

"""Suite `ingest` runs, and its contenders end with the same images. No test asserts a time."""

from __future__ import annotations

import os
from pathlib import Path

import numpy as np
import pytest

from augment.data.config import ImageConfig, SourceConfig
from augment.data.images import decode_image
from augment.data.sources import open_source
from tests.benchmarks.ingest import Work, first_run, second_run, some_images, whole_way, write_works
from tests.benchmarks.measure import in_fresh_process

NOWHERE = Path("no-such-folder")


@pytest.fixture(scope="module")
def works(tmp_path_factory: pytest.TempPathFactory) -> list[Work]:
    root = tmp_path_factory.mktemp("ingest")
    works = [
        Work("PNG", root / "png", root / "few-png", 90, 32, 1),
        Work("JPEG", root / "jpeg", root / "few-jpeg", 70, 64, 3),
    ]
    write_works(works, NOWHERE)
    return works


def decoded(work: Work) -> tuple[np.ndarray, np.ndarray]:
    source = open_source(SourceConfig(uri=str(work.folder)))
    image = ImageConfig(size=work.size, channels=work.channels)
    items = [item for chunk in source.chunks() for item in source.read(chunk)]
    return np.stack([decode_image(item.data, image) for item in items]), source.listing().labels_B


def test_the_files_are_as_many_as_are_said_and_all_different(works: list[Work]) -> None:
    for work in works:
        assert len(list(work.folder.rglob("*.*"))) == work.images
        assert len({path.read_bytes() for path in work.folder.rglob("*.*")}) == work.images
    assert len({pixels.tobytes() for pixels in some_images(5_000, NOWHERE).pixels_NHWC}) == 5_000


@pytest.mark.parametrize("kind", [0, 1], ids=["PNG", "JPEG"])
def test_a_loader_with_pillow_gives_the_very_pixels_of_ours(works: list[Work], kind: int) -> None:
    from tests.benchmarks.baselines.torch_loader import load_folder

    work = works[kind]
    pixels_NHWC, class_index_N = load_folder(work.folder, work.size, work.channels, "Pillow", workers=0)
    expected_NHWC, labels_N = decoded(work)
    np.testing.assert_array_equal(pixels_NHWC.numpy(), expected_NHWC)
    np.testing.assert_array_equal(class_index_N.numpy(), labels_N)


@pytest.mark.parametrize(("kind", "apart"), [(0, 0.0), (1, 6.0)], ids=["PNG", "JPEG"])
def test_a_loader_with_torchvision_gives_nearly_these(works: list[Work], kind: int, apart: float) -> None:
    from tests.benchmarks.baselines.torch_loader import load_folder

    work = works[kind]
    pixels_NCHW, _ = load_folder(work.folder, work.size, work.channels, "torchvision.io", workers=0)
    expected_NHWC, _ = decoded(work)
    difference = pixels_NCHW.numpy().transpose(0, 2, 3, 1).astype(float) - expected_NHWC
    assert np.abs(difference).mean() <= apart


@pytest.mark.skipif("RAY_ADDRESS" in os.environ, reason="a cluster of its own is started")
@pytest.mark.slow
def test_ours_is_timed_with_and_without_its_cache(works: list[Work]) -> None:
    for work in works:
        for case in (whole_way, first_run, second_run):
            outcome = in_fresh_process(case, work)
            assert outcome.amount == work.images
            assert outcome.seconds > 0
            assert {"Ray's start", "first images"} <= set(outcome.apart)

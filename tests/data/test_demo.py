"""The packaged data sets, and the script that cut them from Fashion-MNIST."""

from __future__ import annotations

import gzip
import struct
from pathlib import Path

import numpy as np
import pytest

from augment.data.census import take_census
from augment.data.config import ImageConfig, SourceConfig, SplitConfig
from augment.data.demo import demo_path
from augment.data.demo.make_fashion_mnist_lt import (
    CLASS_NAMES,
    long_tail_counts,
    make_demo,
    make_full,
    read_idx,
)
from augment.data.images import decode_image
from augment.data.sources import open_source
from augment.errors import InputError

IMAGE = ImageConfig(size=28, channels=1)


def write_idx(path: Path, values: np.ndarray) -> None:
    header = struct.pack(f">HBB{values.ndim}I", 0, 8, values.ndim, *values.shape)
    path.write_bytes(gzip.compress(header + values.astype(np.uint8).tobytes()))


def test_the_demo_is_fashion_mnist_with_an_exponential_long_tail() -> None:
    census = take_census(open_source(SourceConfig(uri="demo://fashion-mnist-lt")), image=IMAGE, deep=True)
    assert census.counts.counts == (3000, 1798, 1078, 646, 387, 232, 139, 83, 50, 30)
    assert tuple(info.name for info in census.counts.classes) == CLASS_NAMES
    assert census.imbalance_ratio == 100.0
    assert (census.head_class, census.tail_class) == ("T-shirt/top", "Ankle boot")
    assert census.bad == ()


def test_the_demos_test_split_is_balanced() -> None:
    census = take_census(open_source(SourceConfig(uri="demo://fashion-mnist-test")), image=IMAGE, deep=True)
    assert census.counts.counts == (50,) * 10
    assert census.bad == ()


def test_the_packaged_files_stay_small() -> None:
    names = ("fashion-mnist-lt", "fashion-mnist-test")
    assert sum(demo_path(f"demo://{name}").stat().st_size for name in names) < 3_000_000


def test_an_unknown_demo_is_refused_with_the_names_there_are() -> None:
    with pytest.raises(
        InputError, match=r"demo://mnist is not.*demo://fashion-mnist-lt, demo://fashion-mnist-test"
    ):
        open_source(SourceConfig(uri="demo://mnist")).listing()


def test_the_tail_is_that_of_cui_et_al_at_imbalance_100() -> None:
    # CIFAR-10-LT at ratio 100, as the long-tail literature prints it (5000 images in the head class).
    expected = (5000, 2997, 1796, 1077, 645, 387, 232, 139, 83, 50)
    assert long_tail_counts(5_000, 100.0, 10) == expected


def test_the_script_keeps_the_first_images_of_each_class_bit_for_bit(tmp_path: Path) -> None:
    rng = np.random.default_rng(0)
    labels = rng.permutation(np.repeat(np.arange(10), 60))
    images = rng.integers(0, 256, (600, 16, 16))
    for split in ("train", "t10k"):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", images)
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", labels)
    train, test = make_demo(tmp_path, tmp_path / "out")
    source, small = (
        open_source(SourceConfig(uri=str(test), split=SplitConfig(by="none"))),
        ImageConfig(size=16, channels=1),
    )
    assert np.bincount(source.listing().labels_B).tolist() == [50] * 10
    for chunk in source.chunks():
        for item in source.read(chunk):
            row = int(Path(item.name).stem)
            assert labels[row] == source.listing().labels_B[item.item_index]
            np.testing.assert_array_equal(decode_image(item.data, small)[:, :, 0], images[row])
    again = make_demo(tmp_path, tmp_path / "again")
    assert again[0].read_bytes() == train.read_bytes()


def test_in_full_it_goes_from_5000_images_to_50(tmp_path: Path) -> None:
    labels = np.repeat(np.arange(10), [5_100] + [60] * 9)
    for split in ("train", "t10k"):
        write_idx(tmp_path / f"{split}-images-idx3-ubyte.gz", np.zeros((len(labels), 2, 2)))
        write_idx(tmp_path / f"{split}-labels-idx1-ubyte.gz", labels)
    train, _ = make_full(tmp_path, tmp_path / "out")
    found = np.bincount(open_source(SourceConfig(uri=str(train))).listing().labels_B)
    assert found.tolist() == [5_000] + [60] * 8 + [50]


def test_what_is_not_idx_is_an_input_error(tmp_path: Path) -> None:
    (tmp_path / "x.gz").write_bytes(gzip.compress(b"hello"))
    with pytest.raises(InputError, match=r"x\.gz is not an IDX file"):
        read_idx(tmp_path / "x.gz")

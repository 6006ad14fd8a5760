"""Which image serves for what: cuts by file order, never one image on both sides."""

from __future__ import annotations

import tarfile
from pathlib import Path

import numpy as np
import pytest

from augment.data.demo.make_fashion_mnist_lt import long_tail_counts
from augment.errors import InputError
from tests.benchmarks.real_images import Images, cells, duplicates, fashion, small_fashion, write_folder


def numbered(counts: list[int], size: int = 2, channels: int = 1) -> Images:
    """Images that all differ, the classes taking turns as long as they have any."""
    order = sorted((index / count, label) for label, count in enumerate(counts) for index in range(count))
    class_index_N = np.array([label for _, label in order], np.int64)
    number_N = np.arange(len(order), dtype=np.uint8)
    pixels_NHWC = np.broadcast_to(number_N[:, None, None, None], (len(order), size, size, channels)).copy()
    return Images(pixels_NHWC, class_index_N)


def rows(images: Images) -> set[bytes]:
    return {pixels_HWC.tobytes() for pixels_HWC in images.pixels_NHWC}


def test_a_cut_takes_a_classs_images_in_file_order() -> None:
    images = numbered([6, 3])
    cut = images.cut([2, 0], [3, 1])
    assert cut.class_index_N.tolist() == [0, 0, 0, 1]
    own = np.flatnonzero(images.class_index_N == 0)[2:5]
    np.testing.assert_array_equal(cut.pixels_NHWC[:3], images.pixels_NHWC[own])


def test_a_cut_of_more_than_there_is_is_an_error() -> None:
    with pytest.raises(InputError, match="class 1 has 3 images, and 4 are needed"):
        numbered([6, 3]).cut([0, 2], [6, 2])


def test_the_floor_holds_no_training_image_and_the_training_set_has_a_long_tail() -> None:
    real = small_fashion()
    assert tuple(real.training.counts(10)) == long_tail_counts(40, 2.0, 10)
    assert not rows(real.training) & rows(real.floor)
    assert set(real.samples_K.tolist()) == {10}
    assert real.test.shape.size == real.training.shape.size == 32


def test_duplicates_are_training_images_copied_equally_often_as_many_as_are_generated() -> None:
    real = small_fashion()
    copies = duplicates(real)
    np.testing.assert_array_equal(copies.counts(10), real.samples_K)
    assert rows(copies) <= rows(real.training)
    assert len(rows(copies)) == len(copies.class_index_N)  # fewer are wanted than there are: none comes twice


def test_missing_idx_files_are_an_error_that_says_where_to_get_them(tmp_path: Path) -> None:
    with pytest.raises(
        InputError, match=r"train-images-idx3-ubyte.gz is not there.*--idx DIR.*dataset-fashion"
    ):
        fashion(tmp_path)


def test_cells_are_halved_by_name_and_a_tar_file_gives_the_same(tmp_path: Path) -> None:
    folder = tmp_path / "cells"
    write_folder(numbered([6, 5], size=64, channels=3), folder)
    real = cells(folder)
    assert real.class_names == ("00", "01")
    assert real.training.counts(2).tolist() == real.test.counts(2).tolist() == [3, 2]
    assert not rows(real.training) & rows(real.test)
    assert real.known.counts(2).tolist() == [6, 5]
    with tarfile.open(tmp_path / "cells.tar", "w") as tar:
        tar.add(folder, "some/where")
    packed = cells(tmp_path / "cells.tar")
    assert (packed.training.sha256, packed.test.sha256) == (real.training.sha256, real.test.sha256)


def test_a_place_without_cells_is_an_error(tmp_path: Path) -> None:
    with pytest.raises(InputError, match="at least two classes"):
        cells(tmp_path)
    with pytest.raises(InputError, match="neither a folder nor a tar file"):
        cells(tmp_path / "missing")

"""The nearest real image of a sample that is shown: the one it was copied from, if it is a copy."""

from __future__ import annotations

import uuid

import numpy as np
from scipy.spatial.distance import cdist

from augment.objects import open_store
from augment.report.first_samples import Samples
from augment.report.neighbours import has_neighbours, nearest_real, put_neighbours, read_neighbours
from tests.report.runs import real_images


def samples_of(pixels: np.ndarray) -> Samples:
    return Samples(pixels, tuple(f"id-{row}" for row in range(len(pixels))))


def test_a_copy_is_found_though_it_was_shifted_by_a_pixel() -> None:
    pixels, class_index = real_images()
    own = pixels[class_index == 1][:5]
    shifted = np.pad(own, ((0, 0), (1, 0), (0, 0), (0, 0)), mode="edge")[:, :16]
    found = nearest_real({1: samples_of(shifted)}, pixels, class_index)[1]
    np.testing.assert_array_equal(found.real_BHWC, own)
    np.testing.assert_allclose(found.distance_B, 0, atol=1e-4)


def test_a_distance_is_the_root_mean_square_of_the_nearest_of_nine_shifts() -> None:
    pixels, class_index = real_images()
    sample = real_images(seed=5)[0][:1]
    found = nearest_real({2: samples_of(sample)}, pixels, class_index)[2]
    real = pixels[class_index == 2]
    middles = real[:, 1:15, 1:15].reshape(len(real), -1).astype(float)
    windows = np.stack([sample[0, y : y + 14, x : x + 14].ravel() for y in range(3) for x in range(3)])
    distance = cdist(windows.astype(float), middles) / 14
    assert found.distance_B[0] == np.float32(distance.min())
    np.testing.assert_array_equal(found.real_BHWC[0], real[distance.min(0).argmin()])


def test_a_class_without_real_images_has_none() -> None:
    pixels, class_index = real_images()
    assert nearest_real({9: samples_of(pixels[:2])}, pixels, class_index) == {}


def test_neighbours_come_back_from_their_file() -> None:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    assert read_neighbours(store, "run") == {}
    assert not has_neighbours(store, "run")
    pixels, class_index = real_images()
    found = nearest_real({1: samples_of(pixels[:3]), 2: samples_of(pixels[:2])}, pixels, class_index)
    put_neighbours(store, "run", found)
    assert has_neighbours(store, "run")
    read = read_neighbours(store, "run")
    assert list(read) == [1, 2]
    for index, one in found.items():
        assert read[index].ids_B == one.ids_B
        np.testing.assert_array_equal(read[index].real_BHWC, one.real_BHWC)
        np.testing.assert_array_equal(read[index].distance_B, one.distance_B)

"""A few real images, kept beside the model for looking."""

from __future__ import annotations

import uuid

import numpy as np

from augment.objects import open_store
from augment.report.real_samples import load_real_samples, save_real_samples
from augment.store.models import ModelFolder


def test_real_images_come_back_by_class_index_and_none_from_an_empty_folder() -> None:
    folder = ModelFolder(open_store(f"memory://{uuid.uuid4().hex}"), "gan")
    assert load_real_samples(folder) == {}
    pixels = np.arange(2 * 4 * 4 * 3, dtype=np.uint8).reshape(2, 4, 4, 3)
    save_real_samples(folder, {7: pixels})
    assert list(load_real_samples(folder)) == [7]
    np.testing.assert_array_equal(load_real_samples(folder)[7], pixels)

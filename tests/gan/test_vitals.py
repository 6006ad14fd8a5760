import numpy as np
import pytest
import torch

from augment.gan.batches import RealImages
from augment.gan.networks.interface import GeneratorOutput
from augment.gan.vitals import SAMPLES_A_CLASS, Vitals, diversity
from tests.gan.common import tiny_images, tiny_spec


def test_diversity_is_the_mean_standard_deviation_over_a_classs_images():
    images = torch.zeros(2, 4, 1, 2, 2)
    images[1, :2] = 1.0
    images[1, 2:] = -1.0
    assert diversity(images).tolist() == pytest.approx([0.0, (4 / 3) ** 0.5])


def test_a_copier_has_all_of_its_classs_diversity_and_a_collapsed_class_none():
    spec = tiny_spec(counts=(64, 64, 2))
    images = tiny_images(spec)

    def copier(z_BD, condition):
        rows = []
        for position, k in enumerate(condition.class_B.tolist()):
            own = np.flatnonzero(images.class_index_N == k)
            rows.append(images.pixels_NHWC[own[position if k == 0 else 0]])
        pixels = torch.from_numpy(np.stack(rows)).permute(0, 3, 1, 2)
        return GeneratorOutput(pixels / 127.5 - 1, None, z_BD)

    shares = Vitals(spec, images, torch.device("cpu")).look(copier)
    assert shares == {"bag": pytest.approx(1.0, abs=0.1), "boot": 0.0}  # two coats are too few to tell


def test_the_rarest_classes_are_looked_at_first_and_blank_ones_are_left_out():
    spec = tiny_spec(counts=(20, 10, 5))
    images = tiny_images(spec)
    pixels = images.pixels_NHWC.copy()
    pixels[images.class_index_N == 1] = 7
    seen = []

    def generator(z_BD, condition):
        seen.extend(condition.class_B.tolist())
        return GeneratorOutput(torch.zeros(len(z_BD), 1, 16, 16), None, z_BD)

    Vitals(spec, RealImages(pixels, images.class_index_N), torch.device("cpu")).look(generator)
    assert seen == [2] * SAMPLES_A_CLASS + [0] * SAMPLES_A_CLASS

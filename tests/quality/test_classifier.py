import json
import struct

import numpy as np
import pytest
import torch

from augment.errors import ConfigError, DivergenceError, InputError, IntegrityError
from augment.quality.classifier import Classifier, _Draws, fit_classifier
from augment.types import sha256_hex
from tests.quality.common import striped_images

COUNTS = (60, 20, 10, 4)


@pytest.fixture(autouse=True, scope="module")
def _one_thread():
    """Results repeat for one number of threads, and tiny networks are quickest on one."""
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(threads)


def fit(*, steps=40, batch_size=32, **options):
    pixels, class_index = striped_images(COUNTS)
    return fit_classifier(
        pixels, class_index, len(COUNTS), seed=3, steps=steps, batch_size=batch_size, **options
    )


@pytest.fixture(scope="module")
def classifier(_one_thread):
    return fit()


# ---- fitting ------------------------------------------------------------------------------------------


def test_it_learns_rare_classes_too(classifier):
    pixels, class_index = striped_images((50, 50, 50, 50), seed=9)
    found = classifier.predict(pixels)
    for index in range(4):
        assert (found.class_index_N == class_index)[class_index == index].mean() > 0.9


def test_colour_images_and_bf16_are_fitted_as_well():
    pixels, class_index = striped_images(COUNTS, size=16, channels=3)
    fitted = fit_classifier(pixels, class_index, 4, seed=0, steps=25, batch_size=32, precision="bf16")
    assert (fitted.predict(pixels).class_index_N == class_index).mean() > 0.9


def test_the_same_seed_gives_the_same_bytes_and_another_seed_gives_others():
    pixels, class_index = striped_images(COUNTS)
    first, second, other = (
        fit_classifier(pixels, class_index, 4, seed=seed, steps=4, batch_size=16).to_bytes()
        for seed in (7, 7, 8)
    )
    assert first == second
    assert first != other


def test_the_log_hears_of_every_50_steps_and_of_the_last():
    heard = []
    fit(steps=60, batch_size=8, log=lambda step, loss: heard.append((step, loss)))
    assert [step for step, _ in heard] == [50, 60]
    assert heard[1][1] < heard[0][1] < np.log(4) + 1


def test_a_class_without_images_is_never_seen():
    pixels, class_index = striped_images((40, 40))
    found = fit_classifier(pixels, class_index * 2, 3, seed=0, steps=25, batch_size=32).predict(pixels)
    assert found.probability_NK.shape == (80, 3)
    assert set(found.class_index_N.tolist()) == {0, 2}


def test_a_loss_that_is_not_finite_stops_the_fit(monkeypatch):
    monkeypatch.setattr("augment.quality.classifier._LEARNING_RATE", float("inf"))
    with pytest.raises(DivergenceError, match="not finite within 3 steps"):
        fit(steps=3)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda x, y: (x[:, :, :4], y), "square images"),
        (lambda x, y: (x.astype(np.float32), y), "not at float32"),
        (lambda x, y: (x, y[:-1]), "class indices"),
        (lambda x, y: (x, y * 0), "at least two classes, not of 1"),
        (lambda x, y: (x, y + 1), "from 1 to 4, outside 0..3"),
        (lambda x, y: (x, y - 1), "from -1 to 2, outside 0..3"),
    ],
)
def test_what_cannot_be_fitted_is_an_input_error(change, message):
    pixels, class_index = change(*striped_images(COUNTS))
    with pytest.raises(InputError, match=message):
        fit_classifier(pixels, class_index, 4, seed=0, steps=1)


def test_no_step_and_a_batch_of_one_are_config_errors():
    with pytest.raises(ConfigError, match="steps=0"):
        fit(steps=0)
    with pytest.raises(ConfigError, match="batch_size=1"):
        fit(batch_size=1)


# ---- what a batch is made of --------------------------------------------------------------------------


def test_classes_are_drawn_equally_often_and_every_image_of_a_class_too():
    class_index = np.random.default_rng(0).permutation(np.repeat([0, 1, 3], [70, 20, 10]))
    batch = _Draws(class_index, 8, 0, horizontal=False, vertical=False).batch(0, 30_000)
    np.testing.assert_allclose(np.bincount(class_index[batch.image_B]), [1e4, 1e4, 0, 1e4], rtol=0.05)
    rare = np.bincount(batch.image_B)[class_index == 3]
    np.testing.assert_allclose(rare, 1000, rtol=0.15)


@pytest.mark.parametrize(("horizontal", "vertical"), [(False, False), (True, False), (False, True)])
def test_a_sample_is_its_image_shifted_with_its_edge_continued_and_mirrored_where_allowed(
    horizontal, vertical
):
    pixels, class_index = striped_images((20, 5), size=32)
    batch = _Draws(class_index, 32, 1, horizontal=horizontal, vertical=vertical).batch(100, 64)
    found = batch.gather(pixels)
    mirrored = 0
    for image, sample in zip(batch.image_B, found, strict=True):
        padded = np.pad(pixels[image], ((2, 2), (2, 2), (0, 0)), mode="edge")
        crops = [padded[dy : dy + 32, dx : dx + 32] for dy in range(5) for dx in range(5)]
        flips = [crop[:, ::-1] if horizontal else crop[::-1] for crop in crops if horizontal or vertical]
        is_plain = any(np.array_equal(sample, crop) for crop in crops)
        assert is_plain or any(np.array_equal(sample, crop) for crop in flips)
        mirrored += not is_plain
    assert 15 < mirrored < 50 if horizontal or vertical else mirrored == 0


def test_samples_belong_to_their_global_index_and_not_to_their_batch():
    draws = _Draws(np.repeat([0, 1], [9, 4]), 32, 2, horizontal=True, vertical=True)
    whole, second = draws.batch(0, 32), draws.batch(16, 16)
    np.testing.assert_array_equal(whole.image_B[16:], second.image_B)
    np.testing.assert_array_equal(whole.row_BH[16:], second.row_BH)
    np.testing.assert_array_equal(whole.column_BW[16:], second.column_BW)


# ---- looking ------------------------------------------------------------------------------------------


def test_a_look_gives_features_and_probabilities_that_the_others_give_too(classifier):
    pixels, _ = striped_images((9, 9, 9, 9), seed=4)
    look = classifier.look(pixels)
    assert look.features_NF.shape == (36, 128)
    assert look.features_NF.dtype == look.probability_NK.dtype == np.float32
    assert look.features_NF.min() >= 0
    np.testing.assert_allclose(look.probability_NK.sum(1), 1, atol=1e-6)
    np.testing.assert_array_equal(classifier.features(pixels), look.features_NF)
    found = classifier.predict(pixels)
    np.testing.assert_array_equal(found.probability_NK, look.probability_NK)
    np.testing.assert_array_equal(found.class_index_N, look.probability_NK.argmax(1))


def test_an_image_is_seen_the_same_to_the_last_bit_in_any_company_and_order(classifier):
    pixels, _ = striped_images((30, 30, 30, 30), seed=5)
    whole = classifier.look(pixels)
    order = np.random.default_rng(0).permutation(len(pixels))
    np.testing.assert_array_equal(classifier.look(pixels[order]).features_NF, whole.features_NF[order])
    for index in (0, 64, 119):
        alone = classifier.look(pixels[index : index + 1])
        np.testing.assert_array_equal(alone.features_NF[0], whole.features_NF[index])
        np.testing.assert_array_equal(alone.probability_NK[0], whole.probability_NK[index])


def test_another_batch_size_changes_rounding_only(classifier):
    pixels, _ = striped_images((10, 10, 10, 10), seed=6)
    np.testing.assert_allclose(
        classifier.features(pixels, batch_size=7), classifier.features(pixels), rtol=1e-4, atol=1e-5
    )


def test_no_image_gives_no_row(classifier):
    look = classifier.look(np.empty((0, 8, 8, 1), np.uint8))
    assert look.features_NF.shape == (0, 128)
    assert look.probability_NK.shape == (0, 4)


def test_images_of_another_kind_are_refused(classifier):
    with pytest.raises(InputError, match=r"uint8 images \[N, 8, 8, 1\], not at uint8 \[2, 16, 16, 3\]"):
        classifier.look(np.zeros((2, 16, 16, 3), np.uint8))


# ---- the file -----------------------------------------------------------------------------------------


def test_a_classifier_comes_back_from_its_file_to_the_last_bit(classifier):
    data = classifier.to_bytes()
    back = Classifier.from_bytes(data, sha256=sha256_hex(data))
    pixels, _ = striped_images((5, 5, 5, 5), seed=7)
    assert back.info == classifier.info
    assert (back.info.image.size, back.info.classes, back.info.steps) == (8, 4, 40)
    np.testing.assert_array_equal(back.look(pixels).features_NF, classifier.look(pixels).features_NF)
    assert back.to_bytes() == data


def test_another_digest_is_refused_before_anything_is_parsed(classifier):
    data = classifier.to_bytes()
    with pytest.raises(IntegrityError, match="refusing to open"):
        Classifier.from_bytes(data[:-1] + b"x", sha256=sha256_hex(data))


@pytest.mark.parametrize("data", [b"", b"not a file", struct.pack("<Q", 2) + b"{}"])
def test_a_file_of_something_else_is_refused(data):
    with pytest.raises(IntegrityError, match="not a classifier file"):
        Classifier.from_bytes(data, sha256=sha256_hex(data))


def test_weights_that_do_not_fit_the_header_are_refused(classifier):
    data = classifier.to_bytes()
    length = struct.unpack("<Q", data[:8])[0]
    header = json.loads(data[8 : 8 + length])
    info = json.loads(header["__metadata__"]["augment.classifier"])
    header["__metadata__"]["augment.classifier"] = json.dumps({**info, "classes": 9})
    text = json.dumps(header).encode()
    forged = struct.pack("<Q", len(text)) + text + data[8 + length :]
    with pytest.raises(IntegrityError, match="do not fit its header"):
        Classifier.from_bytes(forged, sha256=sha256_hex(forged))

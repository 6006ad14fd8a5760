"""Presets: what each does to an image of any size and kind, and what it never does.

Bounds come from the ranges that a preset's comments promise and from geometry, not from looking at results.
"""

from __future__ import annotations

import colorsys
from importlib.resources import files

import numpy as np
import pytest
import yaml

from augment.errors import ConfigError
from augment.pixel_pipelines import PixelPipeline, apply_pipeline, load_pipeline
from augment.recipes import classic_presets
from augment.recipes.classic_presets import PRESETS, preset_spec
from augment.types import ImageShape, canonical_json

pytestmark = pytest.mark.filterwarnings("ignore::DeprecationWarning")  # of what albumentations imports

SEEDS = list(range(2**63, 2**63 + 120))


def pipeline(preset: str, shape: ImageShape | None = None) -> PixelPipeline:
    return load_pipeline(preset_spec(preset), shape, field="classic.preset")


def results(preset: str, image_HWC: np.ndarray) -> np.ndarray:
    """120 samples of one image."""
    return apply_pipeline(pipeline(preset), np.repeat(image_HWC[np.newaxis], len(SEEDS), axis=0), SEEDS)


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("size", [16, 28, 40, 64, 128, 256])
def test_size_and_kind_are_kept_and_a_seed_gives_one_result(preset: str, channels: int, size: int) -> None:
    pixels_BHWC = np.random.default_rng(size).integers(0, 256, (6, size, size, channels), np.uint8)
    shape = ImageShape(size=size, channels=channels)
    first = apply_pipeline(pipeline(preset, shape), pixels_BHWC, SEEDS[:6])
    again = apply_pipeline(pipeline(preset), pixels_BHWC[::-1], SEEDS[:6][::-1])[::-1]
    assert first.shape == pixels_BHWC.shape
    assert first.dtype == np.uint8
    np.testing.assert_array_equal(first, again)


@pytest.mark.parametrize("preset", PRESETS)
def test_no_sample_is_a_copy_of_its_source_or_of_another_sample(preset: str) -> None:
    image_HWC = np.random.default_rng(0).integers(0, 256, (16, 16, 1), np.uint8)
    samples = results(preset, image_HWC)
    assert not (samples == image_HWC).all(axis=(1, 2, 3)).any()
    assert len({sample.tobytes() for sample in samples}) == len(SEEDS)


# ---- geometry -----------------------------------------------------------------------------------------

# A bright square a fifth of the side away from the middle, up and left. What moves its centre most, along an axis
# and as a share of the side: the shift, the scale and the turn of a point at (0.2, 0.2), the slant.
MOST_MOVED = {
    "photographs": 0.08 + 0.15 * 0.2 + 0.174 * 0.2,
    "medical": 0.04 + 0.05 * 0.2 + 0.088 * 0.2,
    "documents-digits": 0.06 + 0.1 * 0.2 + (0.122 + 0.141) * 0.2,
}


def square_places(preset: str, size: int) -> np.ndarray:
    """Where the square's centre lies in 120 samples, as (row, column) from the middle in shares of the side."""
    image_HWC = np.full((size, size, 1), 20, np.uint8)
    low, high = round(0.2 * size), round(0.4 * size)
    image_HWC[low:high, low:high] = 230
    places = [np.argwhere(sample[:, :, 0] > 128).mean(axis=0) for sample in results(preset, image_HWC)]
    return (np.array(places) + 0.5) / size - 0.5


@pytest.mark.parametrize("size", [20, 64])
@pytest.mark.parametrize("preset", ["medical", "documents-digits"])
def test_what_is_read_or_has_sides_is_never_mirrored_or_turned_over(preset: str, size: int) -> None:
    moved = np.abs(square_places(preset, size) - (-0.2))
    assert moved.max() < MOST_MOVED[preset] * 1.15 + 0.5 / size
    assert moved.max() > 0.02


@pytest.mark.parametrize("size", [20, 64])
def test_photographs_are_mirrored_half_of_the_time_and_stay_upright(size: int) -> None:
    rows, columns = square_places("photographs", size).T
    most = MOST_MOVED["photographs"] * 1.15 + 0.5 / size
    assert np.abs(rows + 0.2).max() < most < 0.2
    assert np.abs(np.abs(columns) - 0.2).max() < most
    assert 40 < (columns > 0).sum() < 80  # of 120 fair coins


@pytest.mark.parametrize(
    ("preset", "most_degrees"), [("photographs", 10), ("medical", 5), ("documents-digits", 7)]
)
def test_a_level_line_turns_by_no_more_degrees_than_the_preset_says(preset: str, most_degrees: float) -> None:
    image_HWC = np.full((64, 64, 1), 20, np.uint8)
    image_HWC[30:34, 12:52] = 230
    turned = []
    for sample in results(preset, image_HWC):
        rows, columns = np.argwhere(sample[:, :, 0] > 128).T
        turned.append(abs(np.degrees(np.arctan(np.polyfit(columns, rows, 1)[0]))))
    assert max(turned) < most_degrees * 1.25  # width and height apart add a fifth: 1.1 / 0.9
    assert max(turned) > most_degrees / 2


def test_textures_are_turned_and_mirrored_all_ways() -> None:
    angles = np.degrees(np.arctan2(*square_places("textures", 64).T)) % 360
    assert len(set((angles // 45).astype(int))) == 8


@pytest.mark.parametrize("preset", PRESETS)
def test_the_border_has_no_colour_of_its_own(preset: str) -> None:
    """A black wedge beside a turned image would tell synthetic from real."""
    samples = results(preset, np.full((32, 32, 3), 180, np.uint8))
    assert np.ptp(samples.reshape(len(SEEDS), -1).astype(int), axis=1).max() <= (
        60 if preset == "medical" else 1
    )
    assert samples.min() > 60


# ---- light and colour ---------------------------------------------------------------------------------

# Most that a mean of 128 moves: contrast about zero, brightness of the whole range, in gray levels.
MOST_BRIGHTER = {
    "photographs": 0.2 * 128 + 0.15 * 255,
    "medical": 0.1 * 128 + 0.08 * 255,
    "documents-digits": 0.15 * 128 + 0.1 * 255,
    "textures": 0.15 * 128 + 0.1 * 255,
}


@pytest.mark.parametrize("preset", PRESETS)
@pytest.mark.parametrize("channels", [1, 3])
def test_light_changes_within_the_presets_range(preset: str, channels: int) -> None:
    means = results(preset, np.full((16, 16, channels), 128, np.uint8)).mean(axis=(1, 2, 3))
    assert np.abs(means - 128).max() <= MOST_BRIGHTER[preset] + 1
    assert np.abs(means - 128).max() > MOST_BRIGHTER[preset] / 4


@pytest.mark.parametrize("preset", PRESETS)
def test_gray_stays_gray_in_an_rgb_image(preset: str) -> None:
    gray_HW1 = np.random.default_rng(1).integers(0, 256, (32, 32, 1), np.uint8)
    samples = results(preset, np.repeat(gray_HW1, 3, axis=2)).astype(int)
    assert np.ptp(samples, axis=3).max() == 0


@pytest.mark.parametrize("preset", PRESETS)
def test_hue_is_kept_and_photographs_change_it_a_little(preset: str) -> None:
    red, green, blue = 150, 110, 80
    means_B3 = results(preset, np.full((24, 24, 3), (red, green, blue), np.uint8)).mean(axis=(1, 2))
    hue = colorsys.rgb_to_hsv(red, green, blue)[0]
    moved = [abs(colorsys.rgb_to_hsv(*mean)[0] - hue) for mean in means_B3]
    assert max(moved) < (0.045 if preset == "photographs" else 0.01)
    assert (max(moved) > 0.015) == (preset == "photographs")


# ---- files --------------------------------------------------------------------------------------------


def test_every_preset_is_a_file_and_every_file_a_preset() -> None:
    names = [file.name for file in files(classic_presets).iterdir() if file.name.endswith(".yaml")]
    assert sorted(names) == sorted(f"{preset}.yaml" for preset in PRESETS)


@pytest.mark.parametrize("preset", PRESETS)
def test_a_file_says_why_and_reads_the_same_with_any_yaml_reader(preset: str) -> None:
    text = files(classic_presets).joinpath(f"{preset}.yaml").read_text(encoding="utf-8")
    assert "\n# Keeps the label: " in text.partition("transform:")[0]
    assert preset_spec(preset) == yaml.safe_load(text)
    canonical_json(preset_spec(preset))  # a plan can record it


def test_another_name_is_a_config_error() -> None:
    with pytest.raises(ConfigError, match=r"there is no preset 'digits'; there are photographs, medical"):
        preset_spec("digits")

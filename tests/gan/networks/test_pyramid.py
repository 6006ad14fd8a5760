import pytest

from augment.data.config import IMAGE_SIZES
from augment.errors import ConfigError
from augment.gan.config import ModelConfig
from augment.gan.networks.pyramid import Pyramid


@pytest.mark.parametrize("size", IMAGE_SIZES)
def test_the_base_is_the_largest_of_at_most_8_pixels(size):
    pyramid = Pyramid.of(ModelConfig(width=4), size)
    assert pyramid.base << pyramid.doublings == size
    assert 4 < pyramid.base <= 8


@pytest.mark.parametrize(
    ("size", "base", "channels"),
    [
        (28, 7, (24, 48, 96)),
        (64, 8, (24, 48, 96, 192)),
        (128, 8, (24, 48, 96, 192, 256)),
        (256, 8, (24, 48, 96, 192, 256, 256)),
    ],
)
def test_channels_double_with_every_halving_up_to_the_maximum(size, base, channels):
    pyramid = Pyramid.of(ModelConfig(width=48, max_width=256), size)
    assert (pyramid.base, pyramid.channels) == (base, channels)


def test_the_way_up_and_the_way_down_are_each_others_mirror():
    pyramid = Pyramid.of(ModelConfig(width=48), 32)
    assert pyramid.upward == [(96, 48), (48, 24)]
    assert pyramid.downward == [(24, 48), (48, 96)]


@pytest.mark.parametrize("size", [18, 36, 512])
def test_a_size_that_is_no_doubled_base_is_a_config_error(size):
    with pytest.raises(ConfigError, match=rf"image\.size={size}"):
        Pyramid.of(ModelConfig(), size)


@pytest.mark.parametrize(
    ("size", "low_resolution", "level"), [(16, 4, 0), (16, 8, 0), (20, 8, 1), (28, 16, None), (64, 16, 1)]
)
def test_the_low_level_is_the_first_of_at_least_its_resolution_and_below_the_image(
    size, low_resolution, level
):
    pyramid = Pyramid.of(ModelConfig(), size)
    if level is None:
        with pytest.raises(ConfigError, match=r"model\.low_resolution=16.*\[7, 14, 28\].*at most 14"):
            pyramid.level_of(low_resolution)
    else:
        assert pyramid.level_of(low_resolution) == level

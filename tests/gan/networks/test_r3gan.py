import pytest
import torch
from torch.nn import functional as F

from augment.errors import ConfigError
from augment.gan.networks.r3gan import FromBasis, ToBasis
from augment.gan.networks.styled import Residual
from tests.gan.networks.common import build, noise


def blocks_of(network):
    return [module for module in network.modules() if isinstance(module, Residual)]


def test_two_blocks_stand_at_every_resolution_and_start_as_their_skip_connections():
    for network in build({"backbone": "r3gan"}, 32):
        blocks = blocks_of(network)
        assert len(blocks) == 2 * 3
        x = noise(2, blocks[0].residual.layers[0].in_channels, 4, 4)
        assert torch.equal(blocks[0](x), x)


def test_layers_before_a_residual_end_start_small_as_fixup_has_it():
    """He's standard deviation √(2/1.04)·fan_in^-1/2, times L^-1/4 for L = 6 blocks of three layers."""
    network = build({"backbone": "r3gan"}, 32)[1]
    weights = [block.residual.layers[2].weight for block in blocks_of(network)]
    units = torch.cat([weight.flatten() * weight[0].numel() ** 0.5 for weight in weights])
    assert units.std().item() == pytest.approx((2 / 1.04) ** 0.5 * 6**-0.25, rel=0.05)


def test_group_width_groups_twice_the_channels():
    for plain, grouped in zip(
        build({"backbone": "r3gan"}), build({"backbone": "r3gan", "group_width": 2}), strict=True
    ):
        for one, other in zip(blocks_of(plain), blocks_of(grouped), strict=True):
            channels = one.residual.layers[0].in_channels
            assert one.residual.layers[2].weight.shape == (channels, channels, 3, 3)
            assert other.residual.layers[2].weight.shape == (2 * channels, 2, 3, 3)


def test_a_group_width_that_does_not_divide_the_channels_is_a_config_error():
    with pytest.raises(ConfigError, match=r"model\.group_width=5 does not divide the 8 channels"):
        build({"backbone": "r3gan", "group_width": 5})


def test_from_basis_weighs_a_learned_image_of_every_channel():
    layer, w = FromBasis(9, (4, 4, 6)), noise(2, 9)
    expected = torch.einsum("bc,hwc->bchw", layer.strength(w), layer.basis_HWC)
    torch.testing.assert_close(layer(w), expected)


def test_to_basis_is_a_depthwise_convolution_as_large_as_its_input():
    layer, x = ToBasis((4, 4, 6)), noise(2, 6, 4, 4)
    kernel = layer.basis_HWC.permute(2, 0, 1)[:, None]
    torch.testing.assert_close(layer(x), F.conv2d(x, kernel, groups=6).flatten(1))

import torch

from augment.gan.networks.styled import Residual
from tests.gan.networks.common import build, noise, style_of


def test_a_residual_network_starts_as_its_skip_connections():
    for settings in ({}, {"generator_conditioning": "normalisation"}):
        for network in build({"backbone": "resnet"} | settings):
            blocks = [module for module in network.modules() if isinstance(module, Residual)]
            assert len(blocks) == 2
            for block in blocks:
                x = noise(2, block.residual.layers[0].in_channels, 4, 4)
                assert torch.equal(block(x, style_of(noise(2, 9))), x)

import numpy as np
import pytest
import torch
from torch import nn

from augment.quality.network import FEATURES, build_network, for_inference
from augment.types import ImageShape


@pytest.mark.parametrize("size", [8, 14, 16, 28, 40, 64, 256])
@pytest.mark.parametrize(("channels", "network_size"), [(1, "full"), (3, "full"), (3, "light")])
def test_every_image_size_gives_128_features_that_are_not_negative(size, channels, network_size):
    image = ImageShape(size=size, channels=channels)
    network = build_network(image, 7, seed=0, size=network_size).eval()
    features, logits = network(torch.zeros(2, channels, size, size))
    assert features.shape == (2, FEATURES)
    assert logits.shape == (2, 7)
    assert features.min() >= 0


def test_32_pixels_have_the_stages_that_the_docstring_names():
    network = build_network(ImageShape(size=32, channels=1), 10, seed=0)
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [32, 32, 64, 64, 128, 128]
    assert [layer.stride[0] for layer in convolutions] == [2, 1, 2, 1, 2, 1]
    kernels = 9 * (1 * 32 + 32 * 32 + 32 * 64 + 64 * 64 + 64 * 128 + 128 * 128)
    normalisations = 2 * 2 * (32 + 64 + 128)
    assert sum(weight.numel() for weight in network.parameters()) == kernels + normalisations + 129 * 10


def test_the_seed_alone_decides_the_initial_weights_and_torchs_generator_stays_where_it_is():
    image = ImageShape(size=8, channels=1)
    torch.manual_seed(1)
    before = torch.random.get_rng_state()
    first = build_network(image, 3, seed=5).state_dict()
    assert torch.equal(torch.random.get_rng_state(), before)
    torch.manual_seed(2)
    second = build_network(image, 3, seed=5).state_dict()
    other = build_network(image, 3, seed=6).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["head.weight"], other["head.weight"])


def test_initial_kernels_have_the_variance_of_he_and_biases_are_0():
    network = build_network(ImageShape(size=32, channels=3), 10, seed=0)
    kernel = network.stages[-1].convolution.weight
    assert float(kernel.detach().std()) == pytest.approx(np.sqrt(2 / (9 * 128)), rel=0.02)
    assert float(network.head.bias.detach().abs().max()) == 0


def test_the_light_network_has_half_the_channels_in_all_but_the_last_stage():
    network = build_network(ImageShape(size=32, channels=1), 10, seed=0, size="light")
    convolutions = [layer for layer in network.modules() if isinstance(layer, nn.Conv2d)]
    assert [layer.out_channels for layer in convolutions] == [16, 16, 32, 32, 128, 128]


@pytest.mark.parametrize("network_size", ["full", "light"])
def test_a_network_for_inference_is_the_same_function_without_normalisation_layers(network_size):
    network = build_network(ImageShape(size=32, channels=3), 5, seed=0, size=network_size)
    x = torch.from_numpy(np.random.default_rng(0).normal(size=(16, 3, 32, 32)).astype(np.float32))
    with torch.no_grad():
        for _ in range(5):
            network(x)  # statistics that are not the initial ones
        expected = network.eval()(x)
        before = {name: value.clone() for name, value in network.state_dict().items()}
        frozen = for_inference(network)
        for ours, theirs in zip(frozen(x), expected, strict=True):
            torch.testing.assert_close(ours, theirs, rtol=1e-4, atol=1e-5)
    assert not any(isinstance(layer, nn.BatchNorm2d) for layer in frozen.modules())
    assert not any(weight.requires_grad for weight in frozen.parameters())
    assert all(torch.equal(before[name], value) for name, value in network.state_dict().items())

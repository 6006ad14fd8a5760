import pytest
import torch

from augment.gan.networks.layers import (
    Activation,
    Flatten,
    Unflatten,
    channels_last,
    conv,
    linear,
    matrix_product,
    up_conv,
)
from tests.gan.networks.common import noise


@pytest.mark.parametrize(
    "make",
    [
        conv,
        up_conv,
        lambda i, o, gain: conv(i, o, kernel=1, gain=gain),
        lambda i, o, gain: conv(i, o, groups=8, gain=gain),
    ],
)
def test_initial_weights_keep_the_variance_of_what_passes_through(make):
    torch.manual_seed(0)
    y = make(64, 64, gain=1.0)(noise(8, 64, 16, 16))[:, :, 2:-2, 2:-2]
    assert y.std().item() == pytest.approx(1.0, rel=0.05)


def test_the_default_gain_keeps_the_second_moment_through_the_activation():
    torch.manual_seed(0)
    y = Activation()(linear(256, 256)(noise(256, 256)))
    assert y.square().mean().item() == pytest.approx(1.0, rel=0.05)


def test_unflatten_undoes_flatten():
    x = noise(2, 3, 4, 4)
    assert torch.equal(Unflatten((4, 4, 3))(Flatten()(x)), x)


def test_channels_last_leaves_a_look_at_gray_images_as_it_is():
    network = channels_last(torch.nn.Sequential(conv(1, 4), conv(4, 4)))
    assert network[0].weight.stride() == (9, 9, 3, 1)
    assert network[1].weight.stride() == (36, 1, 12, 4)


@pytest.mark.parametrize("inputs", [1, 5, 9, 16, 33, 97])
@pytest.mark.parametrize("outputs", [1, 3, 8, 40])
def test_a_row_of_a_matrix_product_has_the_same_bits_wherever_it_stands(inputs, outputs):
    x, weight, bias = noise(32, inputs), noise(outputs, inputs, seed=1), noise(outputs, seed=2)
    y = matrix_product(x, weight, bias)
    torch.testing.assert_close(y, x @ weight.T + bias)
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    assert torch.equal(matrix_product(x[order], weight, bias), y[order])

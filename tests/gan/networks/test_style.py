import pytest
import torch
from torch.nn import functional as F

from augment.gan.networks.layers import HE_GAIN, upsample
from augment.gan.networks.style import Constant, ModulatedConv, SummedPictures
from tests.gan.networks.common import noise, style_of


def with_weights_of_each_sample(layer, x, w):
    """Karras et al. 2020, eq. 1 to 3, as written: one kernel a sample, one grouped convolution for all."""
    weight, s = layer.conv.weight, layer.style(w)
    modulated = weight[None] * s[:, None, :, None, None]  # w'_ijk = s_i·w_ijk
    if layer.demodulate:
        sigma = (modulated.square().sum((2, 3, 4), keepdim=True) + 1e-8).sqrt()
        modulated = layer.gain * modulated / sigma
    samples, outputs, inputs, kernel, _ = modulated.shape
    y = F.conv2d(
        x.reshape(1, samples * inputs, *x.shape[2:]),
        modulated.reshape(samples * outputs, inputs, kernel, kernel),
        padding=kernel // 2,
        groups=samples,
    )
    return y.reshape(samples, outputs, *x.shape[2:]) + layer.bias[:, None, None]


@pytest.mark.parametrize("kernel", [1, 3])
@pytest.mark.parametrize("demodulate", [True, False])
def test_modulation_is_that_of_the_paper_and_so_are_its_gradients(kernel, demodulate):
    torch.manual_seed(0)
    layer = ModulatedConv(6, 5, 9, kernel=kernel, demodulate=demodulate).double()
    torch.nn.init.normal_(layer.bias)
    x, w = noise(3, 6, 7, 7).double().requires_grad_(), noise(3, 9).double().requires_grad_()
    ours, explicit = layer(x, style_of(w)), with_weights_of_each_sample(layer, x, w)
    torch.testing.assert_close(ours, explicit, rtol=1e-5, atol=1e-5)
    leaves = (x, w, *layer.parameters())
    gradients = (torch.autograd.grad(y.square().sum(), leaves) for y in (ours, explicit))
    for found, expected in zip(*gradients, strict=True):
        torch.testing.assert_close(found, expected, rtol=1e-4, atol=1e-4)


def test_demodulation_keeps_the_variance_whatever_the_style():
    torch.manual_seed(0)
    layer, x, w = ModulatedConv(64, 64, 9), noise(4, 64, 16, 16), 5 * noise(4, 9)
    y = layer(x, style_of(w))[:, :, 1:-1, 1:-1]
    for sample in y:
        assert sample.std().item() == pytest.approx(HE_GAIN, rel=0.1)


def test_every_sample_starts_from_the_same_constant():
    layer = Constant((4, 4, 6))
    x = layer(noise(3, 9))
    assert x.shape == (3, 6, 4, 4)
    assert torch.equal(x[0], x[1])
    assert torch.equal(x[0], layer.constant_HWC.permute(2, 0, 1))


def test_the_picture_is_the_doubled_sum_of_each_resolutions():
    torch.manual_seed(0)
    layer, style = SummedPictures((8, 4, 2), 3, 9), style_of(noise(2, 9))
    features = [noise(2, channels, side, side) for channels, side in ((8, 4), (4, 8), (2, 16))]
    a, b, c = (f(x, style) for f, x in zip(layer.to_picture, features, strict=True))
    torch.testing.assert_close(layer(features, style), upsample(upsample(a)) + upsample(b) + c)

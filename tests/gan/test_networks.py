import pytest
import torch

from augment.data.config import IMAGE_SIZES
from augment.errors import ConfigError
from augment.gan.config import ModelConfig
from augment.gan.networks import BACKBONES, build_discriminator, build_generator
from augment.gan.networks.layers import Pyramid, conv, up_conv
from augment.types import ImageShape

TINY = {"width": 4, "max_width": 16, "latent_dim": 6, "embedding_dim": 3}
CLASSES = 3


def build(backbone, size=16, channels=1, conditional=True):
    model = ModelConfig(backbone=backbone, conditional=conditional, **TINY)
    image = ImageShape(size=size, channels=channels)
    return [make(model, image, CLASSES, seed=1) for make in (build_generator, build_discriminator)]


def inputs(count=5):
    return torch.randn(count, 6, generator=torch.Generator().manual_seed(0)), torch.arange(count) % CLASSES


@pytest.mark.parametrize("size", IMAGE_SIZES)
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("backbone", BACKBONES)
def test_every_size_and_channel_count_can_be_built(backbone, channels, size):
    generator, discriminator = build(backbone, size, channels)
    z, y = inputs(2)
    x = generator(z, y)
    assert x.shape == (2, channels, size, size)
    assert discriminator(x, y).shape == (2,)


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("conditional", [True, False])
def test_the_gradient_reaches_every_parameter(backbone, conditional):
    generator, discriminator = build(backbone, conditional=conditional)
    for module in generator.modules():  # residual ends start at zero, which stops the gradient behind them
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight)
    for module in discriminator.modules():
        if isinstance(module, torch.nn.Conv2d):
            torch.nn.init.normal_(module.weight)
    z, y = inputs()
    discriminator(generator(z, y), y).square().sum().backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_class_decides_a_conditional_networks_output_and_not_an_unconditional_ones(backbone):
    z, y = inputs()
    other = (y + 1) % CLASSES
    for conditional in (True, False):
        generator, discriminator = build(backbone, conditional=conditional)
        x = generator(z, y)
        assert torch.equal(generator(z, other), x) is not conditional
        assert torch.equal(discriminator(x, other), discriminator(x, y)) is not conditional


@pytest.mark.parametrize("backbone", BACKBONES)
def test_embedding_noise_moves_the_image_and_zero_noise_does_not(backbone):
    generator, _ = build(backbone)
    z, y = inputs()
    assert torch.equal(generator(z, y, torch.zeros(5, 3)), generator(z, y))
    assert not torch.equal(generator(z, y, torch.ones(5, 3)), generator(z, y))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_a_sample_does_not_depend_on_its_neighbours(backbone):
    generator, discriminator = build(backbone)
    z, y = inputs()
    x = generator(z, y)
    torch.testing.assert_close(generator(z[2:3], y[2:3]), x[2:3])
    torch.testing.assert_close(discriminator(x[2:3], y[2:3]), discriminator(x, y)[2:3])


@pytest.mark.parametrize("backbone", BACKBONES)
def test_the_seed_alone_decides_the_initial_weights_and_torchs_own_stream_is_left_alone(backbone):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build(backbone)
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(6)
    for a, b in zip(first, build(backbone), strict=True):
        assert all(torch.equal(p, q) for p, q in zip(a.parameters(), b.parameters(), strict=True))


@pytest.mark.parametrize("backbone", BACKBONES)
def test_logits_are_float32_under_bf16_autocast(backbone):
    generator, discriminator = build(backbone)
    z, y = inputs()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        x = generator(z, y)
        logits = discriminator(x, y)
    assert x.dtype == logits.dtype == torch.float32


def test_a_residual_network_starts_as_its_skip_connections():
    generator, _ = build("resnet")
    blocks = [module for name, module in generator.named_modules() if name.endswith("residual")]
    assert len(blocks) == 2
    x = torch.randn(2, blocks[0][0].in_channels, 4, 4)
    assert not blocks[0](x).any()


@pytest.mark.parametrize("size", IMAGE_SIZES)
def test_the_base_is_the_largest_of_at_most_8_pixels(size):
    pyramid = Pyramid.of(ModelConfig(width=4), size)
    assert pyramid.base << pyramid.doublings == size
    assert 4 < pyramid.base <= 8


@pytest.mark.parametrize(
    ("size", "base", "channels"),
    [(28, 7, (24, 48, 96)), (64, 8, (24, 48, 96, 192)), (128, 8, (24, 48, 96, 192, 256))],
)
def test_channels_double_with_every_halving_up_to_the_maximum(size, base, channels):
    pyramid = Pyramid.of(ModelConfig(width=48, max_width=256), size)
    assert (pyramid.base, pyramid.channels) == (base, channels)


def test_a_size_that_is_no_doubled_base_is_a_config_error():
    with pytest.raises(ConfigError, match=r"image\.size=36"):
        Pyramid.of(ModelConfig(), 36)


@pytest.mark.parametrize("make", [conv, up_conv])
def test_initial_weights_keep_the_variance_of_what_passes_through(make):
    torch.manual_seed(0)
    x = torch.randn(8, 64, 16, 16)
    y = make(64, 64, gain=1.0)(x)[:, :, 2:-2, 2:-2]
    assert y.std().item() == pytest.approx(1.0, rel=0.05)

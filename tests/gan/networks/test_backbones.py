"""What holds for every backbone, with everything that can be switched."""

import pytest
import torch

from augment.data.config import IMAGE_SIZES
from augment.errors import ConfigError
from augment.gan.networks import BACKBONES, Condition, class_parameters
from tests.gan.networks.common import CLASSES, VARIANTS, E, build, latents, loss_of, noise, wake

every_variant = pytest.mark.parametrize("settings", VARIANTS.values(), ids=VARIANTS.keys())
every_backbone = pytest.mark.parametrize("backbone", BACKBONES)


@pytest.mark.parametrize(("size", "channels"), [*((size, 3) for size in IMAGE_SIZES), (28, 1), (32, 1)])
@every_backbone
def test_every_size_and_channel_count_can_be_built(backbone, size, channels):
    generator, discriminator = build({"backbone": backbone, "low_resolution": 4}, size, channels)
    z, y = latents(2)
    made = generator(z, Condition(y))
    assert made.image_BCHW.shape == (2, channels, size, size)
    assert discriminator(made.image_BCHW, Condition(y), made.low_BChh).logits_B.shape == (2,)


@every_variant
@pytest.mark.parametrize("conditional", [True, False])
def test_the_gradient_reaches_every_parameter(settings, conditional):
    generator, discriminator = map(wake, build(settings | {"conditional": conditional}))
    z, y = latents()
    made = generator(z, Condition(y))
    loss_of(discriminator(made.image_BCHW, Condition(y), made.low_BChh)).backward()
    for network in (generator, discriminator):
        for name, parameter in network.named_parameters():
            assert parameter.grad is not None, name
            assert parameter.grad.abs().sum() > 0, name


@every_variant
@pytest.mark.parametrize("channels", [1, 3])
@pytest.mark.parametrize("penalty", [True, False])
def test_gradients_lie_in_memory_as_their_weights_do(settings, channels, penalty):
    """Through bf16 and the double backward pass of R1: DDP copies and warns where they do not."""
    generator, discriminator = build(settings, channels=channels)
    z, y = latents()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = generator(z, Condition(y))
        shown = made.image_BCHW.detach().requires_grad_(penalty)
        judgement = discriminator(shown, Condition(y), made.low_BChh)
    total = loss_of(judgement)
    if penalty:
        (slope,) = torch.autograd.grad(judgement.logits_B.sum(), shown, create_graph=True)
        total = total + slope.square().sum()
    total = total + made.image_BCHW.sum()
    total.backward()
    for network in (generator, discriminator):
        for name, weight in network.named_parameters():
            assert weight.grad.stride() == weight.stride(), name


@every_variant
def test_the_class_decides_a_conditional_networks_output_and_not_an_unconditional_ones(settings):
    z, y = latents()
    other = (y + 1) % CLASSES
    for conditional in (True, False):
        generator, discriminator = map(wake, build(settings | {"conditional": conditional}))
        x = generator(z, Condition(y)).image_BCHW
        assert torch.equal(generator(z, Condition(other)).image_BCHW, x) is not conditional
        first, second = (discriminator(x, Condition(label)) for label in (y, other))
        shown = conditional and settings.get("discriminator_conditioning") != "auxiliary"
        assert torch.equal(first.logits_B, second.logits_B) is not shown


@every_variant
def test_strength_0_hides_the_class_and_a_tensor_will_do_for_a_number(settings):
    generator, discriminator = map(wake, build(settings))
    z, y = latents()
    other = (y + 1) % CLASSES
    for strength in (0.0, torch.tensor(0.0)):
        hidden, swapped = Condition(y, strength=strength), Condition(other, strength=strength)
        x = generator(z, hidden).image_BCHW
        assert torch.equal(generator(z, swapped).image_BCHW, x)
        assert torch.equal(discriminator(x, swapped).logits_B, discriminator(x, hidden).logits_B)
    half = [generator(z, Condition(y, strength=s)).image_BCHW for s in (0.5, torch.tensor(0.5), 1.0)]
    assert torch.equal(half[0], half[1])
    assert not torch.equal(half[0], half[2])


@every_variant
def test_embedding_noise_moves_the_image_and_zero_noise_does_not(settings):
    generator, _ = map(wake, build(settings))
    z, y = latents()
    x = generator(z, Condition(y)).image_BCHW
    assert torch.equal(generator(z, Condition(y, torch.zeros(5, E))).image_BCHW, x)
    assert not torch.equal(generator(z, Condition(y, torch.ones(5, E))).image_BCHW, x)


@every_variant
def test_a_sample_does_not_depend_on_its_neighbours(settings):
    generator, discriminator = map(wake, build(settings))
    z, y = latents()
    made, alone = generator(z, Condition(y)), generator(z[2:3], Condition(y[2:3]))
    torch.testing.assert_close(alone.image_BCHW, made.image_BCHW[2:3])
    judged = discriminator(made.image_BCHW, Condition(y))
    torch.testing.assert_close(
        discriminator(made.image_BCHW[2:3], Condition(y[2:3])).logits_B, judged.logits_B[2:3]
    )


@every_variant
def test_a_sample_has_the_same_bits_at_any_place_of_a_tile(settings):
    generator = wake(build(settings, 28)[0])
    z, y = noise(32, 6), torch.arange(32) % CLASSES
    order = torch.randperm(32, generator=torch.Generator().manual_seed(0))
    threads = torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with torch.inference_mode():
            x = generator(z, Condition(y)).image_BCHW
            moved = generator(z[order], Condition(y[order])).image_BCHW
    finally:
        torch.set_num_threads(threads)
    assert torch.equal(moved, x[order])


@every_variant
def test_latent_and_class_alone_decide_a_sample(settings):
    generator, _ = map(wake, build(settings))
    z, y = latents()
    assert torch.equal(generator(z, Condition(y)).image_BCHW, generator(z, Condition(y)).image_BCHW)
    assert not list(
        generator.buffers()
    )  # nothing that is learned in passing, and nothing to save but weights


@every_variant
def test_w_is_what_map_alone_gives(settings):
    generator, _ = build(settings)
    z, y = latents()
    condition = Condition(y, noise(5, E))
    assert torch.equal(generator(z, condition).w_BW, generator.map(z, condition))


@every_variant
def test_images_start_within_the_range_and_neither_flat_nor_saturated(settings):
    generator, _ = build(settings, size=64, channels=3)
    z, y = latents(8)
    x = generator(z, Condition(y)).image_BCHW
    assert x.abs().max() <= 1
    assert 0.1 < x.std() < 0.9


@every_variant
def test_outputs_are_float32_under_bf16_autocast(settings):
    generator, discriminator = build(settings)
    z, y = latents()
    with torch.autocast("cpu", dtype=torch.bfloat16):
        made = generator(z, Condition(y))
        judgement = discriminator(made.image_BCHW, Condition(y), made.low_BChh)
    for part in (made.image_BCHW, made.low_BChh, *judgement):
        assert part is None or part.dtype == torch.float32


@every_backbone
def test_the_seed_alone_decides_the_initial_weights_and_torchs_own_stream_is_left_alone(backbone):
    torch.manual_seed(5)
    expected = torch.rand(3)
    torch.manual_seed(5)
    first = build({"backbone": backbone})
    assert torch.equal(torch.rand(3), expected)
    torch.manual_seed(6)
    for network, again, other in zip(
        first, build({"backbone": backbone}), build({"backbone": backbone}, seed=2), strict=True
    ):
        pairs = zip(network.parameters(), again.parameters(), strict=True)
        assert all(torch.equal(p, q) for p, q in pairs)
        pairs = zip(network.parameters(), other.parameters(), strict=True)
        assert any(not torch.equal(p, q) for p, q in pairs)


@every_variant
def test_class_parameters_have_a_row_a_class_and_are_none_without_classes(settings):
    generator, _ = build(settings)
    parameters = class_parameters(generator)
    assert all(parameter.shape[0] == CLASSES and parameter.dim() == 2 for parameter in parameters)
    norms = 2 * sum(name.endswith("gain.weight") for name, _ in generator.named_parameters())
    assert len(parameters) == 1 + norms
    assert (norms > 0) is (settings.get("generator_conditioning") == "normalisation")
    assert class_parameters(build(settings | {"conditional": False})[0]) == []


def test_the_auxiliary_classifier_is_the_only_head_with_class_logits():
    z, y = latents()
    for kind, shape in (("projection", None), ("concatenation", None), ("auxiliary", (5, CLASSES))):
        generator, discriminator = build({"discriminator_conditioning": kind})
        logits = discriminator(generator(z, Condition(y)).image_BCHW, Condition(y)).class_logits_BK
        assert (None if logits is None else logits.shape) == shape


@every_backbone
def test_a_low_resolution_that_is_the_image_is_a_config_error(backbone):
    for build_one in range(2):
        with pytest.raises(ConfigError, match=r"model\.low_resolution=16.*at most 8"):
            build({"backbone": backbone, "low_resolution": 16})[build_one]

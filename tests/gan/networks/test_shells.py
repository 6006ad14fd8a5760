"""UTLO's way through both networks: small pictures without classes."""

import pytest
import torch

from augment.gan.networks import BACKBONES, Condition
from tests.gan.networks.common import CLASSES, build, latents, noise, wake

every_backbone = pytest.mark.parametrize("backbone", BACKBONES)


@every_backbone
@pytest.mark.parametrize(
    ("size", "low_resolution", "side"), [(28, 4, 7), (28, 8, 14), (32, 8, 8), (32, 16, 16), (40, 8, 10)]
)
def test_small_pictures_have_the_first_resolution_of_at_least_what_was_asked(
    backbone, size, low_resolution, side
):
    generator, discriminator = build({"backbone": backbone, "low_resolution": low_resolution}, size, 3)
    z, y = latents()
    made = generator(z, Condition(y))
    assert made.low_BChh.shape == (5, 3, side, side)
    assert made.low_BChh.abs().max() <= 1
    assert discriminator(made.image_BCHW, Condition(y), made.low_BChh).low_logits_B.shape == (5,)


@pytest.mark.parametrize(
    ("backbone", "conditioning"),
    [
        *((backbone, "concatenation") for backbone in BACKBONES),
        ("dcgan", "normalisation"),
        ("resnet", "normalisation"),
    ],
)
@pytest.mark.parametrize("low_resolution", [8, 16])
def test_the_small_picture_knows_nothing_of_the_class_that_the_image_shows(
    backbone, conditioning, low_resolution
):
    settings = {
        "backbone": backbone,
        "low_resolution": low_resolution,
        "generator_conditioning": conditioning,
    }
    generator = wake(build(settings, 32)[0])
    z, y = latents()
    one, other = (generator(z, Condition(label, noise(5, 3))) for label in (y, (y + 1) % CLASSES))
    assert torch.equal(one.low_BChh, other.low_BChh)
    assert not torch.equal(one.image_BCHW, other.image_BCHW)
    assert not torch.equal(one.w_BW, other.w_BW)
    assert not torch.equal(generator(z.flip(0), Condition(y)).low_BChh, one.low_BChh)


@every_backbone
def test_small_pictures_are_judged_whatever_their_class_and_leave_the_images_logits_alone(backbone):
    discriminator = wake(build({"backbone": backbone, "low_resolution": 8}, 32)[1])
    _, y = latents()
    x, low = noise(5, 1, 32, 32), noise(5, 1, 8, 8, seed=1)
    judged, other = (discriminator(x, Condition(label), low) for label in (y, (y + 1) % CLASSES))
    assert torch.equal(judged.low_logits_B, other.low_logits_B)
    assert torch.equal(judged.logits_B, discriminator(x, Condition(y)).logits_B)
    assert discriminator(x, Condition(y)).low_logits_B is None
    assert not torch.equal(discriminator(x, Condition(y), -low).low_logits_B, judged.low_logits_B)


@every_backbone
def test_images_and_small_pictures_share_the_layers_below(backbone):
    discriminator = wake(build({"backbone": backbone, "low_resolution": 8}, 32)[1])
    _, y = latents()

    def reached(part):
        discriminator.zero_grad(set_to_none=True)
        part(discriminator(noise(5, 1, 32, 32), Condition(y), noise(5, 1, 8, 8))).sum().backward()
        return {name for name, parameter in discriminator.named_parameters() if parameter.grad is not None}

    by_image, by_low = reached(lambda judged: judged.logits_B), reached(lambda judged: judged.low_logits_B)
    assert by_image | by_low == {name for name, _ in discriminator.named_parameters()}
    shared = by_image & by_low
    assert shared
    assert all(name.startswith("end.") for name in shared)  # base 8 pixels: nothing is halved any more
    assert {name.split(".")[0] for name in by_low - shared} == {"low_entry", "low_head"}


@every_backbone
def test_without_low_resolution_nothing_of_it_is_built(backbone):
    generator, discriminator = build({"backbone": backbone}, 32)
    names = [name for network in (generator, discriminator) for name, _ in network.named_parameters()]
    assert not any("low" in name or "affine" in name for name in names)
    z, y = latents()
    made = generator(z, Condition(y))
    assert made.low_BChh is None
    with pytest.raises(ValueError, match=r"without model\.low_resolution"):
        discriminator(made.image_BCHW, Condition(y), made.image_BCHW[:, :, ::4, ::4])

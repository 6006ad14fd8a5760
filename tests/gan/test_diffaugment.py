import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.gan.config import DIFFAUGMENT_OPS
from augment.gan.diffaugment import (
    OPERATIONS,
    UNIFORMS_PER_IMAGE,
    brightness,
    contrast,
    cutout,
    diffaugment,
    saturation,
    translation,
)


def images(channels=3, size=16, count=6):
    return torch.randn(count, channels, size, size, generator=torch.Generator().manual_seed(1))


def uniforms(count=6, seed=2, width=UNIFORMS_PER_IMAGE):
    return torch.rand(count, width, generator=torch.Generator().manual_seed(seed))


def test_every_operation_of_the_config_is_there_colours_first():
    assert tuple(OPERATIONS) == DIFFAUGMENT_OPS


def test_at_probability_0_nothing_changes():
    x = images()
    assert torch.equal(diffaugment(x, uniforms(), operations=DIFFAUGMENT_OPS, probability=0.0), x)


def test_without_operations_nothing_changes():
    x = images()
    assert torch.equal(diffaugment(x, uniforms(), operations=(), probability=1.0), x)


@pytest.mark.parametrize("name", DIFFAUGMENT_OPS)
def test_about_a_share_p_of_the_images_is_changed_and_the_others_are_untouched(name):
    x = images(size=16, count=2000)
    y = diffaugment(x, uniforms(2000), operations=(name,), probability=0.3)
    share = (x != y).flatten(1).any(1).float().mean().item()
    assert share == pytest.approx(0.3 * (24 / 25 if name == "translation" else 1), abs=0.04)


@pytest.mark.parametrize("name", DIFFAUGMENT_OPS)
@pytest.mark.parametrize("channels", [1, 3])
def test_every_operation_passes_gradients_to_the_images(name, channels):
    x = images(channels).double().requires_grad_()
    y = diffaugment(x, uniforms().double(), operations=(name,), probability=1.0)
    (gradient,) = torch.autograd.grad(y.square().sum(), x)
    assert y.shape == x.shape
    assert gradient.isfinite().all()
    assert gradient.abs().sum() > 0


def test_an_operations_gradient_is_its_derivative():
    x = torch.randn(2, 3, 8, 8, dtype=torch.float64, requires_grad=True)
    u = uniforms(2).double()
    assert torch.autograd.gradcheck(
        lambda v: diffaugment(v, u, operations=DIFFAUGMENT_OPS, probability=1.0), (x,)
    )


@given(down=st.floats(0, 1, exclude_max=True), right=st.floats(0, 1, exclude_max=True))
@settings(max_examples=50, deadline=None)
def test_translation_is_numpys_roll_of_an_image_with_repeated_edges(down, right):
    x = images(1, size=16, count=1)
    furthest = 2
    dy, dx = (int(u * (2 * furthest + 1)) - furthest for u in (down, right))
    padded = np.pad(x.numpy(), ((0, 0), (0, 0), (furthest, furthest), (furthest, furthest)), mode="edge")
    rolled = np.roll(padded, (dy, dx), axis=(2, 3))[:, :, furthest:-furthest, furthest:-furthest]
    moved = translation(x, torch.tensor([[down, right]], dtype=torch.float64))
    np.testing.assert_array_equal(moved.numpy(), rolled)


@pytest.mark.parametrize("size", [16, 28, 128])
def test_the_largest_float32_below_1_stays_within_the_furthest_shift(size):
    top = float(np.nextafter(np.float32(1), np.float32(0)))
    x = images(1, size=size, count=1)
    moved = translation(x, torch.tensor([[top, top]]))
    k = size // 8
    assert torch.equal(moved[0, 0, k:, k:], x[0, 0, :-k, :-k])


def test_brightness_adds_a_constant_below_one_half():
    x, u = images(), uniforms(width=1)
    shift = (brightness(x, u) - x).flatten(1)
    torch.testing.assert_close(shift, (u - 0.5).expand_as(shift))


def test_contrast_keeps_each_images_mean_and_scales_its_deviation():
    x, u = images(), uniforms(width=1)
    y = contrast(x, u)
    torch.testing.assert_close(y.mean((1, 2, 3)), x.mean((1, 2, 3)))
    torch.testing.assert_close(y.std((1, 2, 3)) / x.std((1, 2, 3)), u[:, 0] + 0.5)


def test_saturation_keeps_each_pixels_gray_and_leaves_gray_images_alone():
    x, u = images(), uniforms(width=1)
    torch.testing.assert_close(saturation(x, u).mean(1), x.mean(1))
    assert torch.equal(saturation(images(1), u), images(1))


def test_cutout_blanks_at_most_a_quarter_of_the_image_and_nothing_else():
    x = images()
    y = cutout(x, uniforms(width=2))
    blank = y == 0
    assert torch.equal(y[~blank], x[~blank])
    share = blank.float().mean((1, 2, 3))
    assert (share > 0).all()
    assert (share <= 0.25).all()


@given(order=st.permutations(range(6)))
@settings(max_examples=20, deadline=None)
def test_an_image_is_augmented_alike_wherever_it_stands_in_a_batch(order):
    x, u = images(), uniforms()
    together = diffaugment(x, u, operations=DIFFAUGMENT_OPS, probability=0.5)
    order = torch.tensor(order)
    assert torch.equal(
        diffaugment(x[order], u[order], operations=DIFFAUGMENT_OPS, probability=0.5), together[order]
    )


def test_adding_an_operation_does_not_move_the_uniforms_of_another():
    x, u = images(), uniforms()
    u[:, -3] = 0.9  # cutout's gate stays shut
    alone = diffaugment(x, u, operations=("translation",), probability=0.5)
    assert torch.equal(diffaugment(x, u, operations=("translation", "cutout"), probability=0.5), alone)

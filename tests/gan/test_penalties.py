import pytest
import torch

from augment.gan.config import PENALTY_NAMES
from augment.gan.penalties import PENALTIES, input_gradient, interpolate, one_centred, zero_centred

SHAPE = (5, 2, 3, 3)


def images(seed):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)


def test_a_linear_discriminators_slope_is_its_weight_at_every_image():
    weight, x = images(0)[0], images(1).requires_grad_()
    gradient = input_gradient((x * weight).flatten(1).sum(1), x)
    torch.testing.assert_close(gradient, weight.expand(SHAPE))
    norm = weight.norm().item()
    assert zero_centred(gradient).item() == pytest.approx(norm**2)
    assert one_centred(gradient).item() == pytest.approx((norm - 1) ** 2)


def test_a_quadratic_discriminators_slope_is_the_image_itself():
    x = images(2).requires_grad_()
    gradient = input_gradient(0.5 * x.square().flatten(1).sum(1), x)
    torch.testing.assert_close(gradient, x)
    assert zero_centred(gradient).item() == pytest.approx(x.detach().square().sum().item() / len(x))


def test_the_penalty_trains_the_discriminator_through_its_own_gradient():
    scale, x = torch.tensor(3.0, dtype=torch.float64, requires_grad=True), images(3).requires_grad_()
    penalty = zero_centred(input_gradient(scale * x.flatten(1).sum(1), x))  # = scale² · 18 pixels
    (slope,) = torch.autograd.grad(penalty, scale)
    assert slope.item() == pytest.approx(2 * 3.0 * 18)


def test_the_gradient_penalty_is_zero_and_smooth_at_slope_one_and_finite_at_slope_zero():
    unit = torch.zeros(SHAPE, dtype=torch.float64)
    unit[:, 0, 0, 0] = 1
    assert one_centred(unit).item() == pytest.approx(0, abs=1e-12)
    flat = torch.zeros(SHAPE, dtype=torch.float64, requires_grad=True)
    (slope,) = torch.autograd.grad(one_centred(flat), flat)
    assert slope.isfinite().all()


def test_interpolation_runs_from_the_fake_at_0_to_the_real_at_1():
    real, fake = images(4), images(5)
    mixed = interpolate(real, fake, torch.tensor([0, 1, 0.25, 0.5, 1], dtype=torch.float64))
    torch.testing.assert_close(mixed[0], fake[0])
    torch.testing.assert_close(mixed[1], real[1])
    torch.testing.assert_close(mixed[2], 0.25 * real[2] + 0.75 * fake[2])


def test_every_name_of_the_config_has_a_penalty():
    assert set(PENALTIES) == set(PENALTY_NAMES) - {"auto"}
    assert {name: penalty.points for name, penalty in PENALTIES.items()} == {
        "none": (),
        "r1": ("real",),
        "r1+r2": ("real", "fake"),
        "gradient-penalty": ("interpolated",),
    }
    assert PENALTIES["r1"].weight == 0.5  # γ/2 of Mescheder et al. 2018, eq. 9

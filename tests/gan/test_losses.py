import numpy as np
import pytest
import torch

from augment.gan.config import LOSS_NAMES
from augment.gan.losses import LOSSES

RNG = np.random.default_rng(3)
REAL, FAKE = RNG.normal(size=9), RNG.normal(size=9)


def sigmoid(x):
    return 1 / (1 + np.exp(-x))


# The papers' formulas in numpy, on probabilities where the paper has probabilities.
PAPER = {
    "minimax": (
        lambda r, f: -np.log(sigmoid(r)).mean() - np.log(1 - sigmoid(f)).mean(),
        lambda r, f: np.log(1 - sigmoid(f)).mean(),
    ),
    "non-saturating": (
        lambda r, f: -np.log(sigmoid(r)).mean() - np.log(1 - sigmoid(f)).mean(),
        lambda r, f: -np.log(sigmoid(f)).mean(),
    ),
    "hinge": (
        lambda r, f: np.maximum(0, 1 - r).mean() + np.maximum(0, 1 + f).mean(),
        lambda r, f: -f.mean(),
    ),
    "least-squares": (
        lambda r, f: 0.5 * ((r - 1) ** 2).mean() + 0.5 * (f**2).mean(),
        lambda r, f: 0.5 * ((f - 1) ** 2).mean(),
    ),
    "wgan-gp": (lambda r, f: f.mean() - r.mean(), lambda r, f: -f.mean()),
    "relativistic": (
        lambda r, f: np.log1p(np.exp(-(r - f))).mean(),
        lambda r, f: np.log1p(np.exp(-(f - r))).mean(),
    ),
}


def tensors(*arrays):
    return [torch.tensor(array, dtype=torch.float64, requires_grad=True) for array in arrays]


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_each_loss_is_its_papers_formula(name):
    real, fake = tensors(REAL, FAKE)
    expected_d, expected_g = PAPER[name]
    assert LOSSES[name].discriminator(real, fake).item() == pytest.approx(expected_d(REAL, FAKE), rel=1e-12)
    assert LOSSES[name].generator(real, fake).item() == pytest.approx(expected_g(REAL, FAKE), rel=1e-12)


def test_every_name_of_the_config_has_a_loss():
    assert set(LOSSES) == set(LOSS_NAMES)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_a_loss_and_its_gradient_stay_finite_at_extreme_logits(name):
    real, fake = tensors([-1e4, 1e4], [1e4, -1e4])
    for loss in (LOSSES[name].discriminator, LOSSES[name].generator):
        value = loss(real, fake)
        gradients = torch.autograd.grad(value, (real, fake), allow_unused=True)
        assert value.isfinite()
        assert all(g.isfinite().all() for g in gradients if g is not None)


@pytest.mark.parametrize("name", LOSS_NAMES)
def test_the_generator_is_pushed_to_raise_the_logits_of_its_images(name):
    real, fake = tensors(REAL, FAKE)
    (slope,) = torch.autograd.grad(LOSSES[name].generator(real, fake).mean(), fake)
    below_one = fake.detach() < 1  # least squares turns round at its target, 1
    assert (slope[below_one] < 0).all()


def test_only_the_relativistic_generator_looks_at_real_images():
    for name, loss in LOSSES.items():
        real, fake = tensors(REAL, FAKE)
        (slope,) = torch.autograd.grad(loss.generator(real, fake), real, allow_unused=True)
        assert loss.generator_sees_real == (slope is not None) == (name == "relativistic")


def test_at_equal_logits_minimax_costs_2_ln_2_and_relativistic_ln_2():
    zero = torch.zeros(4, dtype=torch.float64)
    assert LOSSES["minimax"].discriminator(zero, zero).item() == pytest.approx(2 * np.log(2))
    assert LOSSES["relativistic"].discriminator(zero, zero).item() == pytest.approx(np.log(2))


def test_the_minimax_generator_saturates_where_the_non_saturating_one_does_not():
    fake = torch.tensor([-20.0], requires_grad=True)
    (weak,) = torch.autograd.grad(LOSSES["minimax"].generator(fake, fake), fake)
    (strong,) = torch.autograd.grad(LOSSES["non-saturating"].generator(fake, fake), fake)
    assert abs(weak.item()) < 1e-8
    assert strong.item() == pytest.approx(-1.0)

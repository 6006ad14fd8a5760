import numpy as np
import pytest
import torch
from scipy.linalg import hadamard

from augment.gan.twins import barlow_twins

RNG = np.random.default_rng(5)
INDEPENDENT = torch.tensor(hadamard(16)[:, 1:8], dtype=torch.float32)  # mean 0, orthogonal: C = identity


def test_the_loss_is_barlow_twins_formula_on_numpys_correlations():
    common = RNG.normal(size=(64, 5))
    w1, w2 = (40 * common + RNG.normal(size=(64, 5)) @ RNG.normal(size=(5, 5)) + 3 for _ in range(2))
    correlation = np.corrcoef(w1, w2, rowvar=False)[:5, 5:]
    diagonal = np.diag(correlation)
    expected = ((1 - diagonal) ** 2).sum() + 0.3 * ((correlation**2).sum() - (diagonal**2).sum())
    loss = barlow_twins(torch.tensor(w1), torch.tensor(w2), off_diagonal=0.3)
    assert loss.item() == pytest.approx(expected, rel=1e-4)


def test_agreeing_twins_with_independent_dimensions_cost_nothing():
    assert barlow_twins(INDEPENDENT, INDEPENDENT).item() == pytest.approx(0, abs=1e-8)


def test_opposite_twins_cost_4_a_dimension_and_unrelated_ones_1():
    assert barlow_twins(INDEPENDENT, -INDEPENDENT).item() == pytest.approx(4 * 7, rel=1e-4)
    unrelated = torch.tensor(hadamard(16)[:, 8:15], dtype=torch.float32)
    assert barlow_twins(INDEPENDENT, unrelated).item() == pytest.approx(7, rel=1e-4)


def test_dimensions_that_all_say_the_same_cost_lambda_for_every_pair():
    same = INDEPENDENT[:, :1].expand(-1, 6)
    assert barlow_twins(same, same).item() == pytest.approx(0.05 * 6 * 5, rel=1e-3)


def test_neither_scale_nor_shift_of_a_dimension_matters():
    w1, w2 = (torch.tensor(RNG.normal(size=(32, 4)), dtype=torch.float32) for _ in range(2))
    moved = barlow_twins(w1 * torch.tensor([2.0, 5.0, 1.0, 9.0]) - 4, w2 * 3 + 100)
    assert moved.item() == pytest.approx(barlow_twins(w1, w2).item(), rel=1e-3)


def test_a_collapsed_w_costs_1_a_dimension_with_a_finite_gradient():
    collapsed = torch.full((16, 3), 0.7, requires_grad=True)
    loss = barlow_twins(collapsed, INDEPENDENT[:, :3])
    (gradient,) = torch.autograd.grad(loss, collapsed)
    assert loss.item() == pytest.approx(3)
    assert gradient.isfinite().all()


def test_descending_on_the_loss_brings_noisy_twins_together():
    generator = torch.Generator().manual_seed(0)
    z, noise1, noise2 = (torch.randn(64, 8, generator=generator) for _ in range(3))
    mapping = torch.nn.Linear(16, 4)
    with torch.no_grad():
        mapping.weight.copy_(torch.randn(4, 16, generator=generator))
    optimizer = torch.optim.Adam(mapping.parameters(), lr=0.05)
    losses = []
    for _ in range(60):
        loss = barlow_twins(mapping(torch.cat([z, noise1], 1)), mapping(torch.cat([z, noise2], 1)))
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        losses.append(loss.item())
    assert losses[-1] < 0.2 * losses[0]

"""The losses against their formulas, and what each comes to in a special case."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from torch.nn import functional as F

from augment.lift.losses import balanced_softmax, soft_cross_entropy, weighted_mean

LOGITS = torch.tensor([[2.0, -1.0, 0.5], [0.1, 0.2, -0.3]], dtype=torch.float64)
CLASSES = torch.tensor([0, 2])
COUNTS = torch.tensor([5000.0, 500.0, 50.0], dtype=torch.float64)


def test_balanced_softmax_is_minus_log_of_n_e_to_the_logit_over_their_sum() -> None:
    weighed = COUNTS.numpy() * np.exp(LOGITS.numpy())  # Ren et al. 2020, eq. 3
    expected = -np.log(weighed[[0, 1], [0, 2]] / weighed.sum(1))
    np.testing.assert_allclose(balanced_softmax(LOGITS, CLASSES, COUNTS / COUNTS.sum()), expected)


def test_balanced_softmax_of_a_uniform_prior_is_cross_entropy() -> None:
    plain = F.cross_entropy(LOGITS, CLASSES, reduction="none")
    torch.testing.assert_close(balanced_softmax(LOGITS, CLASSES, torch.full((3,), 1 / 3)), plain)
    torch.testing.assert_close(balanced_softmax(LOGITS, CLASSES, torch.ones(3)), plain)


def test_balanced_softmax_learns_the_posterior_of_balanced_classes() -> None:
    # One feature value, seen 90 times with class 0 and 10 times with class 1, where class 0 has 3 times the images.
    # P(x|0) : P(x|1) = 90/3 : 10/1, so that with balanced classes P(0|x) = 0.75.
    logits = torch.zeros(2, dtype=torch.float64, requires_grad=True)
    classes = torch.tensor([0] * 90 + [1] * 10)
    optimiser = torch.optim.LBFGS([logits], max_iter=100)

    def loss() -> torch.Tensor:
        optimiser.zero_grad()
        value = balanced_softmax(logits.expand(100, 2), classes, torch.tensor([0.75, 0.25])).mean()
        value.backward()
        return value

    optimiser.step(loss)
    assert float(logits.detach().softmax(0)[0]) == pytest.approx(0.75, abs=1e-4)


def test_a_class_without_rows_is_no_rival() -> None:
    loss = balanced_softmax(LOGITS[:1], CLASSES[:1], torch.tensor([1.0, 0.0, 0.0], dtype=torch.float64))
    assert float(loss) == pytest.approx(0)


def test_soft_cross_entropy_of_a_certain_teacher_is_cross_entropy() -> None:
    hard = F.one_hot(CLASSES, 3).double()
    torch.testing.assert_close(
        soft_cross_entropy(LOGITS, hard), F.cross_entropy(LOGITS, CLASSES, reduction="none")
    )


def test_soft_cross_entropy_is_least_where_the_network_says_what_the_teachers_do() -> None:
    soft = torch.tensor([[0.7, 0.2, 0.1]])
    at_teacher = float(soft_cross_entropy(soft.log(), soft))
    assert at_teacher == pytest.approx(-(0.7 * np.log(0.7) + 0.2 * np.log(0.2) + 0.1 * np.log(0.1)))
    assert float(soft_cross_entropy(torch.tensor([[0.9, -0.2, 0.0]]), soft)) > at_teacher


def test_a_weighted_mean_of_equal_weights_is_the_mean_whatever_they_are() -> None:
    loss_B = torch.tensor([1.0, 2.0, 6.0])
    assert float(weighted_mean(loss_B, torch.full((3,), 0.2))) == pytest.approx(3)
    assert float(weighted_mean(loss_B, torch.tensor([1.0, 1.0, 0.5]))) == pytest.approx((1 + 2 + 3) / 2.5)

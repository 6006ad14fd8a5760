import numpy as np
import pytest
import torch

from augment.gan.spectral import group_shape, group_spectral_norms, gsr


def vectors(classes, features, seed=0, dtype=torch.float64):
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(classes, features, generator=generator, dtype=dtype, requires_grad=True)


def exact(vectors_KF):
    return torch.linalg.svdvals(
        vectors_KF.detach().reshape(len(vectors_KF), *group_shape(vectors_KF.shape[1]))
    )


@pytest.mark.parametrize(
    ("features", "shape"),
    [(1, (1, 1)), (12, (3, 4)), (48, (6, 8)), (256, (16, 16)), (512, (16, 32)), (94, (2, 47)), (31, (1, 31))],
)
def test_groups_are_the_divisors_nearest_to_a_square(features, shape):
    assert group_shape(features) == shape


@pytest.mark.parametrize("features", [1, 12, 31, 48, 384, 512])
def test_with_enough_squarings_the_norm_is_the_largest_singular_value(features):
    many = vectors(20, features)
    torch.testing.assert_close(
        group_spectral_norms(many, squarings=14), exact(many)[:, 0], rtol=1e-6, atol=0.0
    )


@pytest.mark.parametrize("features", [31, 48, 384, 512])
def test_by_default_it_is_a_lower_bound_within_1_percent(features):
    many = vectors(500, features, seed=1, dtype=torch.float32)
    ratio = (group_spectral_norms(many) / exact(many)[:, 0]).detach()
    assert ratio.max() <= 1 + 1e-5
    assert ratio.min() > 0.99


def test_a_matrix_of_rank_1_has_the_product_of_its_factors_lengths_in_one_squaring():
    left, right = np.array([3.0, -4.0, 0.0]), np.array([1.0, -2.0, 2.0, 4.0])  # lengths 5 and 5
    rank_1 = torch.tensor(np.outer(left, right).reshape(1, 12))
    assert group_spectral_norms(rank_1, squarings=1).item() == pytest.approx(25)


@pytest.mark.parametrize(
    ("matrix", "largest"),
    [
        ([[2.0, 0, 0, 0], [0, 1.5, 0, 0], [0, 1.5, 0, 0]], 1.5 * 2**0.5),  # the longest row is no part of it
        ([[1.0, 2, 2, 0], [-1, -2, -2, 0], [0, 0, 0, 0]], 3 * 2**0.5),  # the rows cancel in their sum
        ([[2.0, 0, 0, 0], [0, 2, 0, 0], [0, 0, 2, 0]], 2.0),  # all directions are the largest
        ([[0.0, 0, 0, 0], [0, 0, 0, 7], [0, 0, 0, 0]], 7.0),
    ],
)
def test_no_structure_hides_the_largest_direction(matrix, largest):
    row = torch.tensor(matrix, dtype=torch.float64).reshape(1, 12)
    assert group_spectral_norms(row, squarings=10).item() == pytest.approx(largest)


@pytest.mark.parametrize("scale", [1e-15, 1e-6, 1e6, 1e15])
def test_the_norm_grows_with_its_vector_far_below_and_above_1(scale):
    base = vectors(5, 48, dtype=torch.float32).detach()
    expected = scale * group_spectral_norms(base)
    torch.testing.assert_close(group_spectral_norms(scale * base), expected, rtol=1e-5, atol=0.0)


def test_classes_do_not_mix_and_the_result_is_the_same_every_time():
    many = vectors(6, 48, dtype=torch.float32)
    one_by_one = torch.cat([group_spectral_norms(row[None]) for row in many])
    torch.testing.assert_close(group_spectral_norms(many), one_by_one)
    assert torch.equal(group_spectral_norms(many), group_spectral_norms(many))


def test_the_penalty_is_the_weighted_mean_of_squares_over_parameters_and_classes():
    gain, bias = vectors(4, 48, seed=2), vectors(4, 24, seed=3)
    weight = torch.tensor([0.5, 1.0, 2.5, 0.0], dtype=torch.float64)
    expected = np.mean([(weight * exact(parameter)[:, 0] ** 2).mean() for parameter in (gain, bias)])
    assert gsr([gain, bias], weight).item() == pytest.approx(expected, rel=0.02)


def test_the_penaltys_gradient_is_2_lambda_sigma_u_v_transposed():
    dominant = torch.tensor(np.outer([2.0, 1, 2], [4.0, 0, 3, 0]))  # a clear largest direction in class 1
    many = (
        vectors(2, 12).detach() * 0.1 + torch.stack([torch.zeros(12), dominant.flatten()])
    ).requires_grad_()
    weight = torch.tensor([0.3, 1.7], dtype=torch.float64)
    (gradient,) = torch.autograd.grad(gsr([many], weight), many)
    u, sigma, vh = torch.linalg.svd(many.detach().reshape(2, 3, 4))
    expected = (2 * weight * sigma[:, 0] / 2)[:, None, None] * u[:, :, :1] * vh[:, :1, :]
    torch.testing.assert_close(gradient.reshape(2, 3, 4)[1], expected[1], rtol=1e-6, atol=1e-9)
    assert torch.allclose(gradient.reshape(2, 3, 4)[0], expected[0], atol=1e-2)  # no such gap in class 0


def test_a_vector_of_zeros_costs_nothing_and_gets_no_gradient():
    zeros = torch.zeros(3, 48, requires_grad=True)
    penalty = gsr([zeros], torch.ones(3))
    (gradient,) = torch.autograd.grad(penalty, zeros)
    assert penalty.item() == 0
    assert torch.equal(gradient, torch.zeros_like(zeros))


def test_descending_on_the_penalty_flattens_the_spectrum_of_the_heavy_class_alone():
    many = torch.stack([torch.outer(torch.ones(6), torch.ones(8)).flatten()] * 2)
    many = (many + 0.1 * vectors(2, 48, dtype=torch.float32).detach()).requires_grad_()
    optimizer = torch.optim.SGD([many], lr=0.05)
    before = exact(many)[:, 0]
    for _ in range(20):
        optimizer.zero_grad()
        gsr([many], torch.tensor([0.0, 2.0])).backward()
        optimizer.step()
    after = exact(many)
    assert after[0, 0] == pytest.approx(before[0])
    assert after[1, 0] < 0.2 * before[1]

import numpy as np
import pytest
import torch

from augment.gan.lecam import LeCamAnchors, debiased_decay, lecam

CPU = torch.device("cpu")


def anchors(real, fake):
    return LeCamAnchors(real=torch.tensor(real), fake=torch.tensor(fake))


def test_the_penalty_is_the_official_codes_by_hand():
    real, fake = torch.tensor([2.0, -3.0, 0.5, 0.0]), torch.tensor([-1.0, 4.0])
    # above the fake anchor −0.5: 2.5, nothing, 1, 0.5; below the real anchor 1.5: 2.5, nothing
    expected = (2.5**2 + 1**2 + 0.5**2) / 4 + 2.5**2 / 2
    assert lecam(real, fake, anchors(1.5, -0.5)).item() == pytest.approx(expected)


def test_logits_on_the_wrong_side_of_the_other_kinds_anchor_cost_nothing():
    assert lecam(torch.tensor([-2.0]), torch.tensor([3.0]), anchors(1.0, -1.0)).item() == 0


def test_the_gradient_pulls_real_logits_down_and_fake_ones_up():
    real, fake = torch.tensor([2.0, 1.0], requires_grad=True), torch.tensor([-2.0, 5.0], requires_grad=True)
    lecam(real, fake, anchors(1.0, -1.0)).backward()
    np.testing.assert_allclose(real.grad, [3, 2])  # 2 (r − α_F) / B
    np.testing.assert_allclose(fake.grad, [-3, 0])  # −2 (α_R − f) / B


def test_anchors_move_by_the_decay_and_hold_no_graph():
    logits = torch.tensor([4.0, 6.0], requires_grad=True)
    before = anchors(1.0, -1.0)
    after = before.updated(logits.mean(), -logits.mean(), decay=0.75)
    assert (after.real.item(), after.fake.item()) == (2.0, -2.0)
    assert (before.real.item(), before.fake.item()) == (1.0, -1.0)
    assert not after.real.requires_grad
    assert not after.fake.requires_grad


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16, torch.float64])
def test_anchors_stay_float32_scalars_whatever_the_logits_are(dtype):
    after = LeCamAnchors(torch.zeros(()), torch.zeros(())).updated(
        torch.tensor(2.0, dtype=dtype), torch.tensor(-2.0, dtype=dtype), decay=0.5
    )
    assert (after.real.dtype, after.real.shape) == (torch.float32, ())
    assert (after.real.item(), after.fake.item()) == (1.0, -1.0)


@pytest.mark.parametrize("decay", [0.0, 0.5, 0.99])
def test_the_debiased_decay_gives_the_average_with_adams_bias_correction(decay):
    means = np.random.default_rng(0).normal(size=40)
    moving, plain = LeCamAnchors(torch.zeros(()), torch.zeros(())), 0.0
    for updates, mean in enumerate(means):
        mean_tensor = torch.tensor(mean, dtype=torch.float32)
        moving = moving.updated(mean_tensor, -mean_tensor, decay=debiased_decay(decay, updates))
        plain = decay * plain + (1 - decay) * mean
        corrected = plain / (1 - decay ** (updates + 1))
        assert moving.real.item() == pytest.approx(corrected, abs=1e-5)
        assert moving.fake.item() == pytest.approx(-corrected, abs=1e-5)


def test_the_first_update_forgets_the_start_and_later_ones_tend_to_the_decay():
    assert debiased_decay(0.99, 0) == 0.0
    assert debiased_decay(0.99, 1) == pytest.approx(0.99 / 1.99)
    assert debiased_decay(0.99, 10_000) == pytest.approx(0.99)

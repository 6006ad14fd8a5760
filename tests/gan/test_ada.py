import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from augment.gan.ada import adjusted_probability, overfitting_sign

LOGITS = st.lists(st.floats(-100, 100, width=32), min_size=1, max_size=16)


def adjust(p, r_t, *, images=64):
    return adjusted_probability(
        torch.tensor(p), torch.tensor(r_t), target=0.6, images=images, kimg_to_full=500
    ).item()


def test_the_sign_is_the_share_of_real_images_called_real_minus_those_called_fake():
    real, fake = torch.tensor([3.0, 0.1, -2.0, 5.0]), torch.tensor([9.0, 9.0, 9.0, 9.0])
    assert overfitting_sign(real, fake, relativistic=False).item() == 0.5


def test_the_relativistic_sign_asks_the_same_of_pairs():
    real, fake = torch.tensor([3.0, 0.1, -2.0, 5.0]), torch.tensor([2.0, 0.2, -3.0, 4.0])
    assert overfitting_sign(real, fake, relativistic=True).item() == 0.5


@given(
    pairs=st.lists(st.tuples(st.integers(-50, 50), st.integers(-50, 50)), min_size=1),
    shift=st.integers(-99, 99),
)
def test_a_shift_of_all_logits_changes_nothing_for_a_relativistic_loss(pairs, shift):
    real, fake = torch.tensor(pairs, dtype=torch.float32).T
    moved = overfitting_sign(real + shift, fake + shift, relativistic=True)
    assert moved == overfitting_sign(real, fake, relativistic=True)


@given(real=LOGITS, relativistic=st.booleans())
def test_the_sign_lies_between_minus_1_and_1_and_is_0_for_a_guess(real, relativistic):
    real = torch.tensor(real)
    sign = overfitting_sign(real, -real, relativistic=relativistic)
    assert -1 <= sign <= 1
    assert sign.dtype == torch.float32
    undecided = torch.zeros(4)
    assert overfitting_sign(undecided, undecided, relativistic=relativistic) == 0


def test_the_sign_holds_no_graph():
    real = torch.ones(3, requires_grad=True)
    assert not overfitting_sign(real, real, relativistic=False).requires_grad


def test_the_probability_rises_above_the_target_falls_below_it_and_rests_on_it():
    assert adjust(0.3, 0.9) == pytest.approx(0.3 + 64 / 500_000)
    assert adjust(0.3, -0.9) == pytest.approx(0.3 - 64 / 500_000)
    assert adjust(0.3, 0.6) == pytest.approx(0.3)


def test_it_runs_at_the_given_pace_and_stops_at_both_ends_the_upper_one_below_always():
    probability, r_t = torch.zeros(()), torch.tensor(1.0)
    for _ in range(25):
        probability = adjusted_probability(probability, r_t, target=0.6, images=32, kimg_to_full=4)
    assert probability.item() == pytest.approx(0.2, abs=1e-5)
    for _ in range(100):  # 125 · 4 batches of 8 = 4 kimg
        probability = adjusted_probability(probability, r_t, target=0.6, images=32, kimg_to_full=4)
    assert probability.item() == pytest.approx(0.9)
    assert adjust(0.0, -1.0) == 0.0


def test_the_probability_stays_a_tensor_on_its_device():
    stepped = adjusted_probability(
        torch.empty((), device="meta"), torch.empty((), device="meta"), target=0.6, images=4, kimg_to_full=1
    )  # a meta tensor has no value: to look at one would raise
    assert stepped.device.type == "meta"
    assert stepped.shape == ()

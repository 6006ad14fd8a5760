import pytest
import torch
from torch import nn

from augment.gan.divergence import DivergenceGuard
from augment.gan.lecam import LeCamAnchors, lecam
from augment.gan.loss_scale import LEAST_SCALE, new_loss_scale
from augment.gan.losses import LOSSES
from augment.gan.networks.interface import Condition, Judgement
from augment.gan.penalties import PENALTIES
from augment.gan.replica import Replica
from augment.gan.step import (
    Objective,
    Player,
    Shown,
    accumulate,
    apply_update,
    discriminator_loss,
    generator_loss,
)
from augment.gan.supervision import TroubleError

B, SHAPE = 4, (4, 1, 2, 2)


class Linear(nn.Module):
    """logit = w · x: its slope is w at every image, so every penalty is known. Counts its forward passes.

    Of small pictures it thinks three times as much, and `guesses` gives it an auxiliary classifier.
    """

    def __init__(self, *, guesses=False):
        super().__init__()
        self.guesses = guesses
        self.weight = nn.Parameter(torch.tensor([0.5, -1.0, 2.0, 1.0]))
        self.passes = []

    def forward(self, x_BCHW, condition, low_BChh=None):
        self.passes.append(len(x_BCHW))
        class_logits = torch.stack([x_BCHW.flatten(1)[:, 0] * self.weight[0], x_BCHW.flatten(1)[:, 1]], 1)
        return Judgement(
            logits_B=x_BCHW.flatten(1) @ self.weight,
            class_logits_BK=class_logits if self.guesses else None,
            low_logits_B=None if low_BChh is None else 3 * low_BChh.flatten(1) @ self.weight,
        )


def images(seed):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def objective(loss="relativistic", penalty="r1+r2"):
    return Objective(
        loss=LOSSES[loss],
        penalty=PENALTIES[penalty],
        device_type="cpu",
        auxiliary_weight=0.7,
        low_resolution_weight=0.5,
        lecam_weight=0.3,
    )


CONDITION = Condition(torch.tensor([0, 1, 1, 0]))


def d_loss(discriminator, *, gamma, loss="relativistic", penalty="r1+r2", low=False, anchors=None):
    return discriminator_loss(
        discriminator,
        Shown(images(0), images(2) if low else None),
        Shown(images(1), images(3) if low else None),
        CONDITION,
        objective(loss, penalty),
        gamma=gamma,
        mix_B=torch.full((B,), 0.5),
        anchors=anchors,
    )


SLOPE2 = 0.25 + 1 + 4 + 1


@pytest.mark.parametrize(
    ("penalty", "terms", "expected"),
    [
        ("none", set(), 0.0),
        ("r1", {"r1"}, 0.5 * SLOPE2),
        ("r1+r2", {"r1", "r2"}, SLOPE2),
        ("gradient-penalty", {"gradient_penalty"}, (SLOPE2**0.5 - 1) ** 2),
    ],
)
def test_the_total_is_the_adversarial_loss_plus_gamma_times_the_penalty(penalty, terms, expected):
    loss = d_loss(Linear(), gamma=3.0, penalty=penalty)
    assert set(loss.penalties) == terms
    assert (loss.total - loss.adversarial).item() == pytest.approx(3.0 * expected, rel=1e-5)


def test_real_and_fake_share_one_forward_pass_and_the_interpolated_images_join_it():
    for penalty, rows in (("r1+r2", 2 * B), ("gradient-penalty", 3 * B)):
        discriminator = Linear()
        d_loss(discriminator, gamma=1.0, penalty=penalty)
        assert discriminator.passes == [rows]


def test_a_step_without_penalty_pays_for_none():
    discriminator = Linear()
    loss = d_loss(discriminator, gamma=0.0, penalty="gradient-penalty")
    assert loss.penalties == {}
    assert torch.equal(loss.total, loss.adversarial)
    assert discriminator.passes == [2 * B]


@pytest.mark.parametrize("name", LOSSES)
def test_adversarial_terms_are_the_losses_of_the_logits(name):
    discriminator, pair = Linear(), LOSSES[name]
    real, fake = (x.flatten(1) @ discriminator.weight for x in (images(0), images(1)))
    loss = d_loss(discriminator, gamma=1.0, loss=name)
    torch.testing.assert_close(loss.adversarial, pair.discriminator(real, fake))
    torch.testing.assert_close(loss.real_logits_B, real)
    torch.testing.assert_close(loss.fake_logits_B, fake)


@pytest.mark.parametrize("name", LOSSES)
def test_small_pictures_play_the_same_game_by_their_weight_and_pay_the_same_penalty(name):
    discriminator, pair = Linear(), LOSSES[name]
    real, fake = (3 * x.flatten(1) @ discriminator.weight for x in (images(2), images(3)))
    loss = d_loss(discriminator, gamma=2.0, loss=name, low=True)
    low = 0.5 * pair.discriminator(real, fake)
    torch.testing.assert_close(loss.extras["low-resolution loss"], low)
    assert loss.penalties["r1"].item() == pytest.approx(SLOPE2 + 9 * SLOPE2, rel=1e-5)
    torch.testing.assert_close(loss.total, loss.adversarial + low + 0.5 * 2.0 * 2 * 10 * SLOPE2)

    made = generator_loss(
        discriminator, Shown(images(0), images(2)), Shown(images(1), images(3)), CONDITION, objective(name)
    )
    against = real if pair.generator_sees_real else torch.zeros(B)
    low = 0.5 * pair.generator(against, fake)
    torch.testing.assert_close(made.extras["generator's low-resolution loss"], low)
    torch.testing.assert_close(made.total, made.adversarial + low)


def test_the_auxiliary_classifier_learns_real_and_fake_and_teaches_the_generator():
    discriminator = Linear(guesses=True)
    both = torch.cat([images(0), images(1)])
    guess = discriminator(both, CONDITION).class_logits_BK
    expected = 0.7 * nn.functional.cross_entropy(guess, CONDITION.class_B.repeat(2))
    loss = d_loss(discriminator, gamma=0.0)
    torch.testing.assert_close(loss.extras["auxiliary loss"], expected)
    made = generator_loss(discriminator, Shown(images(0)), Shown(images(1)), CONDITION, objective())
    expected = 0.7 * nn.functional.cross_entropy(guess[B:], CONDITION.class_B)
    torch.testing.assert_close(made.extras["generator's auxiliary loss"], expected)


def test_lecam_joins_the_discriminators_loss_by_its_weight():
    anchors = LeCamAnchors(torch.tensor(0.5), torch.tensor(-0.5))
    loss = d_loss(Linear(), gamma=0.0, anchors=anchors)
    expected = 0.3 * lecam(loss.real_logits_B, loss.fake_logits_B, anchors)
    torch.testing.assert_close(loss.total, loss.adversarial + expected)


@pytest.mark.parametrize("name", LOSSES)
def test_the_generators_loss_leaves_no_gradient_in_a_frozen_discriminator(name):
    discriminator, fake = Linear(), images(1).requires_grad_()
    player = Player(discriminator, discriminator, torch.optim.Adam(discriminator.parameters()))
    with player.frozen():
        loss = generator_loss(discriminator, Shown(images(0)), Shown(fake), CONDITION, objective(name))
    loss.total.backward()
    assert discriminator.weight.grad is None
    assert discriminator.weight.requires_grad
    assert fake.grad.abs().sum() > 0
    assert discriminator.passes == [B] * (2 if LOSSES[name].generator_sees_real else 1)


def adam_of(discriminator):
    return torch.optim.Adam(discriminator.parameters(), lr=0.1, betas=(0.0, 0.9), fused=True)


def update(discriminator, total, guard, *, adam=None, step=17, loss_scale=None):
    adam = adam or adam_of(discriminator)
    player = Player(discriminator, discriminator, adam, loss_scale)
    terms = {"discriminator loss": total}
    adam.zero_grad(set_to_none=True)
    accumulate(player, total)
    apply_update(player, terms, guard, step=step, learning_rate=0.01, beta2=0.5)
    return adam


def test_an_update_is_adams_at_the_given_rate_and_decay():
    discriminator = Linear()
    before = discriminator.weight.detach().clone()
    adam = update(discriminator, d_loss(discriminator, gamma=1.0).total, DivergenceGuard(Replica()))
    moved = (discriminator.weight - before).abs()
    torch.testing.assert_close(moved, torch.full((4,), 0.01))  # Adam's first step has the rate's length
    expected = 0.5 * discriminator.weight.grad**2
    torch.testing.assert_close(adam.state[discriminator.weight]["exp_avg_sq"], expected)


def test_a_loss_scale_changes_no_update_and_an_overflow_skips_one_and_halves_it():
    plain, scaled = Linear(), Linear()
    adam_plain = update(plain, d_loss(plain, gamma=1.0).total, DivergenceGuard(Replica()))
    scale, guard = new_loss_scale(torch.device("cpu")), DivergenceGuard(Replica())
    adam = update(scaled, d_loss(scaled, gamma=1.0).total, guard, loss_scale=scale)
    torch.testing.assert_close(scaled.weight, plain.weight)
    moments = [one.state[net.weight]["exp_avg_sq"] for one, net in ((adam, scaled), (adam_plain, plain))]
    torch.testing.assert_close(*moments)
    before, first = scaled.weight.detach().clone(), float(scale[0])
    total = (scaled.weight - scaled.weight.detach()).abs().sqrt().sum()  # finite, and its slope is not
    update(scaled, total, guard, adam=adam, loss_scale=scale)
    assert torch.equal(scaled.weight, before)
    assert float(scale[0]) == first / 2
    guard.raise_if_diverged()
    scale[0] = LEAST_SCALE
    total = (scaled.weight - scaled.weight.detach()).abs().sqrt().sum()
    with pytest.raises(TroubleError, match="the gradient is not finite"):
        update(scaled, total, guard, adam=adam, loss_scale=scale)


def bad(discriminator, where):
    """A loss that is not finite, or a finite loss whose gradient is not."""
    if where == "loss":
        return (discriminator.weight * float("nan")).sum()
    return (discriminator.weight - discriminator.weight.detach()).abs().sqrt().sum()  # slope of √ at 0


@pytest.mark.parametrize(("where", "named"), [("loss", "discriminator loss"), ("gradient", "gradient")])
def test_on_a_cpu_divergence_is_raised_before_the_update(where, named):
    discriminator = Linear()
    before = discriminator.weight.detach().clone()
    with pytest.raises(TroubleError, match=f"step 17: the {named} is not finite"):
        update(discriminator, bad(discriminator, where), DivergenceGuard(Replica()))
    assert torch.equal(discriminator.weight, before)


@pytest.mark.parametrize(("where", "named"), [("loss", "discriminator loss"), ("gradient", "gradient")])
def test_where_the_host_does_not_look_the_optimiser_skips_this_and_every_later_update(where, named):
    discriminator = Linear()
    before = discriminator.weight.detach().clone()
    guard = DivergenceGuard(Replica(), look_at_once=False)
    adam = update(discriminator, bad(discriminator, where), guard)
    update(discriminator, d_loss(discriminator, gamma=1.0).total, guard, adam=adam, step=18)
    assert torch.equal(discriminator.weight, before)
    with pytest.raises(TroubleError, match=f"step 17: the {named}"):
        guard.raise_if_diverged()


def test_a_healthy_update_is_applied_and_raises_nothing():
    guard = DivergenceGuard(Replica(), look_at_once=False)
    discriminator = Linear()
    before = discriminator.weight.clone()
    update(discriminator, d_loss(discriminator, gamma=1.0).total, guard)
    guard.raise_if_diverged()
    assert not torch.equal(discriminator.weight, before)


def test_an_infinite_loss_with_a_finite_gradient_is_found_in_the_gradient_that_ranks_share():
    discriminator, guard = Linear(), DivergenceGuard(Replica(), look_at_once=False)
    update(discriminator, discriminator.weight.sum() + torch.inf, guard)
    assert discriminator.weight.grad.isnan().all()


def test_once_reset_a_guard_has_seen_nothing_and_lets_updates_through():
    discriminator, guard = Linear(), DivergenceGuard(Replica(), look_at_once=False)
    adam = update(discriminator, bad(discriminator, "loss"), guard)
    guard.reset()
    guard.raise_if_diverged()
    before = discriminator.weight.detach().clone()
    update(discriminator, d_loss(discriminator, gamma=1.0).total, guard, adam=adam)
    assert not torch.equal(discriminator.weight, before)

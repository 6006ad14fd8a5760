import pytest
import torch
from torch import nn

from augment.errors import DivergenceError
from augment.gan.divergence import DivergenceGuard
from augment.gan.losses import LOSSES
from augment.gan.penalties import PENALTIES
from augment.gan.step import Objective, Player, apply_update, discriminator_loss, generator_loss

B, SHAPE = 4, (4, 1, 2, 2)


class Linear(nn.Module):
    """logit = w · x: its slope is w at every image, so every penalty is known. Counts its forward passes."""

    def __init__(self):
        super().__init__()
        self.weight = nn.Parameter(torch.tensor([0.5, -1.0, 2.0, 1.0]))
        self.passes = []

    def forward(self, x_BCHW, class_B):
        self.passes.append(len(x_BCHW))
        return x_BCHW.flatten(1) @ self.weight


def images(seed):
    return torch.randn(SHAPE, generator=torch.Generator().manual_seed(seed))


def objective(loss="relativistic", penalty="r1+r2"):
    return Objective(loss=LOSSES[loss], penalty=PENALTIES[penalty], device_type="cpu", bf16=False)


def d_loss(discriminator, *, gamma, loss="relativistic", penalty="r1+r2"):
    return discriminator_loss(
        discriminator,
        images(0),
        images(1),
        torch.zeros(B, dtype=torch.long),
        objective(loss, penalty),
        gamma=gamma,
        mix_B=torch.full((B,), 0.5),
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
    assert loss.total is loss.adversarial
    assert discriminator.passes == [2 * B]


@pytest.mark.parametrize("name", LOSSES)
def test_adversarial_terms_are_the_losses_of_the_logits(name):
    discriminator, pair = Linear(), LOSSES[name]
    real, fake = (x.flatten(1) @ discriminator.weight for x in (images(0), images(1)))
    loss = d_loss(discriminator, gamma=1.0, loss=name)
    torch.testing.assert_close(loss.adversarial, pair.discriminator(real, fake))
    torch.testing.assert_close(loss.real_logit, real.mean())
    torch.testing.assert_close(loss.fake_logit, fake.mean())


@pytest.mark.parametrize("name", LOSSES)
def test_the_generators_loss_leaves_no_gradient_in_the_discriminator(name):
    discriminator, fake = Linear(), images(1).requires_grad_()
    labels = torch.zeros(B, dtype=torch.long)
    loss = generator_loss(discriminator, images(0), fake, labels, objective(name))
    loss.backward()
    assert discriminator.weight.grad is None
    assert discriminator.weight.requires_grad
    assert fake.grad.abs().sum() > 0
    assert discriminator.passes == [B] * (2 if LOSSES[name].generator_sees_real else 1)


def update(discriminator, total, guard):
    adam = torch.optim.Adam(discriminator.parameters(), lr=0.1, betas=(0.0, 0.9), fused=True)
    player = Player(discriminator, discriminator, adam)
    apply_update(player, total, {"discriminator loss": total}, guard, step=17, learning_rate=0.01)
    return adam


def test_an_update_is_adams_at_the_given_rate():
    discriminator = Linear()
    before = discriminator.weight.detach().clone()
    update(discriminator, d_loss(discriminator, gamma=1.0).total, DivergenceGuard(torch.device("cpu")))
    moved = (discriminator.weight - before).abs()
    torch.testing.assert_close(moved, torch.full((4,), 0.01))  # Adam's first step has the rate's length


def poisoned(discriminator, where):
    """A loss that is not finite, or a finite loss whose gradient is not."""
    if where == "loss":
        return (discriminator.weight * float("nan")).sum()
    return (discriminator.weight - discriminator.weight.detach()).abs().sqrt().sum()  # slope of √ at 0


@pytest.mark.parametrize(("where", "named"), [("loss", "discriminator loss"), ("gradient", "gradient")])
def test_on_a_cpu_divergence_is_raised_before_the_update(where, named):
    discriminator = Linear()
    before = discriminator.weight.detach().clone()
    with pytest.raises(DivergenceError, match=f"step 17: the {named} is not finite"):
        update(discriminator, poisoned(discriminator, where), DivergenceGuard(torch.device("cpu")))
    assert torch.equal(discriminator.weight, before)


@pytest.mark.parametrize(("where", "named"), [("loss", "discriminator loss"), ("gradient", "gradient")])
def test_where_the_host_does_not_look_the_optimiser_skips_this_and_every_later_update(where, named):
    discriminator = Linear()
    before = discriminator.weight.detach().clone()
    guard = DivergenceGuard(torch.device("cpu"), look_at_once=False)
    adam = update(discriminator, poisoned(discriminator, where), guard)
    total = d_loss(discriminator, gamma=1.0).total
    apply_update(
        Player(discriminator, discriminator, adam),
        total,
        {"other": total},
        guard,
        step=18,
        learning_rate=0.01,
    )
    assert torch.equal(discriminator.weight, before)
    with pytest.raises(DivergenceError, match=f"step 17: the {named}"):
        guard.raise_if_diverged()


def test_a_healthy_update_is_applied_and_raises_nothing():
    guard = DivergenceGuard(torch.device("cpu"), look_at_once=False)
    discriminator = Linear()
    before = discriminator.weight.clone()
    update(discriminator, d_loss(discriminator, gamma=1.0).total, guard)
    guard.raise_if_diverged()
    assert not torch.equal(discriminator.weight, before)

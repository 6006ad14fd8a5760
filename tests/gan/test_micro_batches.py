"""An update in parts is the update of the whole batch: in gradients, in what is reported, in what adapts."""

import itertools

import pytest
import torch

from augment.gan.batches import Batches
from augment.gan.config import LOSS_NAMES
from augment.gan.game import Game
from augment.gan.replica import Replica
from augment.gan.schedules import Rates
from augment.gan.state import new_state
from augment.gan.training import train
from tests.gan.common import tiny_images, tiny_spec

CPU = torch.device("cpu")
TOOLBOX = {
    "lecam": {"lecam_weight": 0.3, "loss": "hinge"},
    "ada": {"ada_target": 0.6},
    "auxiliary": {"model": {"discriminator_conditioning": "projection+auxiliary"}},
    "low resolution": {"model": {"low_resolution": 8}},
    "spectral": {"gsr_weight": 0.5, "embedding_noise": 0.5},
    "class-conditional normalisation": {"model": {"generator_conditioning": "normalisation"}},
}


def one_step(spec, micro_batches, batch_of=lambda batch: batch):
    """Both players' gradients after a step with every term on, what was reported, and the state."""
    state = new_state(spec, CPU)
    state.step = 8  # a step that pays the penalty, and has anchors
    batches = Batches(spec, tiny_images(spec), rank=0, world_size=1, device=CPU)
    game = Game(state, Replica(), micro_batches=micro_batches)
    batch, rates = batch_of(batches.step(8)), Rates.at(spec.train, 8)
    terms = game.update_discriminator(batch, rates)
    gradients = [p.grad.clone() for p in state.discriminator.parameters() if p.grad is not None]
    terms |= game.update_generator(batch, rates)
    gradients += [p.grad.clone() for p in state.generator.parameters() if p.grad is not None]
    return gradients, terms, state


def check_same(spec, parts):
    whole, told, state = one_step(spec, 1)
    gradients, terms, other = one_step(spec, parts)
    scale = max(float(gradient.abs().max()) for gradient in whole)
    for one, two in zip(whole, gradients, strict=True):
        torch.testing.assert_close(two, one, rtol=2e-3, atol=1e-5 * scale)
    assert terms.keys() == told.keys()
    for name, value in told.items():
        torch.testing.assert_close(
            terms[name], value, rtol=1e-3, atol=1e-5, msg=lambda said, name=name: f"{name}: {said}"
        )
    torch.testing.assert_close(other.trend_3, state.trend_3, rtol=1e-4, atol=1e-6)
    torch.testing.assert_close(other.augment_probability, state.augment_probability)


@pytest.mark.parametrize(("loss", "parts"), [*zip(LOSS_NAMES, itertools.cycle([2, 3]), strict=False)])
def test_gradients_of_parts_add_up_to_the_batchs_for_every_loss(loss, parts):
    check_same(tiny_spec(loss=loss, penalty_every=2, diffaugment_ramp=0.0, warm_up_steps=0), parts)


@pytest.mark.parametrize("tool", TOOLBOX)
def test_they_do_with_every_tool(tool):
    check_same(tiny_spec(penalty_every=2, diffaugment_ramp=0.0, warm_up_steps=0, **TOOLBOX[tool]), 2)


def test_a_batch_is_split_into_nearly_even_parts_that_hold_every_sample_once():
    spec = tiny_spec(embedding_noise=0.5)
    batch = Batches(spec, tiny_images(spec), rank=0, world_size=1, device=CPU).step(0)

    parts = batch.split(3)

    assert [part.rows for part in parts] == [2, 3, 3]
    for name in ("real_BCHW", "class_B", "mix_B"):
        torch.testing.assert_close(torch.cat([getattr(part, name) for part in parts]), getattr(batch, name))
    for name in ("z_BD", "embedding_noise_BE", "augment_real_BK", "augment_fake_BK"):
        for player in ("discriminator", "generator"):
            together = torch.cat([getattr(getattr(part, player), name) for part in parts])
            torch.testing.assert_close(together, getattr(getattr(batch, player), name))
    assert [part.rows for part in batch.split(20)] == [1] * 8
    assert batch.split(1) == [batch]


def test_a_run_in_halves_learns_nearly_what_the_whole_learns():
    spec = tiny_spec(steps=4, log_every=1)
    told = []
    for parts in (1, 2):
        reports = []
        train(spec, tiny_images(spec), on_report=reports.append, micro_batches=parts)
        told.append([report.values["discriminator loss"] for report in reports])
    assert told[1] == pytest.approx(told[0], rel=1e-2)

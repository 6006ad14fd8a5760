import pytest
import torch
from torch import nn

from augment.gan.ema import update_ema
from augment.gan.schedules import EMA_RAMP, ema_decay


def test_a_weight_loses_half_its_share_in_one_half_life():
    decay = ema_decay(half_life_kimg=20, batch_size=64, images_seen=10_000_000)
    assert decay ** (20_000 / 64) == pytest.approx(0.5)


def test_the_half_life_does_not_depend_on_the_batch_size():
    small, large = (ema_decay(half_life_kimg=5, batch_size=b, images_seen=10**7) for b in (10, 40))
    assert small**4 == pytest.approx(large)


def test_early_on_the_half_life_is_a_share_of_what_was_seen():
    decay = ema_decay(half_life_kimg=20, batch_size=64, images_seen=6400)
    assert decay == pytest.approx(0.5 ** (64 / (EMA_RAMP * 6400)))


@pytest.mark.parametrize(("half_life_kimg", "images_seen"), [(20, 0), (0, 100_000)])
def test_at_the_first_step_and_when_off_the_average_is_the_generator(half_life_kimg, images_seen):
    assert ema_decay(half_life_kimg=half_life_kimg, batch_size=64, images_seen=images_seen) == 0.0


def test_the_update_is_the_weighted_mean_of_the_definition():
    average, generator = nn.Linear(3, 2), nn.Linear(3, 2)
    expected = 0.9 * average.weight.detach() + 0.1 * generator.weight.detach()
    update_ema(average, generator, decay=0.9)
    torch.testing.assert_close(average.weight, expected)
    update_ema(average, generator, decay=0.0)
    assert torch.equal(average.weight, generator.weight)

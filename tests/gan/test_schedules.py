import pytest

from augment.gan.config import TrainConfig
from augment.gan.schedules import Rates, augment_probability, cosine


def test_the_cosine_starts_at_its_start_ends_at_its_share_and_passes_their_middle():
    assert cosine(2.0, final_fraction=0.1, progress=0.0) == pytest.approx(2.0)
    assert cosine(2.0, final_fraction=0.1, progress=0.5) == pytest.approx(1.1)
    assert cosine(2.0, final_fraction=0.1, progress=1.0) == pytest.approx(0.2)


def test_a_final_fraction_of_1_changes_nothing():
    assert {cosine(0.3, final_fraction=1.0, progress=p / 7) for p in range(8)} == {0.3}


def test_augmentation_rises_in_a_straight_line_then_stays():
    values = [augment_probability(0.5, ramp=0.25, progress=p) for p in (0, 0.125, 0.25, 1.0)]
    assert values == [0, 0.25, 0.5, 0.5]
    assert augment_probability(0.5, ramp=0.0, progress=0.0) == 0.5


def test_rates_of_a_step_come_from_the_config():
    rates = Rates.at(TrainConfig(steps=100, learning_rate=1e-3, gamma=0.4, final_fraction=0.1), 50)
    assert rates.learning_rate == pytest.approx(0.55e-3)
    assert rates.gamma == pytest.approx(0.22)
    assert set(rates.by_name) == {"learning rate", "gamma", "augment probability", "EMA decay"}

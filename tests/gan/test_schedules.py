import pytest

from augment.gan.config import TrainConfig
from augment.gan.schedules import MOST_AUGMENT_PROBABILITY, Rates, augment_probability, cosine, warm_up


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
    train = TrainConfig(
        steps=100,
        learning_rate=1e-3,
        gamma=0.4,
        final_fraction=0.1,
        warm_up_steps=10,
        beta2=0.9,
        beta2_final=0.99,
    )
    rates = Rates.at(train, 50)
    assert rates.learning_rate == pytest.approx(0.55e-3)
    assert rates.beta2 == pytest.approx(0.945)
    assert rates.class_strength == 1.0
    assert rates.gamma == pytest.approx(0.22)
    assert set(rates.by_name) == {"learning rate", "gamma", "augment probability", "EMA decay"}


def test_the_warm_up_is_a_straight_line_from_near_0():
    assert [warm_up(step, steps=4) for step in (0, 1, 3, 9)] == [0.25, 0.5, 1.0, 1.0]
    assert warm_up(0, steps=0) == 1.0


def test_a_remedy_scales_the_rate_and_adds_to_the_augmentation_up_to_its_most():
    train = TrainConfig(steps=100, diffaugment_probability=0.5, diffaugment_ramp=0.0, warm_up_steps=0)
    plain, mended = Rates.at(train, 10), Rates.at(train, 10, learning_rate_scale=0.5, augment_extra=0.2)
    assert mended.learning_rate == pytest.approx(0.5 * plain.learning_rate)
    assert mended.augment_probability == pytest.approx(0.7)
    assert Rates.at(train, 10, augment_extra=0.8).augment_probability == MOST_AUGMENT_PROBABILITY
    always = train.model_copy(update={"diffaugment_probability": 1.0})
    assert Rates.at(always, 10).augment_probability == 1.0


def test_a_shorter_plan_runs_through_the_whole_schedule():
    train = TrainConfig(steps=1000, warm_up_steps=0)
    assert Rates.at(train, 99, total_steps=100) == Rates.at(train.model_copy(update={"steps": 100}), 99)


def test_the_class_enters_between_the_transitions_ends():
    train = TrainConfig(steps=100, transition=(0.1, 0.3))
    assert [Rates.at(train, step).class_strength for step in (0, 10, 20, 30, 99)] == pytest.approx(
        [0, 0, 0.5, 1, 1]
    )

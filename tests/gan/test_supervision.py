import math

import pytest

from augment.errors import DivergenceError
from augment.gan.config import TrainConfig
from augment.gan.supervision import (
    ClassScore,
    Evaluation,
    Trend,
    Trouble,
    TroubleError,
    Watch,
    after_evaluation,
    after_look,
    after_trouble,
    goes_back_to_best,
    plan_within,
    remedy_in_words,
)

TRAIN = TrainConfig(steps=1000, patience=3, warm_up_steps=0)
CALM = Trend(overfitting_sign=0.0, real_logit=1.0, fake_logit=-1.0)


def look(watch, *diversity, step=50, trend=CALM, train=TRAIN, last=False):
    shares = {f"class {index}": share for index, share in enumerate(diversity)}
    return after_look(watch, train, step=step, trend=trend, diversity=shares, last=last)


def evaluation(step, *distances):
    return Evaluation(
        step=step, classes=tuple(ClassScore(name=str(i), frechet=d) for i, d in enumerate(distances))
    )


def measure(watch, step, *distances, sign=0.0, train=TRAIN):
    return after_evaluation(
        watch, train, evaluation(step, *distances), trend=CALM.model_copy(update={"overfitting_sign": sign})
    )


def test_a_snapshot_is_as_good_as_its_mean_and_its_worst_class():
    one = evaluation(10, 1.0, 2.0, 9.0)
    assert (one.mean, one.worst, one.score) == (4.0, 9.0, 6.0)
    assert evaluation(10, 1.0, 2.0, None).mean == 1.5
    assert evaluation(10, None).score == math.inf


def test_a_collapse_is_named_at_the_second_look_in_a_row():
    watch = look(Watch(), 0.9, 0.8, 0.7)
    assert watch.alive
    watch = look(watch, 0.05, 0.06, 0.07)
    assert watch.suspicious_looks == 1
    with pytest.raises(TroubleError, match=r"step 100: mode collapse: the samples of most classes"):
        look(watch, 0.05, 0.06, 0.07, step=100)


def test_one_unlucky_look_is_forgiven_except_the_last():
    watch = look(look(Watch(), 0.9, 0.9), 0.05, 0.05)
    assert look(watch, 0.5, 0.5).suspicious_looks == 0
    with pytest.raises(TroubleError, match="mode collapse"):
        look(look(Watch(), 0.9, 0.9), 0.05, 0.05, last=True)


def test_one_class_alone_may_collapse_and_is_named():
    watch = look(Watch(), 0.9, 0.9, 0.02)
    with pytest.raises(TroubleError, match="class 2"):
        look(watch, 0.9, 0.9, 0.02)


def test_the_gray_beginning_is_no_collapse_until_its_time_is_over():
    watch = look(look(Watch(), 0.05, step=50), 0.05, step=100)
    assert not watch.alive
    assert watch.suspicious_looks == 0
    watch = look(watch, 0.05, step=150)
    with pytest.raises(TroubleError, match="mode collapse"):
        look(watch, 0.05, step=200)


def test_before_the_warm_up_is_over_nothing_has_come_to_life_that_could_collapse():
    """A network's random first weights make images that differ; a gray dip after them is a beginning."""
    train = TRAIN.model_copy(update={"warm_up_steps": 200})
    watch = look(Watch(), 0.9, step=50, train=train)
    assert not watch.alive
    assert look(watch, 0.05, step=250, train=train).suspicious_looks == 0
    assert look(watch, 0.9, step=250, train=train).alive


@pytest.mark.parametrize(("loss", "logit"), [("relativistic", 2e3), ("hinge", -2e3), ("wgan-gp", 2e6)])
def test_runaway_logits_are_a_divergence(loss, logit):
    train = TrainConfig(loss=loss)
    with pytest.raises(TroubleError, match="logits have run away") as error:
        look(Watch(), 0.9, trend=CALM.model_copy(update={"fake_logit": logit}), train=train)
    assert error.value.trouble.kind == "divergence"
    look(Watch(), 0.9, trend=CALM.model_copy(update={"fake_logit": logit / 4}), train=train)


def test_the_best_measurement_is_kept_and_noise_is_not_better():
    watch = measure(Watch(), 100, 2.0, 4.0)
    assert watch.best.step == 100
    watch = measure(watch, 200, 1.999, 3.999)
    assert (watch.best.step, watch.evaluations_since_best) == (100, 1)
    assert measure(watch, 300, 1.9, 3.9).best.step == 300


def test_a_plateau_ends_the_run_after_its_patience_and_0_never_does():
    watch = measure(Watch(), 100, 2.0)
    for step in (200, 300):
        watch = measure(watch, step, 2.1)
        assert watch.ended is None
    assert measure(watch, 400, 2.1).ended == "plateau"
    patient = TrainConfig(steps=1000, patience=0)
    watch = measure(Watch(), 100, 2.0, train=patient)
    for step in range(200, 2000, 100):
        watch = measure(watch, step, 2.1, train=patient)
    assert watch.ended is None


def test_falling_quality_under_a_sure_discriminator_is_overfitting_and_gets_more_augmentation():
    watch = measure(Watch(), 100, 2.0)
    watch = measure(measure(watch, 200, 4.0, sign=0.95), 300, 4.0, sign=0.95)
    with pytest.raises(TroubleError, match="discriminator overfitting: it tells 98% of pairs apart") as error:
        measure(watch, 400, 4.0, sign=0.95)
    mended = after_trouble(watch, Watch(best=watch.best), error.value.trouble, TRAIN)
    assert (mended.attempt, mended.learning_rate_scale, mended.augment_extra) == (1, 1.0, 0.2)
    assert mended.evaluations_since_best == 0
    assert "+0.2 augmentation probability" in remedy_in_words(mended, 100)


@pytest.mark.parametrize(
    "train",
    [
        TrainConfig(diffaugment=()),
        TrainConfig(diffaugment_probability=0.9),
        TrainConfig(diffaugment_probability=1.0),
    ],
)
def test_where_there_cannot_be_more_augmentation_the_remedy_is_the_rate(train):
    trouble = Trouble(kind="discriminator overfitting", step=9, what="step 9: discriminator overfitting")
    mended = after_trouble(Watch(), Watch(), trouble, train)
    assert (mended.learning_rate_scale, mended.augment_extra) == (0.5, 0.0)
    assert "0.5 × the learning rate" in remedy_in_words(mended, 5)


def test_overfitting_goes_back_to_the_best_snapshot_and_other_troubles_to_the_last():
    kinds = ("discriminator overfitting", "mode collapse", "divergence")
    assert [goes_back_to_best(Trouble(kind=kind, step=1, what="")) for kind in kinds] == [True, False, False]


def test_the_second_trouble_is_an_error_that_tells_both_and_what_to_do():
    first = Trouble(kind="divergence", step=7, what="step 7: the gradient is not finite")
    second = Trouble(kind="mode collapse", step=9, what="step 9: mode collapse")
    watch = after_trouble(Watch(), Watch(alive=True), first, TRAIN)
    assert (watch.attempt, watch.learning_rate_scale, watch.alive) == (1, 0.5, True)
    with pytest.raises(DivergenceError) as error:
        after_trouble(watch, Watch(), second, TRAIN)
    for part in ("step 9: mode collapse", "step 7: the gradient", "train.learning_rate", "another name"):
        assert part in str(error.value)


def test_time_is_planned_from_the_runs_own_speed_and_ends_it():
    train = TrainConfig(steps=10_000, max_time="100s")
    early = plan_within(Watch(), train, step=10, elapsed_s=5.0, steps_per_s=2.0)
    assert early.planned_steps is None
    planned = plan_within(early, train, step=20, elapsed_s=10.0, steps_per_s=2.0)
    assert planned.planned_steps == 20 + int(0.97 * 2.0 * 90.0)
    again = plan_within(planned, train, step=40, elapsed_s=20.0, steps_per_s=9.0)
    assert again.planned_steps == planned.planned_steps
    assert plan_within(planned, train, step=99, elapsed_s=100.0, steps_per_s=2.0).ended == "max_time"
    assert plan_within(Watch(), TRAIN, step=1, elapsed_s=1e9, steps_per_s=1.0) == Watch()

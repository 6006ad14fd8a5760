import itertools
import statistics
from contextlib import contextmanager

import pytest
import torch

from augment.errors import ConfigError, DivergenceError
from augment.gan.batches import Batches
from augment.gan.checkpoint import dump, read_summary, restore
from augment.gan.config import LOSS_NAMES, TrainConfig
from augment.gan.generator import sample_grid
from augment.gan.networks import BACKBONES
from augment.gan.schedules import Rates
from augment.gan.snapshots import MemorySnapshots
from augment.gan.state import new_state
from augment.gan.supervision import ClassScore, Evaluation
from augment.gan.training import Replica, train
from augment.gan.vitals import Vitals
from tests.gan.common import tiny_images, tiny_spec


class Kept(MemorySnapshots):
    """Remembers every snapshot by its step, and which were best."""

    def __init__(self):
        super().__init__()
        self.by_step, self.best_steps = {}, []

    def save(self, state, *, best):
        super().save(state, best=best)
        self.by_step[state.step] = dump(state)
        if best:
            self.best_steps.append(state.step)


def fit(spec, **kwargs):
    return train(spec, tiny_images(spec), **kwargs)


def quality(*distances):
    """An evaluation whose classes are as far from real ones as told, one number a call."""
    left = list(distances)
    return lambda state: Evaluation(step=state.step, classes=(ClassScore(name="bag", frechet=left.pop(0)),))


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("stop_after", [1, 4])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit(backbone, precision, stop_after):
    spec = tiny_spec(model={"backbone": backbone, "width": 8}, precision=precision, snapshot_every=1)
    kept = Kept()
    whole = fit(spec, snapshots=kept)
    resumed = fit(spec, snapshots=MemorySnapshots(kept.by_step[stop_after]))
    assert resumed.step == whole.step == 6
    assert dump(resumed) == dump(whole)


def test_a_run_resumed_between_two_looks_judges_as_the_uninterrupted_one():
    def evaluate(state):
        weight = sum(float(one.abs().mean()) for one in state.ema.parameters())
        return Evaluation(step=state.step, classes=(ClassScore(name="bag", frechet=weight),))

    spec = tiny_spec(steps=9, snapshot_every=1, log_every=3, evaluate_every=3, warm_up_steps=0)
    kept = Kept()
    whole = fit(spec, snapshots=kept, evaluate=evaluate)
    resumed = Kept()
    resumed.save(_restored(spec, kept.by_step[4]), best=False)
    resumed._best = kept.by_step[kept.best_steps[0]]
    again = fit(spec, snapshots=resumed, evaluate=evaluate)
    assert again.watch == whole.watch
    assert dump(again) == dump(whole)


def test_a_suspicious_look_measures_nothing_so_that_no_collapse_is_kept_as_best(monkeypatch):
    """Half the looks find no diversity: one in a row each time, so that nothing is named."""
    looks = itertools.cycle([{"bag": 0.9}, {"bag": 0.01}])
    monkeypatch.setattr(Vitals, "look", lambda self, generator, strength: next(looks))
    kept, measured = Kept(), []

    def evaluate(state):
        measured.append(state.step)
        return quality(1.0 / state.step)(state)

    spec = tiny_spec(steps=10, log_every=2, evaluate_every=2, snapshot_every=2, warm_up_steps=0)
    assert fit(spec, snapshots=kept, evaluate=evaluate).step == 10
    assert measured == kept.best_steps == [2, 6, 10]


def _restored(spec, files):
    state = new_state(spec, torch.device("cpu"))
    restore(state, files)
    return state


@pytest.mark.parametrize("loss", LOSS_NAMES)
def test_every_loss_trains_every_weight_of_both_networks(loss):
    early, late = (fit(tiny_spec(loss=loss, penalty_every=1, steps=steps)) for steps in (1, 3))
    bias_cancels = loss in ("wgan-gp", "relativistic", "hinge")  # in r − f, and within both margins
    for player in ("generator", "discriminator"):
        before, after = (dict(getattr(state, player).named_parameters()) for state in (early, late))
        for name, weight in after.items():
            assert weight.isfinite().all()
            moved = not torch.equal(weight, before[name])
            assert moved or (bias_cancels and name == "head.bias"), name


def test_an_unconditional_model_trains():
    state = fit(tiny_spec(model={"conditional": False}))
    assert not any("embedding" in name for name, _ in state.generator.named_parameters())


def test_embedding_noise_and_flips_and_every_augmentation_train_together():
    spec = tiny_spec(
        channels=3,
        embedding_noise=0.3,
        horizontal_flip=True,
        diffaugment=("brightness", "saturation", "contrast", "translation", "cutout"),
        diffaugment_ramp=0.0,
    )
    assert sample_grid(fit(spec), 2).shape == (3, 2, 16, 16, 3)


def test_reports_come_at_log_every_and_at_the_end_with_means_since_the_last():
    reports = []
    fit(tiny_spec(steps=5, log_every=2, penalty_every=2), on_report=reports.append)
    assert [report.step for report in reports] == [2, 4, 5]
    assert [report.images_seen for report in reports] == [16, 32, 40]
    assert reports[0].kimg == 0.016
    for report in reports:
        assert {
            "discriminator loss",
            "generator loss",
            "real logit",
            "r1",
            "r2",
            "gamma",
        } <= report.values.keys()
        assert report.images_per_second > 0


def test_snapshots_come_at_snapshot_every_and_at_the_end():
    kept = Kept()
    fit(tiny_spec(steps=5, snapshot_every=2), snapshots=kept)
    assert list(kept.by_step) == [0, 2, 4, 5]


def test_a_finished_run_resumes_to_itself_and_calls_back_nothing():
    spec, calls = tiny_spec(), []
    done = dump(fit(spec))
    again = fit(spec, snapshots=MemorySnapshots(done), on_report=calls.append)
    assert dump(again) == done
    assert calls == []


def test_the_best_measured_state_is_returned_and_not_the_last():
    spec, kept = tiny_spec(steps=6, log_every=2, evaluate_every=2), Kept()
    state = fit(spec, snapshots=kept, evaluate=quality(3.0, 2.0, 9.0))
    assert kept.best_steps == [2, 4]
    assert state.step == 4
    assert state.watch.best.step == 4
    assert state.watch.ended == "steps"
    expected = _restored(spec, kept.by_step[4])
    assert all(
        torch.equal(a, b) for a, b in zip(state.ema.parameters(), expected.ema.parameters(), strict=True)
    )


def test_a_killed_run_that_had_ended_returns_its_best_without_training():
    spec, kept = tiny_spec(steps=6, log_every=2, evaluate_every=2), Kept()
    whole = fit(spec, snapshots=kept, evaluate=quality(3.0, 2.0, 9.0))
    again = fit(spec, snapshots=kept, evaluate=quality())
    assert dump(again) == dump(whole)


def test_no_better_measurement_for_long_ends_the_run_on_a_plateau():
    spec = tiny_spec(steps=100, log_every=2, evaluate_every=2, patience=3)
    state = fit(spec, evaluate=quality(3.0, 2.0, 2.1, 2.0, 2.2))
    assert (state.step, state.watch.ended) == (4, "plateau")


@pytest.mark.parametrize(("max_kimg", "steps"), [(0.04, 5), (0.041, 6), (9.0, 9)])
def test_a_budget_of_images_ends_the_run_and_shortens_its_schedules(max_kimg, steps):
    reports = []
    state = fit(tiny_spec(steps=9, max_kimg=max_kimg, warm_up_steps=0), on_report=reports.append)
    assert state.step == steps
    assert state.watch.ended == ("steps" if steps == 9 else "max_kimg")
    last = Rates.at(TrainConfig(steps=steps, warm_up_steps=0), steps - 1)
    assert reports[-1].values["learning rate"] == last.learning_rate


def test_a_budget_of_time_plans_the_steps_that_fit_and_ends_with_the_schedules_run_through(monkeypatch):
    ticks = itertools.count()
    monkeypatch.setattr("augment.gan.training.time.perf_counter", lambda: 0.1 * next(ticks))
    reports = []
    spec = tiny_spec(steps=10**6, max_time="10s", log_every=5, warm_up_steps=0)
    state = fit(spec, on_report=reports.append)
    assert state.watch.ended == "max_time"
    assert state.step < 1000
    assert reports[-1].values["learning rate"] < 0.3 * spec.train.learning_rate


def test_trouble_goes_back_to_the_last_good_snapshot_once_with_half_the_rate_and_then_stops(caplog):
    """A NaN at step 5 however often it is reached: one remedy, then a clear stop."""
    spec, kept = tiny_spec(steps=9, log_every=2, evaluate_every=2, snapshot_every=1), Kept()
    images = tiny_images(spec)
    with (
        nan_at(step=5),
        pytest.raises(DivergenceError, match=r"step 5: the .* is not finite; training stopped"),
    ):
        train(spec, images, snapshots=kept, evaluate=quality(3.0, 2.0, 1.9, 1.8))
    assert "going back to step 5 with 0.5 × the learning rate" in caplog.text
    latest = read_summary(kept.latest())
    assert latest.step in (4, 5)
    assert latest.watch.attempt == 1
    assert latest.watch.learning_rate_scale == 0.5


def test_without_remedies_trouble_is_an_error_at_once():
    with nan_at(step=5), pytest.raises(DivergenceError, match="The last good snapshot is kept"):
        fit(tiny_spec(steps=9, remedies=0, snapshot_every=2))


def test_before_the_first_snapshot_of_use_a_remedy_begins_again():
    with nan_at(step=5, times=1):
        state = fit(tiny_spec(steps=9, snapshot_every=100))
    assert (state.step, state.watch.attempt, state.watch.troubles[0].step) == (9, 1, 5)


def test_a_run_killed_after_its_remedy_goes_on_as_if_it_had_not_been():
    spec = tiny_spec(steps=9, log_every=1, snapshot_every=1)
    kept, once = Kept(), nan_at(step=5, times=1)
    with once:
        whole = fit(spec, snapshots=kept)
    assert whole.watch.attempt == 1
    again = fit(spec, snapshots=MemorySnapshots(kept.by_step[6]))
    assert dump(again) == dump(whole)


@contextmanager
def nan_at(*, step, times=10):
    """The batch of that step holds a NaN, the first `times` times that it is drawn."""
    draw, left = Batches.step, [times]

    def poisoned(self, at):
        batch = draw(self, at)
        if at == step and left[0]:
            left[0] -= 1
            batch.real_BCHW[0, 0, 0, 0] = float("nan")
        return batch

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(Batches, "step", poisoned)
        yield


def test_a_collapsing_configuration_is_named_within_200_steps_of_its_collapse():
    """The saturating minimax game without penalty and warm-up: every image is the same after some steps."""
    spec = tiny_spec(
        steps=2000, batch_size=16, counts=(60, 60, 60), model={"width": 16}, diffaugment=(), log_every=30,
        loss="minimax", penalty="none", gamma=0.0, learning_rate=0.05, warm_up_steps=0, remedies=0,
    )  # fmt: skip
    reports = []
    with pytest.raises(DivergenceError, match="mode collapse: the samples of classes bag, boot, coat"):
        fit(spec, on_report=reports.append)
    healthy = [r.step for r in reports if statistics.median(r.diversity.values()) >= 0.1]
    assert reports[-1].step - max(healthy, default=0) < 200


def test_the_average_follows_the_generator_and_is_it_when_off():
    state = fit(tiny_spec(ema_half_life_kimg=0.0))
    for average, weight in zip(state.ema.parameters(), state.generator.parameters(), strict=True):
        assert torch.equal(average, weight)
    state = fit(tiny_spec(steps=40))
    pairs = zip(state.ema.parameters(), state.generator.parameters(), strict=True)
    assert any(not torch.equal(average, weight) for average, weight in pairs)


def test_a_diverging_run_names_the_step_and_keeps_the_last_good_weights():
    spec = tiny_spec(loss="wgan-gp", learning_rate=1.0, gamma=1e30, steps=50)
    with pytest.raises(DivergenceError, match=r"step \d+: the .* is not finite"):
        fit(spec)


def test_a_batch_that_the_workers_cannot_share_is_a_config_error():
    with pytest.raises(ConfigError, match="leaves some of 9 workers"):
        fit(tiny_spec(), replica=Replica(rank=0, world_size=9))


def test_both_networks_are_parallelized_once_each():
    wrapped = []
    fit(tiny_spec(steps=1), replica=Replica(parallelize=lambda module: wrapped.append(module) or module))
    assert len(wrapped) == 2


def test_the_picture_grid_is_fixed_by_the_seed_and_shows_the_average():
    state = fit(tiny_spec())
    grid = sample_grid(state, 3)
    assert grid.shape == (3, 3, 16, 16, 1)
    assert (sample_grid(state, 3) == grid).all()
    with torch.no_grad():
        for weight in state.generator.parameters():
            weight.zero_()
    assert (sample_grid(state, 3) == grid).all()


@pytest.mark.parametrize("backbone", BACKBONES)
@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_lie_in_memory_as_their_weights_do(backbone, channels):
    """DDP copies and warns where they do not; with and without a penalty."""
    for steps in (1, 2):
        state = fit(tiny_spec(channels=channels, steps=steps, model={"backbone": backbone}))
        for network in (state.generator, state.discriminator):
            for name, weight in network.named_parameters():
                assert weight.grad.stride() == weight.stride(), name

import pytest
import torch

from augment.errors import ConfigError, DivergenceError
from augment.gan.checkpoint import dump
from augment.gan.config import LOSS_NAMES
from augment.gan.generator import sample_grid
from augment.gan.training import Replica, train
from tests.gan.common import tiny_images, tiny_spec


def fit(spec, **kwargs):
    return train(spec, tiny_images(spec), **kwargs)


@pytest.mark.parametrize("precision", ["fp32", "bf16"])
@pytest.mark.parametrize("backbone", ["dcgan", "resnet"])
@pytest.mark.parametrize("stop_after", [1, 4])
def test_a_resumed_run_is_the_uninterrupted_one_to_the_last_bit(backbone, precision, stop_after):
    spec = tiny_spec(model={"backbone": backbone, "width": 8}, precision=precision, snapshot_every=1)
    snapshots = {}
    whole = fit(spec, on_snapshot=lambda state: snapshots.setdefault(state.step, dump(state)))
    resumed = fit(spec, resume=snapshots[stop_after])
    assert resumed.step == whole.step == 6
    assert dump(resumed) == dump(whole)


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
        model={"embedding_noise": 0.3},
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
    steps = []
    fit(tiny_spec(steps=5, snapshot_every=2), on_snapshot=lambda state: steps.append(state.step))
    assert steps == [2, 4, 5]


def test_a_finished_run_resumes_to_itself_and_calls_back_nothing():
    spec, calls = tiny_spec(), []
    done = dump(fit(spec))
    again = fit(spec, resume=done, on_report=calls.append, on_snapshot=calls.append)
    assert dump(again) == done
    assert calls == []


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
    with pytest.raises(ConfigError, match="multiple of the 3 workers"):
        fit(tiny_spec(), replica=Replica(rank=0, world_size=3))


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


@pytest.mark.parametrize("backbone", ["dcgan", "resnet"])
@pytest.mark.parametrize("channels", [1, 3])
def test_gradients_lie_in_memory_as_their_weights_do(backbone, channels):
    """DDP copies and warns where they do not; with and without a penalty."""
    for steps in (1, 2):
        state = fit(tiny_spec(channels=channels, steps=steps, model={"backbone": backbone}))
        for network in (state.generator, state.discriminator):
            for name, weight in network.named_parameters():
                assert weight.grad.stride() == weight.stride(), name

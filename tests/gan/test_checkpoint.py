import json

import pytest
import torch
from safetensors.torch import load, save

from augment.errors import ConfigError, IntegrityError
from augment.gan.checkpoint import STATE_FILE, SUMMARY_FILE, capture, dump, read_summary, restore
from augment.gan.state import new_state
from augment.gan.supervision import Watch
from augment.gan.training import train
from augment.types import sha256_hex
from tests.gan.common import tiny_images, tiny_spec

CPU = torch.device("cpu")


@pytest.fixture(scope="module")
def state():
    spec = tiny_spec(steps=3)
    return train(spec, tiny_images(spec))


def test_a_snapshot_is_two_files_without_pickle(state):
    files = dump(state)
    assert set(files) == {STATE_FILE, SUMMARY_FILE}
    assert not any(b"pickle" in data or data.startswith(b"\x80") for data in files.values())
    summary = json.loads(files[SUMMARY_FILE])
    assert (summary["step"], summary["images_seen"], summary["format_version"]) == (3, 24, 2)


def test_restoring_gives_the_same_snapshot_again(state):
    files = dump(state)
    other = new_state(state.spec, CPU)
    restore(other, files)
    assert dump(other) == files
    assert other.step == 3


def test_a_capture_stays_as_it_was_while_training_goes_on(state):
    live = new_state(state.spec, CPU)
    taken, before = capture(live), dump(live)
    with torch.no_grad():
        for weight in live.generator.parameters():
            weight.add_(1)
    live.step += 1
    assert taken.files() == before


def test_what_adapts_and_what_supervision_remembers_come_back(state):
    live = new_state(state.spec, CPU)
    live.augment_probability.fill_(0.3)
    live.lecam_fake.fill_(-2.0)
    live.watch = Watch(attempt=1, learning_rate_scale=0.5, alive=True)
    other = new_state(state.spec, CPU)
    restore(other, dump(live))
    assert float(other.augment_probability) == pytest.approx(0.3)
    assert float(other.lecam_fake) == -2.0
    assert other.watch == live.watch


def test_a_snapshot_from_before_the_first_step_takes_the_moments_away_again(state):
    fresh, used = dump(new_state(state.spec, CPU)), new_state(state.spec, CPU)
    restore(used, dump(state))
    restore(used, fresh)
    assert dump(used) == fresh


def test_restoring_keeps_the_memory_format_of_weights_and_moments(state):
    other = new_state(state.spec, CPU)
    restore(other, dump(state))
    for network, adam in (
        (other.generator, other.generator_adam),
        (other.discriminator, other.discriminator_adam),
    ):
        for name, weight in network.named_parameters():
            if weight.dim() == 4 and weight.shape[1] > 1:
                assert weight.is_contiguous(memory_format=torch.channels_last), name
            assert adam.state[weight]["exp_avg"].stride() == weight.stride()
            assert adam.state[weight]["exp_avg_sq"].stride() == weight.stride()


@pytest.mark.parametrize("name", [STATE_FILE, SUMMARY_FILE])
def test_a_missing_file_is_named(state, name):
    files = dump(state)
    del files[name]
    with pytest.raises(IntegrityError, match=f"lacks {name}"):
        read_summary(files)


def test_one_flipped_bit_is_found_before_anything_is_parsed(state):
    files = dump(state)
    damaged = bytearray(files[STATE_FILE])
    damaged[3] ^= 1  # in the length of the header
    with pytest.raises(IntegrityError, match="SHA-256"):
        restore(new_state(state.spec, CPU), files | {STATE_FILE: bytes(damaged)})


def test_a_summary_that_is_no_json_is_an_integrity_error(state):
    with pytest.raises(IntegrityError, match=f"{SUMMARY_FILE} cannot be read"):
        read_summary(dump(state) | {SUMMARY_FILE: b"{"})


def test_a_snapshot_of_another_spec_is_refused_with_the_differences(state):
    other = new_state(tiny_spec(steps=3, gamma=1.0, learning_rate=0.5), CPU)
    with pytest.raises(ConfigError) as error:
        restore(other, dump(state))
    assert "train.gamma: 2.0 there, 1.0 here" in str(error.value)
    assert "train.learning_rate: 0.0005 there, 0.5 here" in str(error.value)


def test_a_snapshot_made_on_more_workers_is_taken(state):
    other = new_state(tiny_spec(steps=3, workers=2), CPU)
    restore(other, dump(state))
    assert other.step == 3


def test_a_snapshot_that_lacks_a_tensor_is_an_integrity_error_that_names_it(state):
    files = dump(state)
    tensors = load(files[STATE_FILE])
    del tensors["adaptive.trend_3"]
    data = save(tensors)
    summary = read_summary(files).model_copy(update={"state_sha256": sha256_hex(data)})
    with pytest.raises(IntegrityError, match=r"lacks adaptive\.trend_3"):
        restore(new_state(state.spec, CPU), {STATE_FILE: data, SUMMARY_FILE: summary.to_json()})

import dataclasses

import numpy as np
import pytest
import torch

from augment.errors import ConfigError, InputError
from augment.gan.batches import Batches
from augment.gan.class_balance import effective_number_weights
from augment.gan.training import RealImages
from tests.gan.common import tiny_images, tiny_spec

CPU = torch.device("cpu")
SPEC = tiny_spec(embedding_noise=0.3, twins_weight=0.1, horizontal_flip=True, vertical_flip=True)


def leaves(batch):
    """Every tensor of a step by its dotted name."""
    for field in dataclasses.fields(batch):
        value = getattr(batch, field.name)
        if isinstance(value, torch.Tensor):
            yield field.name, value
        elif value is not None:
            yield from ((f"{field.name}.{name}", tensor) for name, tensor in leaves(value))


def batch(step=3, rank=0, world_size=1, spec=SPEC):
    return dict(
        leaves(Batches(spec, tiny_images(spec), rank=rank, world_size=world_size, device=CPU).step(step))
    )


@pytest.mark.parametrize("world_size", [2, 3, 4, 8])
def test_the_ranks_slices_together_are_the_one_workers_batch(world_size):
    alone = batch()
    ranks = [batch(rank=rank, world_size=world_size) for rank in range(world_size)]
    assert len(alone) == 12
    for name, tensor in alone.items():
        assert torch.equal(torch.cat([rank[name] for rank in ranks]), tensor), name


def test_no_two_streams_and_no_two_steps_share_their_numbers():
    now, later = batch(step=0), batch(step=1)
    uniform_or_normal = [t for name, t in (now | {}).items() if t.is_floating_point() and name != "real_BCHW"]
    seen = [tuple(t.flatten()[:1].tolist()) for t in uniform_or_normal]
    assert len(set(seen)) == len(seen)
    assert all(not torch.equal(now[name], later[name]) for name in now)


def test_real_images_are_those_of_the_labels_scaled_to_plus_minus_one():
    spec = tiny_spec()
    images = tiny_images(spec)
    drawn = batch(spec=spec)
    for x_CHW, label in zip(drawn["real_BCHW"], drawn["class_B"], strict=True):
        pixels_HWC = ((x_CHW + 1) * 127.5).round().to(torch.uint8).permute(1, 2, 0).numpy()
        (found,) = np.flatnonzero((images.pixels_NHWC == pixels_HWC).all((1, 2, 3)))
        assert images.class_index_N[found] == label


@pytest.mark.parametrize(("flip", "axis"), [("horizontal_flip", 3), ("vertical_flip", 2)])
def test_flips_mirror_some_real_images_and_leave_the_others(flip, axis):
    plain = batch(spec=tiny_spec())["real_BCHW"]
    flipped = batch(spec=tiny_spec(**{flip: True}))["real_BCHW"]
    mirrored = plain.flip(axis)
    kinds = [(torch.equal(f, p), torch.equal(f, m)) for f, p, m in zip(flipped, plain, mirrored, strict=True)]
    assert set(kinds) == {(True, False), (False, True)}


def test_uniforms_are_below_1_in_float32():
    drawn = [batch(step=step)["generator.augment_real_BK"] for step in range(50)]
    assert all(((u >= 0) & (u < 1)).all() for u in drawn)


def test_uneven_slices_weigh_their_means_so_that_the_mean_over_ranks_is_that_of_the_batch():
    batches = [Batches(SPEC, tiny_images(SPEC), rank=rank, world_size=3, device=CPU) for rank in range(3)]
    rows = [len(one.step(0).class_B) for one in batches]
    assert sorted(rows) == [2, 3, 3]
    means = [one.share * one.step(0).generator.z_BD.mean() for one in batches]
    torch.testing.assert_close(sum(means) / 3, batch(step=0)["generator.z_BD"].mean())


def test_rare_classes_get_more_embedding_noise_by_their_effective_number():
    spec = tiny_spec(embedding_noise=0.3, batch_size=4096)
    step = Batches(spec, tiny_images(spec), rank=0, world_size=1, device=CPU).step(0)
    found = [step.generator.embedding_noise_BE[step.class_B == k].std().item() for k in range(3)]
    expected = 0.3 * effective_number_weights(spec.counts)
    assert found == pytest.approx(expected.tolist(), rel=0.05)


def test_without_embedding_noise_or_classes_none_is_drawn():
    for spec in (
        tiny_spec(embedding_noise=0.0),
        tiny_spec(embedding_noise=1.0, model={"conditional": False}),
    ):
        step = Batches(spec, tiny_images(spec), rank=0, world_size=1, device=CPU).step(0)
        assert step.generator.embedding_noise_BE is None


def test_images_of_another_shape_type_or_census_are_input_errors():
    images = tiny_images(SPEC)
    wrong = [
        (RealImages(images.pixels_NHWC[:, :8], images.class_index_N), r"uint8 \[N, 16, 16, 1\]"),
        (RealImages(images.pixels_NHWC.astype(np.float32), images.class_index_N), "float32"),
        (RealImages(images.pixels_NHWC[1:], images.class_index_N[1:]), "census counted"),
    ]
    for given, message in wrong:
        with pytest.raises(InputError, match=message):
            Batches(SPEC, given, rank=0, world_size=1, device=CPU)


def test_a_batch_that_cannot_be_shared_out_is_a_config_error():
    with pytest.raises(ConfigError, match=r"train\.batch_size=8 leaves some of 9 workers without an image"):
        Batches(SPEC, tiny_images(SPEC), rank=0, world_size=9, device=CPU)

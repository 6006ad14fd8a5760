"""augment.gan.treadmill: the steps that are timed are those of a run."""

import numpy as np
import pytest
import torch

from augment.errors import ConfigError, InputError
from augment.gan.treadmill import treadmill
from tests.gan.common import tiny_images, tiny_spec

CPU = torch.device("cpu")


def test_a_slice_is_a_whole_cycle_of_penalties_and_trains_both_players() -> None:
    spec = tiny_spec(penalty_every=4, steps=10_000)
    with treadmill(spec, tiny_images(spec), world_size=1, device=CPU) as mill:
        before = [weight.detach().clone() for weight in mill.state.generator.parameters()]
        assert mill.steps() == 4
        assert mill.steps() == 4
        after = list(mill.state.generator.parameters())

    assert mill.state.step == 8
    assert any(not torch.equal(old, new) for old, new in zip(before, after, strict=True))
    assert all(torch.isfinite(weight).all() for weight in after)


def test_looks_and_snapshots_are_one_each_and_change_nothing() -> None:
    spec = tiny_spec()
    with treadmill(spec, tiny_images(spec), world_size=1, device=CPU) as mill:
        before = [weight.detach().clone() for weight in mill.state.generator.parameters()]
        assert (mill.look(), mill.snapshot()) == (1, 1)

        assert mill.state.step == 0
        for old, new in zip(before, mill.state.generator.parameters(), strict=True):
            assert torch.equal(old, new)


def test_of_several_workers_the_firsts_share_of_the_batch_is_computed() -> None:
    spec = tiny_spec(batch_size=9)
    with treadmill(spec, tiny_images(spec), world_size=2, device=CPU) as mill:
        assert len(mill._batch(0).class_B) == 4


def test_a_batch_without_an_image_for_a_worker_and_foreign_images_are_refused() -> None:
    spec = tiny_spec(batch_size=8)
    images = tiny_images(spec)

    with pytest.raises(ConfigError, match="9 workers"), treadmill(spec, images, world_size=9, device=CPU):
        pass
    other = tiny_spec(size=32)
    with pytest.raises(InputError, match=r"image\.size"), treadmill(other, images, world_size=1, device=CPU):
        pass
    assert images.pixels_NHWC.dtype == np.uint8

"""The default classifier takes images of any side, and its weights are the seed's."""

from __future__ import annotations

import pytest
import torch

from augment.lift.small_network import SmallNetwork
from augment.types import ImageShape


@pytest.mark.parametrize("size", [1, 7, 8, 28, 32, 64, 100])
@pytest.mark.parametrize("channels", [1, 3])
def test_images_of_any_side_have_logits(size: int, channels: int) -> None:
    network = SmallNetwork(ImageShape(size=size, channels=channels), 5, seed=0)
    assert network(torch.zeros(2, channels, size, size)).shape == (2, 5)


def test_large_images_are_halved_until_as_small_as_small_ones() -> None:
    for size in (32, 64, 256):
        network = SmallNetwork(ImageShape(size=size, channels=1), 5, seed=0)
        assert network.body(torch.zeros(1, 1, size, size)).shape == (1, 128, 2, 2)


@pytest.mark.parametrize("size", [2, 3, 8, 16, 28, 100])
def test_a_single_row_of_a_batch_has_statistics_of_its_own(size: int) -> None:
    network = SmallNetwork(ImageShape(size=size, channels=1), 5, seed=0).train()
    assert network(torch.zeros(1, 1, size, size)).isfinite().all()


def test_it_has_as_many_weights_as_it_says() -> None:
    network = SmallNetwork(ImageShape(size=32, channels=1), 10, seed=0)
    assert round(sum(weight.numel() for weight in network.parameters()), -3) == 136_000


def test_equal_seeds_give_equal_weights() -> None:
    image = ImageShape(size=8, channels=1)
    networks = [SmallNetwork(image, 3, seed=seed) for seed in (0, 0, 1)]
    first, same, other = (network.body[0].weight for network in networks)
    assert torch.equal(first, same)
    assert not torch.equal(first, other)

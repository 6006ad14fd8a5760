"""Classifiers by name: small, torchvision's, the user's own; a user's mistake is named."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from augment.errors import ConfigError
from augment.lift.networks import build_classifier, last_layer, reset_head
from augment.types import ImageShape

GRAY, COLOUR = ImageShape(size=32, channels=1), ImageShape(size=32, channels=3)


def users(image: ImageShape, classes: int) -> nn.Module:
    return nn.Sequential(nn.Flatten(), nn.Linear(image.channels * image.size**2, classes))


def of_wrong_shape(image: ImageShape, classes: int) -> nn.Module:
    return users(image, classes + 1)


def of_colour_only(image: ImageShape, classes: int) -> nn.Module:
    return nn.Sequential(nn.Conv2d(3, classes, image.size), nn.Flatten())


def no_module(image: ImageShape, classes: int) -> str:
    return "module"


@pytest.mark.parametrize("image", [GRAY, COLOUR])
@pytest.mark.parametrize("name", ["small", "shufflenet_v2_x0_5", f"{__name__}:users"])
def test_every_kind_of_network_maps_images_to_logits(name: str, image: ImageShape) -> None:
    network = build_classifier(name, image, 4, seed=0).eval()
    assert network(torch.zeros(2, image.channels, 32, 32)).shape == (2, 4)
    assert last_layer(network).out_features == 4


@pytest.mark.parametrize("name", ["small", f"{__name__}:users"])
def test_the_seed_decides_the_weights_and_torchs_own_generator_is_not_moved(name: str) -> None:
    torch.manual_seed(1)
    before = torch.get_rng_state()
    weights = [next(build_classifier(name, GRAY, 3, seed=seed).parameters()) for seed in (0, 0, 1)]
    assert torch.equal(weights[0], weights[1])
    assert not torch.equal(weights[0], weights[2])
    assert torch.equal(torch.get_rng_state(), before)


@pytest.mark.parametrize(
    ("name", "why"),
    [
        ("resnet19", "did you mean resnet1"),
        ("nothing_there:at_all", "No module named"),
        (f"{__name__}:missing", "has no attribute"),
        (f"{__name__}:no_module", "returns str"),
        (f"{__name__}:of_wrong_shape", r"must make logits \[2, 4\]"),
        (f"{__name__}:of_colour_only", "cannot take images"),
    ],
)
def test_a_network_that_cannot_be_had_or_used_is_an_error_that_says_why(name: str, why: str) -> None:
    with pytest.raises(ConfigError, match=f"lift.network={name}.*{why}"):
        build_classifier(name, GRAY, 4, seed=0)


def test_a_new_head_is_the_seeds_and_has_the_variance_that_torch_begins_with() -> None:
    layers = [nn.Linear(300, 200) for _ in range(2)]
    for layer in layers:
        reset_head(layer, seed=3)
    assert torch.equal(layers[0].weight, layers[1].weight)
    assert not layers[0].bias.any()
    assert float(layers[0].weight.detach().var()) == pytest.approx(1 / (3 * 300), rel=0.02)


def test_a_network_without_a_linear_layer_has_no_head() -> None:
    with pytest.raises(ConfigError, match="no linear layer"):
        last_layer(of_colour_only(COLOUR, 3))

"""The classifier that arms train: a small CNN, a model of torchvision, or the user's own, behind one interface.

Owns how it is found and its initial weights, which the seed decides and no arm does. Knows no arm.

B = images, C = channels, H, W = rows, columns, K = classes.
"""

import difflib
import importlib
import math
from collections.abc import Callable

import torch
from torch import Tensor, nn

from augment.errors import ConfigError
from augment.lift.small_network import SmallNetwork
from augment.seeds import digest64, normals, stream_id
from augment.types import ImageShape

__all__ = ["NetworkBuilder", "build_classifier", "last_layer", "reset_head"]

NetworkBuilder = Callable[[ImageShape, int], nn.Module]
"""From an image's shape and the number of classes to a network: [B, C, H, W] in [-1, 1] → logits [B, K]."""

_MASK63 = (1 << 63) - 1


class _OfThreeChannels(nn.Module):
    """A network of colour images that is shown gray ones: the channel is repeated."""

    def __init__(self, network: nn.Module) -> None:
        super().__init__()
        self.network = network

    def forward(self, x_BCHW: Tensor) -> Tensor:
        """Logits, [B, K]."""
        logits_BK: Tensor = self.network(x_BCHW.expand(-1, 3, -1, -1))
        return logits_BK


def build_classifier(name: str, image: ImageShape, classes: int, *, seed: int) -> nn.Module:
    """`small`, a model of torchvision, or `module:function` (a NetworkBuilder), with the weights of `seed`.

    torch's own generator is not moved. ConfigError where there is none of that name, or it does not map such
    images to logits [B, K].
    """
    if name == "small":
        return SmallNetwork(image, classes, seed=seed).to(memory_format=torch.channels_last)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(digest64("lift.weights", seed) & _MASK63)
        network = _users(name, image, classes) if ":" in name else _torchvisions(name, image, classes)
    _try(network, name, image, classes)
    return network.to(memory_format=torch.channels_last)


def last_layer(network: nn.Module) -> nn.Linear:
    """The linear layer that makes the logits: the last one that the network names. ConfigError without one."""
    layers = [module for module in network.modules() if isinstance(module, nn.Linear)]
    if not layers:
        raise ConfigError(
            f"{type(network).__name__} has no linear layer to fit again; leave out arms with refit_from"
        )
    return layers[-1]


def reset_head(layer: nn.Linear, *, seed: int) -> None:
    """New weights of `seed`, normal with variance 1 / (3 fan-in), which torch begins a linear layer with; no bias."""
    draws = normals(seed, stream_id("lift.head"), 0, 1, layer.weight.numel())
    with torch.no_grad():
        weight = torch.from_numpy(draws).reshape(layer.weight.shape) / math.sqrt(3 * layer.in_features)
        layer.weight.copy_(weight)
        if layer.bias is not None:
            layer.bias.zero_()


def _torchvisions(name: str, image: ImageShape, classes: int) -> nn.Module:
    from torchvision import models  # here: every trial's process would wait for it

    names = models.list_models(module=models)  # type: ignore[attr-defined]
    if name not in names:
        near = difflib.get_close_matches(name, names, n=1)
        raise ConfigError(
            f"lift.network={name} is neither `small` nor a classifier of torchvision nor `module:function`; "
            + (f"did you mean {near[0]}?" if near else "torchvision.models.list_models() has their names")
        )
    network: nn.Module = models.get_model(name, weights=None, num_classes=classes)  # type: ignore[attr-defined]
    return network if image.channels == 3 else _OfThreeChannels(network)


def _users(name: str, image: ImageShape, classes: int) -> nn.Module:
    module_name, _, function_name = name.partition(":")
    try:
        function = getattr(importlib.import_module(module_name), function_name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(
            f"lift.network={name}: {error}; it must be an importable module's function of an image's shape and "
            "the number of classes"
        ) from error
    network = function(image, classes)
    if not isinstance(network, nn.Module):
        raise ConfigError(f"lift.network={name} returns {type(network).__name__}, not a torch module")
    return network


@torch.no_grad()
def _try(network: nn.Module, name: str, image: ImageShape, classes: int) -> None:
    """Two images through it, once, before anything is trained."""
    training = network.training
    try:
        logits_BK = network.eval()(torch.zeros(2, image.channels, image.size, image.size))
    except (RuntimeError, ValueError, TypeError, AssertionError) as error:
        raise ConfigError(f"lift.network={name} cannot take images of {image}: {error}") from error
    network.train(training)
    if not isinstance(logits_BK, Tensor) or logits_BK.shape != (2, classes):
        shape = list(logits_BK.shape) if isinstance(logits_BK, Tensor) else type(logits_BK).__name__
        raise ConfigError(
            f"lift.network={name} must make logits [2, {classes}] of two images, and made {shape}"
        )

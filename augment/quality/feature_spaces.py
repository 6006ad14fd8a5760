"""Where features come from: the user's own classifier, a torchvision network's weights, or a user's function.

Owns what turns uint8 pixels into feature vectors, behind one Protocol. Nothing is ever downloaded: weights
are the bytes of a file that the user names, opened without running code. Knows no metric. torchvision, which takes
longer to import than torch itself, is imported only where it is asked for.

B = images, H, W, C = rows, columns, channels, F = features.
"""

import importlib
import io
import pickle
from collections.abc import Callable, Mapping
from typing import Any, Protocol, cast

import numpy as np
import numpy.typing as npt
import torch
from safetensors import SafetensorError
from safetensors.torch import load as load_safetensors
from torch import Tensor, nn
from torch.nn import functional as F

from augment.errors import ConfigError, InputError, IntegrityError
from augment.quality.classifier import Classifier
from augment.types import sha256_hex

__all__ = [
    "CallableFeatures",
    "ClassifierFeatures",
    "FeatureSpace",
    "TorchvisionFeatures",
    "load_function",
]

_CPU = torch.device("cpu")
_TILE = 32  # images a forward pass of a large network
_WITH_AUXILIARY_HEADS = ("googlenet", "inception_v3")

Pixels = npt.NDArray[np.uint8]


class FeatureSpace(Protocol):
    """A mapping of images to vectors in which distances mean something."""

    @property
    def name(self) -> str:
        """What it is, weights and all: figures of two spaces compare only where their names are equal."""
        ...

    def features(self, pixels_BHWC: Pixels) -> npt.NDArray[np.float32]:
        """Feature vectors [B, F] of uint8 images, finite; an image's vector depends on it alone."""
        ...


class ClassifierFeatures:
    """The pooled features of a classifier of the user's own images: the default."""

    def __init__(self, classifier: Classifier) -> None:
        self._classifier = classifier
        self.name = f"classifier:{sha256_hex(classifier.to_bytes())}"

    def features(self, pixels_BHWC: Pixels) -> npt.NDArray[np.float32]:
        """Float32 [B, 128]; see `Classifier.look`."""
        return self._classifier.features(pixels_BHWC)


class TorchvisionFeatures:
    """What a torchvision classification network's last linear layer is given.

    `model` is a name of `torchvision.models.list_models`; `weights` the bytes of its state dict, as .pth
    (opened with `weights_only=True`) or safetensors, of any number of classes. Images are resized to the size
    that torchvision's own weights of the model expect, without cropping, grey ones repeated in all channels,
    and normalised with those weights' mean and deviation.

    Raises ConfigError for a model that has no such name or layer, IntegrityError for weights that are not
    its own or fail `sha256`.
    """

    def __init__(
        self, model: str, weights: bytes, *, sha256: str | None = None, device: torch.device = _CPU
    ) -> None:
        digest = sha256_hex(weights)
        if sha256 is not None and digest != sha256:
            raise IntegrityError(
                f"the weights' SHA-256 is {digest}, expected {sha256}: refusing to open them"
            )
        from torchvision import models

        if model not in models.list_models(module=models):  # type: ignore[attr-defined]
            raise ConfigError(
                f"torchvision has no classification model {model!r}; e.g. resnet50, inception_v3"
            )
        self.name = f"torchvision:{model}:{digest}"
        self._transform = models.get_model_weights(model).DEFAULT.transforms()  # type: ignore[attr-defined]
        self._device = device
        self._network, self._head = _torchvision_network(model, _state_dict(weights))
        self._network.to(device)

    @torch.inference_mode()
    def features(self, pixels_BHWC: Pixels) -> npt.NDArray[np.float32]:
        """Float32 [B, F], where F is the width of the last linear layer's input."""
        _check_images(self.name, pixels_BHWC)
        tiles = [
            self._tile(pixels_BHWC[first : first + _TILE]) for first in range(0, len(pixels_BHWC), _TILE)
        ]
        return np.concatenate(tiles)

    def _tile(self, pixels_BHWC: Pixels) -> npt.NDArray[np.float32]:
        """A tile is filled up to one size, so that an image's features don't depend on its company."""
        rows = len(pixels_BHWC)
        filled_BHWC = np.pad(pixels_BHWC, ((0, _TILE - rows), (0, 0), (0, 0), (0, 0)))
        x_BCHW = torch.from_numpy(filled_BHWC).to(self._device).permute(0, 3, 1, 2).float() / 255
        side = self._transform.crop_size[0]
        x_BCHW = x_BCHW.expand(-1, 3, -1, -1).contiguous(memory_format=torch.channels_last)
        x_BCHW = F.interpolate(x_BCHW, (side, side), mode="bilinear", antialias=True)
        mean_C, deviation_C = (
            torch.tensor(value, device=self._device)[:, None, None]
            for value in (self._transform.mean, self._transform.std)
        )
        seen: list[Tensor] = []
        hook = self._head.register_forward_pre_hook(lambda _, inputs: seen.append(inputs[0]))
        try:
            # As in `Classifier.look`: no 10-bit weights, no kernels picked by timing.
            with torch.backends.cudnn.flags(
                enabled=True, benchmark=False, deterministic=True, allow_tf32=False
            ):
                self._network((x_BCHW - mean_C) / deviation_C)
        finally:
            hook.remove()
        return seen[0][:rows].float().cpu().numpy()


class CallableFeatures:
    """A user's function `module:function` from uint8 [B, H, W, C] to numbers [B, F].

    The function is the user's own code and runs with all of this process's rights. What it gives is checked
    at every call. Raises ConfigError where there is no such function.
    """

    def __init__(self, path: str) -> None:
        self._function = load_function(path)
        self.name = f"function:{path}"
        self._width: int | None = None

    def features(self, pixels_BHWC: Pixels) -> npt.NDArray[np.float32]:
        """Float32 [B, F]; raises InputError where the function gives anything else."""
        _check_images(self.name, pixels_BHWC)
        given = np.asarray(self._function(pixels_BHWC))
        wanted = (len(pixels_BHWC), self._width or (given.shape[1] if given.ndim == 2 else 0))
        if given.shape != wanted or not wanted[1] or given.dtype.kind not in "fiu":
            raise InputError(
                f"{self.name} gave {given.dtype} {list(given.shape)} for {len(pixels_BHWC)} images; it must give "
                f"numbers [B, F], with one F at every call"
            )
        if not np.isfinite(given).all():
            raise InputError(f"{self.name} gave numbers that are not finite")
        self._width = given.shape[1]
        return given.astype(np.float32)


def load_function(path: str) -> Callable[..., Any]:
    """The function of `module:function`; raises ConfigError where it cannot be had, with the cause."""
    module_name, _, name = path.partition(":")
    if not module_name or not name:
        raise ConfigError(f"{path!r} must read module:function, e.g. my_features:embed")
    try:
        found = getattr(importlib.import_module(module_name), name)
    except (ImportError, AttributeError) as error:
        raise ConfigError(f"{path!r} cannot be imported: {error}; is it on PYTHONPATH?") from error
    if not callable(found):
        raise ConfigError(f"{path!r} is a {type(found).__name__}, not a function")
    return cast("Callable[..., Any]", found)


def _state_dict(weights: bytes) -> Mapping[str, Tensor]:
    """Names and tensors of a .pth or safetensors file."""
    try:
        if weights[8:9] == b"{":  # safetensors: u64 header length, then the header as JSON
            return load_safetensors(weights)
        found = torch.load(io.BytesIO(weights), map_location="cpu", weights_only=True)
    except (SafetensorError, pickle.UnpicklingError, RuntimeError, EOFError) as error:
        raise IntegrityError(
            f"the weights are no state dict that opens without running code: {error}"
        ) from error
    if not isinstance(found, Mapping) or not all(isinstance(value, Tensor) for value in found.values()):
        raise IntegrityError("the weights' file holds no state dict: save model.state_dict(), not the model")
    return found


def _torchvision_network(model: str, state: Mapping[str, Tensor]) -> tuple[nn.Module, nn.Linear]:
    """The network with these weights, and its last linear layer."""
    from torchvision.models import get_model  # type: ignore[attr-defined]

    extra: dict[str, Any] = {}
    if model in _WITH_AUXILIARY_HEADS:  # `transform_input` is what torchvision sets for weights of its own
        extra = {"init_weights": False, "transform_input": True}
    with torch.device("meta"):
        name, _ = _last_linear(model, get_model(model, weights=None, **extra))
    weight = state.get(f"{name}.weight")
    if weight is None or weight.ndim != 2:
        raise IntegrityError(
            f"the weights have no {name}.weight: they are not those of torchvision's {model}"
        )
    with torch.random.fork_rng(devices=[]):  # for torch's own initial weights, which are replaced
        network = get_model(model, weights=None, num_classes=len(weight), **extra)
    try:
        network.load_state_dict(state)
    except RuntimeError as error:
        raise IntegrityError(f"the weights are not those of torchvision's {model}: {error}") from error
    return network.eval().requires_grad_(False), _last_linear(model, network)[1]


def _last_linear(model: str, network: nn.Module) -> tuple[str, nn.Linear]:
    layers = [(name, layer) for name, layer in network.named_modules() if isinstance(layer, nn.Linear)]
    if not layers:
        raise ConfigError(
            f"torchvision's {model} has no linear layer to take features from; e.g. resnet50 has"
        )
    return layers[-1]


def _check_images(name: str, pixels_BHWC: Pixels) -> None:
    shape = pixels_BHWC.shape
    if pixels_BHWC.dtype != np.uint8 or len(shape) != 4 or shape[3] not in (1, 3) or not len(pixels_BHWC):
        raise InputError(
            f"{name} needs uint8 images [B ≥ 1, H, W, 1 or 3], not {pixels_BHWC.dtype} {list(shape)}"
        )

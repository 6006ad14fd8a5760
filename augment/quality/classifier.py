"""A classifier of the user's own images: fitted on them, kept as a file, and asked what it sees.

Owns fitting, the file's format and the one gate for inference. Everything random in fitting is drawn by
global sample index, and the initial weights by the seed: the same call on the same number of CPU threads
gives the same weights. Features and probabilities are computed in float32 on tiles of one fixed size, so
that an image's do not depend on its company. Knows no GAN.

N = images, B = images of a batch or tile, H, W, C = rows, columns, channels, F = features, K = classes.
"""

import json
import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import numpy as np
import numpy.typing as npt
import torch
from pydantic import ValidationError
from safetensors import SafetensorError
from safetensors.torch import load, save
from torch import Tensor, nn
from torch.nn import functional as F

from augment.errors import ConfigError, DivergenceError, InputError, IntegrityError
from augment.quality.network import FEATURES, JudgeNetwork, NetworkSize, build_network, for_inference
from augment.seeds import stream_id, uniforms
from augment.types import ImageShape, Record, sha256_hex

__all__ = ["Classifier", "ClassifierInfo", "Look", "Prediction", "fit_classifier"]

_CPU = torch.device("cpu")
_METADATA_KEY = "augment.classifier"
_TILE = 128  # images a forward pass
_LEARNING_RATE = 4e-3
_WEIGHT_DECAY = 0.05
_WARMUP = 0.2  # share of the steps over which the rate rises
_LABEL_SMOOTHING = 0.05
_SHIFT = 1 / 16  # of the image's side: the largest shift in each direction
_REPORT_EVERY = 50  # steps


class ClassifierInfo(Record):
    """What a classifier's file says of itself."""

    format_version: Literal[1] = 1
    image: ImageShape
    classes: int
    seed: int
    steps: int
    network: NetworkSize = "full"


@dataclass(frozen=True, slots=True)
class Look:
    """What the classifier sees in N images, of one forward pass."""

    features_NF: npt.NDArray[np.float32]  # pooled, ≥ 0
    probability_NK: npt.NDArray[np.float32]  # rows sum to 1


@dataclass(frozen=True, slots=True)
class Prediction:
    """The likeliest class of N images, and the probability of each."""

    class_index_N: npt.NDArray[np.int64]
    probability_NK: npt.NDArray[np.float32]


class Classifier:
    """A fitted classifier: frozen, in eval mode. Not for two threads at once."""

    def __init__(self, info: ClassifierInfo, network: JudgeNetwork) -> None:
        self.info = info
        self._network = network.eval().requires_grad_(False)
        self._frozen = for_inference(network)

    @torch.inference_mode()
    def look(self, pixels_NHWC: npt.NDArray[np.uint8], *, batch_size: int = _TILE) -> Look:
        """Features [N, 128] and class probabilities [N, K] of uint8 images, in one pass.

        `batch_size` images are computed at a time, the last time filled up with black ones: with one
        `batch_size` and number of threads, an image's row is the same in any company.

        Raises InputError where the images are not of the kind that the classifier was fitted to.
        """
        _check_pixels(pixels_NHWC, self.info.image)
        features_NF = np.empty((len(pixels_NHWC), FEATURES), np.float32)
        probability_NK = np.empty((len(pixels_NHWC), self.info.classes), np.float32)
        device = self._network.head.weight.device
        # TensorFloat-32 would round the weights to 10 bits, and timing trials would pick kernels by chance.
        with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
            for first in range(0, len(pixels_NHWC), batch_size):
                tile_BHWC = pixels_NHWC[first : first + batch_size]
                rows = len(tile_BHWC)
                filled_BHWC = np.pad(tile_BHWC, ((0, batch_size - rows), (0, 0), (0, 0), (0, 0)))
                features_BF, logits_BK = self._frozen(_to_network(filled_BHWC, device))
                features_NF[first : first + rows] = features_BF[:rows].cpu().numpy()
                probability_NK[first : first + rows] = logits_BK[:rows].softmax(1).cpu().numpy()
        return Look(features_NF=features_NF, probability_NK=probability_NK)

    def features(
        self, pixels_NHWC: npt.NDArray[np.uint8], *, batch_size: int = _TILE
    ) -> npt.NDArray[np.float32]:
        """Pooled features, float32 [N, 128]; see `look`."""
        return self.look(pixels_NHWC, batch_size=batch_size).features_NF

    def predict(self, pixels_NHWC: npt.NDArray[np.uint8], *, batch_size: int = _TILE) -> Prediction:
        """The likeliest class of each image, int64 [N], and all probabilities, [N, K]; see `look`."""
        probability_NK = self.look(pixels_NHWC, batch_size=batch_size).probability_NK
        return Prediction(class_index_N=probability_NK.argmax(1), probability_NK=probability_NK)

    def to_bytes(self) -> bytes:
        """A safetensors file that describes itself. Equal classifiers give equal bytes."""
        weights = {name: value.cpu().contiguous() for name, value in self._network.state_dict().items()}
        return save(weights, metadata={_METADATA_KEY: self.info.to_json().decode()})

    @classmethod
    def from_bytes(cls, data: bytes, *, sha256: str, device: torch.device = _CPU) -> "Classifier":
        """The classifier of a file of `to_bytes`, on `device`; opening it runs no code.

        Raises IntegrityError where the file's SHA-256 is not `sha256` (checked before anything is parsed)
        or the file is none of ours.
        """
        if (found := sha256_hex(data)) != sha256:
            raise IntegrityError(
                f"the classifier's SHA-256 is {found}, expected {sha256}: refusing to open it"
            )
        info = _read_info(data)
        network = build_network(info.image, info.classes, seed=info.seed, size=info.network)
        try:
            network.load_state_dict(load(data))
        except (SafetensorError, RuntimeError) as error:
            raise IntegrityError(f"the classifier's weights do not fit its header: {error}") from error
        return cls(info, network.to(device))


def fit_classifier(
    pixels_NHWC: npt.NDArray[np.uint8],
    class_index_N: npt.NDArray[np.int64],
    classes: int,
    *,
    seed: int,
    steps: int,
    batch_size: int = 128,
    horizontal_flip: bool = False,
    vertical_flip: bool = False,
    network_size: NetworkSize = "full",
    precision: Literal["fp32", "bf16"] = "fp32",
    device: torch.device = _CPU,
    log: Callable[[int, float], None] | None = None,
) -> Classifier:
    """A classifier of square uint8 images [N, H, W, C] with C = 1 or 3, into `classes` classes.

    Batches are class-balanced: each sample's class is uniform over those that have images. Images are
    shifted by up to 1/16 of their side, with their edge continued, and mirrored where allowed. AdamW
    (Loshchilov & Hutter 2019) on one cycle of the rate (Smith & Topin 2019), cross-entropy with smoothed
    labels (Szegedy et al. 2016, section 7). `bf16` is autocast: faster where it is native. `log` is told
    the number of steps done and the mean loss since it was told last.

    Raises InputError where the images or classes cannot be fitted to, DivergenceError where the loss is
    not finite.
    """
    image = _check_training_data(pixels_NHWC, class_index_N, classes)
    if steps < 1 or batch_size < 2:
        raise ConfigError(f"steps={steps} must be at least 1, and batch_size={batch_size} at least 2")
    network = build_network(image, classes, seed=seed, size=network_size).to(device).train()
    optimiser = _optimiser(network)
    draws = _Draws(class_index_N, image.size, seed, horizontal=horizontal_flip, vertical=vertical_flip)
    losses: list[Tensor] = []
    with torch.backends.cudnn.flags(enabled=True, benchmark=False, deterministic=True, allow_tf32=False):
        for step in range(steps):
            for group in optimiser.param_groups:
                group["lr"] = _LEARNING_RATE * _one_cycle(step / steps)
            batch = draws.batch(step * batch_size, batch_size)
            x_BCHW = _to_network(batch.gather(pixels_NHWC), device)
            class_B = torch.from_numpy(class_index_N[batch.image_B]).to(device)
            with torch.autocast(device.type, torch.bfloat16, enabled=precision == "bf16"):
                _, logits_BK = network(x_BCHW)
            loss = F.cross_entropy(logits_BK.float(), class_B, label_smoothing=_LABEL_SMOOTHING)
            optimiser.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimiser.step()
            losses.append(loss.detach())
            if (step + 1) % _REPORT_EVERY == 0 or step + 1 == steps:
                _report(losses, step + 1, log)
    info = ClassifierInfo(image=image, classes=classes, seed=seed, steps=steps, network=network_size)
    return Classifier(info, network)


def _read_info(data: bytes) -> ClassifierInfo:
    try:
        length = int.from_bytes(data[:8], "little")  # safetensors: u64 header length, then the header as JSON
        header = json.loads(data[8 : 8 + length])
        return ClassifierInfo.model_validate_json(header["__metadata__"][_METADATA_KEY])
    except (ValueError, KeyError, TypeError, ValidationError) as error:
        raise IntegrityError(f"not a classifier file of this project: {error!r}") from error


@dataclass(frozen=True, slots=True)
class _Batch:
    """Which images, and which of their rows and columns: shifted, mirrored, edges continued."""

    image_B: npt.NDArray[np.int64]
    row_BH: npt.NDArray[np.int64]
    column_BW: npt.NDArray[np.int64]

    def gather(self, pixels_NHWC: npt.NDArray[np.uint8]) -> npt.NDArray[np.uint8]:
        """The augmented images, uint8 [B, H, W, C], in one indexing."""
        return pixels_NHWC[self.image_B[:, None, None], self.row_BH[:, :, None], self.column_BW[:, None, :]]


class _Draws:
    """Class-balanced images and their augmentation, by global sample index."""

    def __init__(
        self, class_index_N: npt.NDArray[np.int64], size: int, seed: int, *, horizontal: bool, vertical: bool
    ) -> None:
        counts_K = np.bincount(class_index_N)
        self._images_N = np.argsort(class_index_N, kind="stable")  # class after class
        self._begins_K = np.cumsum(counts_K) - counts_K
        self._counts_K = counts_K
        self._present = np.flatnonzero(counts_K)
        self._size, self._seed = size, seed
        self._horizontal, self._vertical = horizontal, vertical

    def batch(self, first: int, rows: int) -> _Batch:
        """The samples of global indices first … first + rows - 1."""
        label_B, within_B = self._uniforms("labels", first, rows).T
        class_B = self._present[(label_B * len(self._present)).astype(np.int64)]
        image_B = self._begins_K[class_B] + (within_B * self._counts_K[class_B]).astype(np.int64)
        vertical_B, horizontal_B = self._uniforms("shifts", first, rows).T
        mirror_vertical_B, mirror_horizontal_B = self._uniforms("flips", first, rows).T < 0.5
        return _Batch(
            image_B=self._images_N[image_B],
            row_BH=self._positions(vertical_B, self._vertical & mirror_vertical_B),
            column_BW=self._positions(horizontal_B, self._horizontal & mirror_horizontal_B),
        )

    def _uniforms(self, name: str, first: int, rows: int) -> npt.NDArray[np.float64]:
        return uniforms(self._seed, stream_id(f"classifier.{name}"), first, rows, 2)

    def _positions(
        self, shift_B: npt.NDArray[np.float64], mirror_B: npt.NDArray[np.bool_]
    ) -> npt.NDArray[np.int64]:
        """Along one axis, where each pixel of the augmented image is taken from."""
        most = round(self._size * _SHIFT)
        offset_B = np.floor(shift_B * (2 * most + 1)).astype(np.int64) - most
        position_BH = np.clip(np.arange(self._size) + offset_B[:, None], 0, self._size - 1)
        return np.asarray(np.where(mirror_B[:, None], position_BH[:, ::-1], position_BH), dtype=np.int64)


def _one_cycle(progress: float) -> float:
    """Factor of the learning rate at `progress` in [0, 1): a linear rise, then half a cosine to 0."""
    if progress < _WARMUP:
        return 0.05 + 0.95 * progress / _WARMUP
    return 0.5 + 0.5 * math.cos(math.pi * (progress - _WARMUP) / (1 - _WARMUP))


def _optimiser(network: nn.Module) -> torch.optim.AdamW:
    """Weight decay on the matrices and kernels only: a gain or a bias has no reason to be small."""
    kernels = [weight for weight in network.parameters() if weight.ndim > 1]
    vectors = [weight for weight in network.parameters() if weight.ndim <= 1]
    groups = [{"params": kernels, "weight_decay": _WEIGHT_DECAY}, {"params": vectors, "weight_decay": 0.0}]
    return torch.optim.AdamW(groups, lr=_LEARNING_RATE, fused=True)


def _report(losses: list[Tensor], steps_done: int, log: Callable[[int, float], None] | None) -> None:
    """Look at the losses since the last report, and forget them."""
    mean = float(torch.stack(losses).mean())
    losses.clear()
    if not math.isfinite(mean):
        raise DivergenceError(f"the classifier's loss is not finite within {steps_done} steps")
    if log is not None:
        log(steps_done, mean)


def _to_network(pixels_BHWC: npt.NDArray[np.uint8], device: torch.device) -> Tensor:
    """0…255 → [-1, 1], [B, C, H, W] in channels-last memory."""
    return torch.from_numpy(pixels_BHWC).to(device).permute(0, 3, 1, 2).float() / 127.5 - 1


def _check_training_data(
    pixels_NHWC: npt.NDArray[np.uint8], class_index_N: npt.NDArray[np.int64], classes: int
) -> ImageShape:
    shape = pixels_NHWC.shape
    if len(shape) != 4 or shape[1] != shape[2] or shape[3] not in (1, 3):
        raise InputError(f"a classifier needs square images [N, H, W, 1 or 3], not {list(shape)}")
    image = ImageShape(size=shape[1], channels=shape[3])
    _check_pixels(pixels_NHWC, image)
    if class_index_N.shape != shape[:1]:
        raise InputError(f"{shape[0]} images have {list(class_index_N.shape)} class indices")
    present = np.unique(class_index_N)
    if len(present) < 2:
        raise InputError(f"a classifier needs images of at least two classes, not of {len(present)}")
    if present[0] < 0 or present[-1] >= classes:
        raise InputError(f"class indices go from {present[0]} to {present[-1]}, outside 0..{classes - 1}")
    return image


def _check_pixels(pixels_NHWC: npt.NDArray[np.uint8], image: ImageShape) -> None:
    expected = (image.size, image.size, image.channels)
    if pixels_NHWC.dtype != np.uint8 or pixels_NHWC.shape[1:] != expected:
        raise InputError(
            f"the classifier looks at uint8 images [N, {image.size}, {image.size}, {image.channels}], "
            f"not at {pixels_NHWC.dtype} {list(pixels_NHWC.shape)}"
        )

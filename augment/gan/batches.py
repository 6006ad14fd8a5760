"""Everything random about a training step, drawn by global sample index and put on the device.

Owns the streams of training and the real images. Sample i of step s has global index s · batch + i,
whoever computes it: rank r of w takes the r-th of w slices, so the number of workers changes no draw. Where
a batch does not divide evenly, slices differ by one, and `share` weighs a rank's means accordingly.

B = this rank's samples, D = latent, E = class embedding, K = uniforms of one augmented image.
"""

import itertools
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from augment.errors import ConfigError, InputError
from augment.gan.class_balance import effective_number_weights
from augment.gan.diffaugment import UNIFORMS_PER_IMAGE
from augment.gan.labels import LabelSampler
from augment.gan.spec import TrainingSpec
from augment.seeds import normals, stream_id, uniforms

__all__ = ["Batches", "RealImages", "StepBatch", "UpdateDraws"]


@dataclass(frozen=True, slots=True)
class RealImages:
    """The real images: uint8 [N, H, W, C] (a read-only or memory-mapped array will do) and classes [N]."""

    pixels_NHWC: npt.NDArray[np.uint8]
    class_index_N: npt.NDArray[np.int64]

    def check(self, spec: TrainingSpec) -> None:
        """Raise InputError where shape, type or class counts are not those that `spec` was made for."""
        size, channels = spec.image.size, spec.image.channels
        if self.pixels_NHWC.dtype != np.uint8 or self.pixels_NHWC.shape[1:] != (size, size, channels):
            raise InputError(
                f"the training images are {self.pixels_NHWC.dtype} {list(self.pixels_NHWC.shape)}, "
                f"but image.size and image.channels ask for uint8 [N, {size}, {size}, {channels}]"
            )
        counts = tuple(np.bincount(self.class_index_N, minlength=len(spec.classes)).tolist())
        if counts != spec.counts:
            raise InputError(
                f"the training images hold {counts} images a class, the census counted {spec.counts}"
            )


@dataclass(frozen=True, slots=True)
class UpdateDraws:
    """What one player's update draws for itself; the twin noise is NoisyTwins' second copy."""

    z_BD: Tensor
    embedding_noise_BE: Tensor | None
    twin_noise_BE: Tensor | None
    augment_real_BK: Tensor
    augment_fake_BK: Tensor

    def rows(self, begin: int, end: int) -> "UpdateDraws":
        """Those of the samples `begin … end - 1`."""

        def cut(draws: Tensor | None) -> Tensor | None:
            return None if draws is None else draws[begin:end]

        return UpdateDraws(
            z_BD=self.z_BD[begin:end],
            embedding_noise_BE=cut(self.embedding_noise_BE),
            twin_noise_BE=cut(self.twin_noise_BE),
            augment_real_BK=self.augment_real_BK[begin:end],
            augment_fake_BK=self.augment_fake_BK[begin:end],
        )


@dataclass(frozen=True, slots=True)
class StepBatch:
    """One step's inputs on this rank; both players' updates share the real images and the labels."""

    real_BCHW: Tensor
    class_B: Tensor
    mix_B: Tensor  # the gradient penalty's ε
    discriminator: UpdateDraws
    generator: UpdateDraws

    @property
    def rows(self) -> int:
        """Samples in it."""
        return len(self.class_B)

    def split(self, parts: int) -> "list[StepBatch]":
        """The same samples in at most `parts` batches, in order, each with at least one."""
        edges = [self.rows * part // parts for part in range(parts + 1)]
        return [self._rows(begin, end) for begin, end in itertools.pairwise(edges) if begin < end]

    def _rows(self, begin: int, end: int) -> "StepBatch":
        if (begin, end) == (0, self.rows):
            return self
        return StepBatch(
            real_BCHW=self.real_BCHW[begin:end],
            class_B=self.class_B[begin:end],
            mix_B=self.mix_B[begin:end],
            discriminator=self.discriminator.rows(begin, end),
            generator=self.generator.rows(begin, end),
        )


class Batches:
    """The steps' inputs, by step number."""

    def __init__(
        self, spec: TrainingSpec, images: RealImages, *, rank: int, world_size: int, device: torch.device
    ) -> None:
        batch = spec.train.batch_size
        if batch < world_size:
            raise ConfigError(
                f"train.batch_size={batch} leaves some of {world_size} workers without an image"
            )
        images.check(spec)
        self._spec, self._images, self._device = spec, images, device
        self._sampler = LabelSampler(images.class_index_N, len(spec.classes), spec.train.label_temperature)
        self._offset, end = (batch * one // world_size for one in (rank, rank + 1))
        self._rows = end - self._offset
        self.share = self._rows * world_size / batch
        """This rank's weight in the mean over ranks: 1 where slices are even."""
        noise_K = spec.train.embedding_noise * effective_number_weights(np.asarray(spec.counts))
        self._noise_K1 = noise_K[:, None].astype(np.float32) if noise_K.any() else None

    def step(self, step: int) -> StepBatch:
        """This rank's slice of step `step`, 0 ≤ step."""
        first = step * self._spec.train.batch_size + self._offset
        draws = self._sampler.draw(self._spec.seed, first, self._rows)
        return StepBatch(
            real_BCHW=self._real(draws.image_B, first),
            class_B=self._to_device(torch.from_numpy(draws.class_B)),
            mix_B=self._uniforms("train.interpolation", first, 1)[:, 0],
            discriminator=self._update_draws("discriminator", first, draws.class_B),
            generator=self._update_draws("generator", first, draws.class_B),
        )

    def _real(self, image_B: npt.NDArray[np.int64], first: int) -> Tensor:
        """Real images in [-1, 1], mirrored where asked for; NHWC in memory, which is channels-last."""
        train = self._spec.train
        pixels_BHWC = self._images.pixels_NHWC[image_B]
        flip_B2 = uniforms(self._spec.seed, stream_id("train.flips"), first, self._rows, 2) < 0.5
        if train.horizontal_flip:
            pixels_BHWC[flip_B2[:, 0]] = pixels_BHWC[flip_B2[:, 0], :, ::-1]
        if train.vertical_flip:
            pixels_BHWC[flip_B2[:, 1]] = pixels_BHWC[flip_B2[:, 1], ::-1]
        on_device = self._to_device(torch.from_numpy(pixels_BHWC))
        return on_device.permute(0, 3, 1, 2).float() / 127.5 - 1

    def _update_draws(self, player: str, first: int, class_B: npt.NDArray[np.int64]) -> UpdateDraws:
        twins = player == "generator" and self._spec.train.twins_weight > 0
        return UpdateDraws(
            z_BD=self._normals(f"train.latent.{player}", first, self._spec.model.latent_dim),
            embedding_noise_BE=self._noise(f"train.embedding-noise.{player}", first, class_B),
            twin_noise_BE=self._noise("train.embedding-noise.twin", first, class_B) if twins else None,
            augment_real_BK=self._uniforms(f"train.augment.{player}.real", first, UNIFORMS_PER_IMAGE),
            augment_fake_BK=self._uniforms(f"train.augment.{player}.fake", first, UNIFORMS_PER_IMAGE),
        )

    def _noise(self, stream: str, first: int, class_B: npt.NDArray[np.int64]) -> Tensor | None:
        """σ·λ_c·N(0, 1) of the sample's class c (Rangwani et al. 2023, eq. 5); None where it is off."""
        if self._noise_K1 is None or not self._spec.model.conditional:
            return None
        values = normals(
            self._spec.seed, stream_id(stream), first, self._rows, self._spec.model.embedding_dim
        )
        return self._to_device(torch.from_numpy(values * self._noise_K1[class_B]))

    def _to_device(self, tensor: Tensor) -> Tensor:
        """Through pinned memory to a GPU, so that neither side waits for the copy."""
        if self._device.type != "cuda":
            return tensor
        return tensor.pin_memory().to(self._device, non_blocking=True)

    def _normals(self, stream: str, first: int, width: int) -> Tensor:
        values = normals(self._spec.seed, stream_id(stream), first, self._rows, width)
        return self._to_device(torch.from_numpy(values))

    def _uniforms(self, stream: str, first: int, width: int) -> Tensor:
        """Uniforms as float32, cut to 24 bits: rounding to the nearest could give 1, which is outside."""
        values = uniforms(self._spec.seed, stream_id(stream), first, self._rows, width)
        values = np.floor(values * 2.0**24) * 2.0**-24
        return self._to_device(torch.from_numpy(values.astype(np.float32)))

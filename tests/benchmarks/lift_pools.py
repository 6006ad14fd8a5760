"""The samples that arms of suite `lift` mix in: by recipes from training images, and by a trained generator.

Each pool is made once and kept beside the trials, under a digest of what decided it. Gates and teachers are
fitted to training images alone.

Owns pools and their files. Knows neither arms nor trials.

N = images, B = candidates, K = classes.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from pathlib import Path

import numpy as np
import numpy.typing as npt
import torch

from augment.errors import ConfigError, GateError
from augment.gan.generator import GeneratorInfo, frozen_generator, read_info
from augment.lift.arms import Arm, Source
from augment.lift.images import LabelledImages
from augment.lift.mixture import filled_counts
from augment.quality.calibration import calibrate
from augment.quality.config import GatesConfig
from augment.quality.crossfit import Ensemble, assign_folds, fit_ensemble, unseen
from augment.recipes.config import ClassicConfig
from augment.recipes.contract import RealImages
from augment.recipes.making import RecipeInputs, classic_spec, open_recipe
from augment.types import ClassInfo, canonical_json, sha256_hex
from tests.benchmarks.lift_data import LiftSets

__all__ = ["Pools", "wanted_samples"]

SEED = 0  # of samples, gates and teachers
MOST_DRAWN = 4  # candidates for every sample that is wanted
BLOCK = 512  # candidates judged at a time

Announce = Callable[[str], None]


def wanted_samples(
    arms: Sequence[Arm], counts_K: npt.NDArray[np.int64]
) -> Mapping[Source, npt.NDArray[np.int64]]:
    """Samples of each class that a source must have for all these arms."""
    wanted: dict[Source, npt.NDArray[np.int64]] = {}
    for arm in arms:
        if arm.source is not None:
            before_K = wanted.get(arm.source, np.zeros_like(counts_K))
            wanted[arm.source] = np.maximum(before_K, filled_counts(arm, counts_K))
    return wanted


@dataclass(frozen=True)
class Pools:
    """Pools of one data set, kept in `folder`. `gates` and `generator` matter to generated samples alone."""

    sets: LiftSets
    folder: Path
    generator: Path | None
    gates: GatesConfig
    announce: Announce

    def pool(self, source: Source, wanted_K: npt.NDArray[np.int64], *, soft: bool) -> LabelledImages:
        """`wanted_K` samples a class, class after class; `soft`: with the teachers' probabilities.

        Raises ConfigError where a generator is needed and there is none, or it is of other images; GateError
        where too few candidates pass.
        """
        decided = [source, wanted_K.tolist(), soft, self.sets.training.sha256, SEED]
        if source.startswith("gan"):
            decided += [sha256_hex(self._generator_bytes(source)), self.gates.model_dump(mode="json")]
        path = self.folder / f"pool-{source}-{sha256_hex(canonical_json(decided))[:12]}.npz"
        if not path.is_file():
            self.announce(f"{self.sets.name}: {int(wanted_K.sum()):,} samples of {source}")
            made = self._made(source, wanted_K)
            _save(path, replace(made, soft_NK=self._teachers.of_samples(made)) if soft else made)
        return _loaded(path)

    def training(self) -> LabelledImages:
        """The training images with the teachers' probabilities, each by one that did not see it."""
        return replace(self.sets.training, soft_NK=self._teachers.of_training())

    def _made(self, source: Source, wanted_K: npt.NDArray[np.int64]) -> LabelledImages:
        if source == "gan":
            return self._accepted(wanted_K, lambda pixels_BHWC, class_index: np.ones(len(pixels_BHWC), bool))
        if source == "gan-gated":
            return self._gated(wanted_K)
        return self._by_recipe(source, wanted_K)

    def _by_recipe(self, source: Source, wanted_K: npt.NDArray[np.int64]) -> LabelledImages:
        classes = tuple(ClassInfo(label=k, name=name) for k, name in enumerate(self.sets.class_names))
        real = RealImages(self.sets.training.pixels_NHWC, self.sets.training.class_index_N, classes)
        pipeline = classic_spec(ClassicConfig(preset=self.sets.classic)) if source == "classic" else None
        recipe = open_recipe(source, RecipeInputs(images=real, seed=SEED, classic=pipeline))
        blocks = [
            recipe.make(k, np.arange(wanted), np.zeros(wanted, np.int64)).pixels_BHWC
            for k, wanted in enumerate(wanted_K.tolist())
            if wanted
        ]
        return LabelledImages(np.concatenate(blocks), np.repeat(np.arange(len(wanted_K)), wanted_K))

    def _gated(self, wanted_K: npt.NDArray[np.int64]) -> LabelledImages:
        training, flips = self.sets.training, self.sets.config
        keeper = calibrate(
            training.pixels_NHWC,
            training.class_index_N,
            len(wanted_K),
            self.gates,
            SEED,
            judged_classes=np.flatnonzero(wanted_K).tolist(),
            horizontal_flip=flips.horizontal_flip,
            vertical_flip=flips.vertical_flip,
        )

        def passed(pixels_BHWC: npt.NDArray[np.uint8], class_index: int) -> npt.NDArray[np.bool_]:
            return keeper.judge(pixels_BHWC, np.full(len(pixels_BHWC), class_index)).accepted_B

        return self._accepted(wanted_K, passed)

    def _accepted(
        self,
        wanted_K: npt.NDArray[np.int64],
        passed: Callable[[npt.NDArray[np.uint8], int], npt.NDArray[np.bool_]],
    ) -> LabelledImages:
        """Candidates by their index in the class until there are as many accepted as are wanted."""
        data = self._generator_bytes("gan")
        kept = []
        with frozen_generator(
            data, sha256=sha256_hex(data), device=torch.device("cpu"), batch_size=BLOCK
        ) as generator:
            theirs_K = _positions(self.sets.class_names, generator.info)
            for index, wanted in enumerate(wanted_K.tolist()):
                accepted, drawn = 0, 0
                while accepted < wanted:
                    if drawn >= MOST_DRAWN * wanted + BLOCK:
                        raise GateError(
                            f"class {self.sets.class_names[index]!r}: of {drawn} candidates {accepted} passed the "
                            f"gates, and {wanted} are wanted"
                        )
                    pixels_BHWC = generator(
                        SEED, np.full(BLOCK, theirs_K[index]), np.arange(drawn, drawn + BLOCK)
                    )
                    good_BHWC = pixels_BHWC[passed(pixels_BHWC, index)][: wanted - accepted]
                    kept.append(good_BHWC)
                    accepted, drawn = accepted + len(good_BHWC), drawn + BLOCK
                if wanted:
                    self.announce(f"  {self.sets.class_names[index]}: {accepted} of {drawn} candidates")
        return LabelledImages(np.concatenate(kept), np.repeat(np.arange(len(wanted_K)), wanted_K))

    def _generator_bytes(self, source: str) -> bytes:
        if self.generator is None:
            raise ConfigError(
                f"samples of {source} for {self.sets.name} need a generator: train one on its training images "
                "(suite gan leaves one of Fashion-MNIST-LT), and give its file as --generator or --cells-generator"
            )
        data = self.generator.read_bytes()
        counts_K = self.sets.training.counts(len(self.sets.class_names))
        info = read_info(data)
        theirs_K = _positions(self.sets.class_names, info)
        if len(info.counts) != len(counts_K) or (np.array(info.counts)[theirs_K] != counts_K).any():
            raise ConfigError(
                f"{self.generator} was trained on {info.counts} images a class, not on the {tuple(counts_K.tolist())} of "
                f"{self.sets.name}: it may have seen images that are held out"
            )
        return data

    @cached_property
    def _teachers(self) -> _Teachers:
        return _Teachers.of(self.sets, self.gates, self.announce)


@dataclass(frozen=True)
class _Teachers:
    """Classifiers of balanced classes, each fitted without a part of the training images."""

    ensemble: Ensemble
    fold_N: npt.NDArray[np.int64]
    training: LabelledImages

    @classmethod
    def of(cls, sets: LiftSets, config: GatesConfig, announce: Announce) -> _Teachers:
        announce(f"{sets.name}: {config.folds} teachers")
        training = sets.training
        fold_N = assign_folds(training.class_index_N, config.folds, SEED)
        ensemble = fit_ensemble(
            training.pixels_NHWC,
            training.class_index_N,
            len(sets.class_names),
            fold_N,
            config=config,
            seed=SEED,
            horizontal_flip=sets.config.horizontal_flip,
            vertical_flip=sets.config.vertical_flip,
        )
        return cls(ensemble, fold_N, training)

    def of_samples(self, images: LabelledImages) -> npt.NDArray[np.float32]:
        """The mean of all: none has seen a sample."""
        mean_NK = np.exp(self.ensemble.look(images.pixels_NHWC).log_probability_ENK).mean(0)
        return np.asarray(mean_NK, np.float32)

    def of_training(self) -> npt.NDArray[np.float32]:
        """By the one that did not see the image."""
        log_ENK = self.ensemble.look(self.training.pixels_NHWC).log_probability_ENK
        return np.exp(unseen(log_ENK, self.fold_N)).astype(np.float32)


def _positions(class_names: Sequence[str], info: GeneratorInfo) -> npt.NDArray[np.int64]:
    """Where a generator has each of these classes: by name where it has these names, otherwise in their order.

    `augment train` on folders has classes in alphabetical order; suite gan's folders are numbered.
    """
    theirs = [known.name for known in info.classes]
    if sorted(theirs) == sorted(class_names):
        return np.array([theirs.index(name) for name in class_names])
    return np.arange(len(class_names))


def _save(path: Path, images: LabelledImages) -> None:
    """Whole or not at all."""
    path.parent.mkdir(parents=True, exist_ok=True)
    arrays = {"pixels_NHWC": images.pixels_NHWC, "class_index_N": images.class_index_N}
    if images.soft_NK is not None:
        arrays["soft_NK"] = images.soft_NK
    unfinished = path.with_suffix(".part")
    with unfinished.open("wb") as file:
        np.savez_compressed(file, **arrays)
    unfinished.replace(path)


def _loaded(path: Path) -> LabelledImages:
    with np.load(path) as arrays:
        soft_NK = arrays.get("soft_NK")
        return LabelledImages(arrays["pixels_NHWC"], arrays["class_index_N"], soft_NK)

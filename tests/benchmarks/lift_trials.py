"""The trials of suite `lift` on one data set: each run once as a Ray task, kept as a file, then found again.

    lift/<arm>-s<seed>-<digest>.npz     record (JSON), probabilities of validation and test images
    lift/pool-<source>-<digest>.npz     samples
    lift/_lift/usage/<test>/            what the test images were asked so far (pipelines.lift_store)

The digest is of the arm, the common config, the seed, the images and the samples that the arm draws; not of our
code: delete a file to have it anew.

Owns these files. Knows neither tables nor what a score means.

N = images, K = classes.
"""

from __future__ import annotations

import io
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import numpy.typing as npt

from augment.config import RayConfig
from augment.lift.arms import Arm, Source
from augment.lift.images import LabelledImages, LiftData
from augment.lift.mixture import mixture_of
from augment.lift.trial import Trial, TrialRecord
from augment.types import canonical_json, sha256_hex
from tests.benchmarks.lift_data import LiftSets
from tests.benchmarks.lift_pools import Pools, wanted_samples

__all__ = ["FoundTrial", "Trials"]


@dataclass(frozen=True, slots=True)
class FoundTrial:
    """A finished trial, by its file's name."""

    name: str
    arm: Arm
    seed: int
    record: TrialRecord
    validation_NK: npt.NDArray[np.float32]
    test_NK: npt.NDArray[np.float32]


@dataclass(frozen=True)
class Trials:
    """Trials of one data set in `folder`."""

    sets: LiftSets
    pools: Pools
    folder: Path
    announce: Callable[[str], None]

    def all(self, arms: Sequence[Arm], seeds: Sequence[int]) -> list[FoundTrial]:
        """Every (arm, seed), arm by arm; what is missing is run now, side by side."""
        self.folder.mkdir(parents=True, exist_ok=True)
        data = self._data(arms)
        paths = {(arm, seed): self._path(arm, seed, data) for arm in arms for seed in seeds}
        missing = [pair for pair, path in paths.items() if not path.is_file()]
        if missing:
            self.announce(f"{self.sets.name}: {len(missing)} of {len(paths)} trials to run")
            self._run(missing, data, paths)
        return [_read(path, arm, seed) for (arm, seed), path in paths.items()]

    def _run(
        self, missing: Sequence[tuple[Arm, int]], data: LiftData, paths: Mapping[tuple[Arm, int], Path]
    ) -> None:
        from pipelines.cluster import ray_cluster
        from pipelines.lift import run_trials
        from pipelines.progress import Progress

        # One by one in seed order, so that a first look at all arms comes early.
        by_seed = sorted(missing, key=lambda pair: pair[1])
        with ray_cluster(RayConfig(address="local")):
            for trial in run_trials(by_seed, data, self.sets.config, Progress("log")):
                _write(paths[trial.record.arm, trial.record.seed], trial)

    def _data(self, arms: Sequence[Arm]) -> LiftData:
        wanted = wanted_samples(arms, self.sets.training.counts(len(self.sets.class_names)))
        pools: dict[Source, LabelledImages] = {}
        for source, wanted_K in wanted.items():
            soft = any(arm.soft_synthetic and arm.source == source for arm in arms)
            pools[source] = self.pools.pool(source, wanted_K, soft=soft)
        training = self.pools.training() if any(arm.soft_real for arm in arms) else self.sets.training
        return LiftData(self.sets.class_names, training, self.sets.validation, self.sets.test, pools)

    def _path(self, arm: Arm, seed: int, data: LiftData) -> Path:
        images = [part.sha256 for part in (data.training, data.validation, data.test)]
        drawn = _drawn(arm, data).sha256 if arm.source else ""
        decided = [arm.digest, self.sets.config.model_dump(mode="json"), seed, *images, drawn]
        return self.folder / f"{arm.name}-s{seed}-{sha256_hex(canonical_json(decided))[:12]}.npz"


def _drawn(arm: Arm, data: LiftData) -> LabelledImages:
    """The samples that the arm draws from: its pool may hold more, for another arm."""
    assert arm.source is not None
    index_M = mixture_of(arm, data, steps=1).pool_index
    pool = data.pools[arm.source]
    return LabelledImages(pool.pixels_NHWC[index_M], pool.class_index_N[index_M])


def _write(path: Path, trial: Trial) -> None:
    """Whole or not at all: a benchmark of hours is interrupted at some time."""
    data = io.BytesIO()
    record = np.frombuffer(trial.record.to_json(), np.uint8)
    np.savez_compressed(data, record=record, validation_NK=trial.validation_NK, test_NK=trial.test_NK)
    unfinished = path.with_suffix(".part")
    unfinished.write_bytes(data.getvalue())
    unfinished.replace(path)


def _read(path: Path, arm: Arm, seed: int) -> FoundTrial:
    with np.load(path) as arrays:
        record = TrialRecord.model_validate_json(arrays["record"].tobytes())
        return FoundTrial(path.stem, arm, seed, record, arrays["validation_NK"], arrays["test_NK"])

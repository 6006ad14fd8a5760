"""A small plan of all recipes, and a generator and gates whose every answer is known beforehand.

The generator writes into a candidate's first pixels what it is of, so that gates made by hand can refuse by
(class, sample, attempt), and a test can read off which candidate was taken. Pictures that look alike have the same
number in their sixth pixel.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import numpy as np
import numpy.typing as npt

from augment.quality.gates import GATES, Verdicts
from augment.recipes.contract import RealImages
from augment.sampling.candidates import Candidates, Real
from augment.store.commit import make_run_plan
from augment.types import (
    AugmentPlan,
    ClassInfo,
    ClassTarget,
    GatesPin,
    ImageShape,
    RecipeName,
    RecipeSpecs,
    RunPlan,
    ShortfallPolicy,
)

SIZE = 4  # pixels a side: room for what a candidate says of itself

Pixels = npt.NDArray[np.uint8]
Indices = npt.NDArray[np.int64]


class Asked(NamedTuple):
    """Which candidate: of a class, for a sample, at an attempt."""

    class_index: int
    sample_index: int
    attempt: int


Alike = Callable[[Asked], int]
"""A number 0 … 255 for each candidate; two with the same number look alike."""

Refusals = Callable[[Asked], "str | None"]
"""The gate that refuses a candidate; None: it passes."""


def unlike(asked: Asked) -> int:
    """No two samples of a class look alike, as long as there are fewer than 32 and 8 attempts."""
    return (asked.sample_index % 32) * 8 + asked.attempt % 8


def plan_of(
    *wanted: tuple[RecipeName, int], size: int = SIZE, real: int = 6, shard_rows: int = 1_000, seed: int = 3
) -> AugmentPlan:
    """A class for each recipe and number of samples; indices begin at 0, 10, 20, …: labels are no class indices."""
    classes = tuple(
        ClassTarget(
            label=5 + index,
            name=f"class {index}",
            real=real,
            target=real + count,
            first=10 * index,
            recipe=recipe,
        )
        for index, (recipe, count) in enumerate(wanted)
    )
    image = ImageShape(size=size, channels=1)
    return AugmentPlan(seed=seed, image=image, classes=classes, shard_rows=shard_rows, batch_size=8)


def run_of(
    plan: AugmentPlan,
    *,
    max_attempts: int | None = None,
    on_shortfall: ShortfallPolicy = "partial",
    recipes: RecipeSpecs | None = None,
) -> RunPlan:
    """A run of this plan; with gates where `max_attempts` is given."""
    gates = None
    if max_attempts is not None:
        gates = GatesPin(sha256="0" * 64, max_attempts=max_attempts, on_shortfall=on_shortfall)
    return make_run_plan(
        plan,
        generator_sha256="ab" * 32,
        image_format="png",
        augmentation=None,
        versions={},
        recipes=recipes,
        gates=gates,
        source_sha256="cd" * 32,
    )


@dataclass
class TalkingGenerator:
    """Stands for a trained generator: a candidate says which one it is, and what it looks like."""

    alike: Alike = unlike
    size: int = SIZE
    drawn: list[Asked] = field(default_factory=list)

    def check(self, plan: AugmentPlan) -> None:
        """Any plan is right."""

    def __call__(
        self, seed: int, class_index_B: Indices, sample_index_B: Indices, attempt_B: Indices
    ) -> Pixels:
        pixels_BHWC = np.zeros((len(class_index_B), self.size, self.size, 1), np.uint8)
        rows = zip(class_index_B.tolist(), sample_index_B.tolist(), attempt_B.tolist(), strict=True)
        for pixels_HWC, row in zip(pixels_BHWC, rows, strict=True):
            asked = Asked(*row)
            self.drawn.append(asked)
            pixels_HWC.reshape(-1)[:6] = _said(asked, self.alike)
        return pixels_BHWC


def _said(asked: Asked, alike: Alike) -> list[int]:
    return [asked.class_index, *divmod(asked.sample_index, 256), *divmod(asked.attempt, 256), alike(asked)]


def asked_of(pixels_HWC: Pixels) -> Asked:
    """Which candidate of a TalkingGenerator this is."""
    class_index, high, low, attempt_high, attempt_low = pixels_HWC.reshape(-1)[:5].tolist()
    return Asked(class_index, 256 * high + low, 256 * attempt_high + attempt_low)


@dataclass
class GivenGates:
    """Stands for a gate keeper: refuses the candidates of a TalkingGenerator as it is told."""

    refusals: Refusals
    uses_discriminator: bool = False
    gates_asked: list[tuple[int, tuple[str, ...]]] = field(default_factory=list)  # class index, gates
    scores_given: list[Any] = field(default_factory=list)

    def judge(
        self,
        pixels_BHWC: Pixels,
        class_index_B: Indices,
        *,
        discriminator_B: npt.NDArray[np.floating] | None = None,
        gates: Collection[str] = GATES,
    ) -> Verdicts:
        self.gates_asked += [(class_index, tuple(gates)) for class_index in class_index_B.tolist()]
        self.scores_given.append(discriminator_B)
        names = [self.refusals(asked_of(pixels_HWC)) for pixels_HWC in pixels_BHWC]
        refused_by_B = np.array([-1 if name is None else GATES.index(name) for name in names], np.int64)
        scores_BG = np.zeros((len(names), len(GATES)), np.float32)
        scores_BG[:] = [[asked_of(pixels_HWC).attempt + 0.5] for pixels_HWC in pixels_BHWC]
        features_EBF = np.zeros((1, len(names), 1), np.float32)
        return Verdicts(refused_by_B, scores_BG, np.full(len(names), -1, np.int64), features_EBF)

    def repeats(self, class_index: int) -> LooksAlike:
        return LooksAlike()


@dataclass
class LooksAlike:
    """Stands for the memory of what was kept: pictures with the same number look alike."""

    seen: set[int] = field(default_factory=set)

    def refuse(self, pixels_BHWC: Pixels, features_EBF: npt.NDArray[np.float32]) -> npt.NDArray[np.bool_]:
        assert features_EBF.shape[1] == len(pixels_BHWC)
        repeats = []
        for look in pixels_BHWC.reshape(len(pixels_BHWC), -1)[:, 5].tolist():
            repeats.append(look in self.seen)
            self.seen.add(look)
        return np.array(repeats, bool)


def real_of(plan: AugmentPlan, features: int | None = None) -> Real:
    """Random real images of a plan's classes, in no order, each with a name that says where it lies."""
    random = np.random.default_rng(5)
    class_index_N = random.permutation(
        np.repeat(np.arange(len(plan.classes)), [each.real for each in plan.classes])
    )
    shape = (len(class_index_N), plan.image.size, plan.image.size, plan.image.channels)
    pixels_NHWC = random.integers(0, 256, shape).astype(np.uint8)
    names_N = [f"{plan.classes[index].name}/{row}.png" for row, index in enumerate(class_index_N.tolist())]
    classes = tuple(ClassInfo(label=each.label, name=each.name) for each in plan.classes)
    features_NF = None if features is None else random.normal(size=(len(class_index_N), features))
    return Real(RealImages(pixels_NHWC, class_index_N, classes), names_N, features_NF)


def candidates_of(run: RunPlan, generator: Any = None, real: Real | None = None) -> Candidates:
    """The candidates of a run by a stand-in generator, and by random real images unless others are given."""
    return Candidates(run, generator or TalkingGenerator(), real or real_of(run.plan))

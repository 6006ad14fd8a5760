"""`recipe: auto`: the recommendation of `augment lift` as it is stored, what it rests on, and who may follow it.

    _lift/recommendation.json      the newest one of the dataset

Owns that record and its refusals: a recommendation is about one model's samples, made and judged in one way, and one
source's images, and says nothing of others. Imports no torch: `augment plan` follows it too.
"""

from typing import Any

from augment.errors import ConfigError
from augment.lift.arms import Arm
from augment.lift.recommendation import Recommendation
from augment.objects import ObjectStore
from augment.planning.config import BalanceConfig
from augment.quality.config import GatesConfig
from augment.recipes.config import ClassicConfig, SmoteConfig
from augment.stored_record import stored_record
from augment.types import (
    ClassCounts,
    ClassInfo,
    RecipeName,
    Record,
    ShortfallPolicy,
    canonical_json,
    sha256_hex,
)

__all__ = ["Advice", "Basis", "Making", "Now", "making_of", "put_advice", "stored_advice"]

_KEY = "_lift/recommendation.json"
_AGAIN = "run `augment lift` again"


class Making(Record):
    """What decides samples beside the images, the model and the gates; by the names of the config's fields."""

    seed: int
    augmentation_sha256: str | None  # of output.augmentation
    max_attempts: int  # of gates
    classic_sha256: str | None = None  # None, and no smote: recorded before recipes were followed
    smote: SmoteConfig | None = None


def making_of(
    seed: int,
    augmentation: str | dict[str, Any] | None,
    max_attempts: int,
    classic: ClassicConfig | None = None,
    smote: SmoteConfig | None = None,
) -> Making:
    """Of `seed`, `output.augmentation`, `gates.max_attempts`, `classic` and `smote`; the last two as they are by default."""
    digest = None if augmentation is None else sha256_hex(canonical_json(augmentation))
    changes = (classic or ClassicConfig()).model_dump(mode="json")
    return Making(
        seed=seed,
        augmentation_sha256=digest,
        max_attempts=max_attempts,
        classic_sha256=sha256_hex(canonical_json(changes)),
        smote=smote or SmoteConfig(),
    )


class Basis(Record):
    """What a recommendation rests on; `counts` are of decoded training images, `labelled` by their labels alone."""

    name: str  # of the model
    classes: tuple[ClassInfo, ...]
    counts: tuple[int, ...]
    labelled: tuple[int, ...]
    data_sha256: str
    model_sha256: str
    gates: GatesConfig | None  # of the gated samples; None where there were none
    making: Making | None = None  # None: recorded before it was kept


class Now(Record):
    """The same of the job that would follow it, as far as it is known by now."""

    name: str
    counts: ClassCounts
    data_sha256: str | None
    model_sha256: str | None
    gates: GatesConfig | None
    making: Making
    on_shortfall: ShortfallPolicy
    balance: BalanceConfig


class Advice(Record):
    """The recommendation with its basis; `arm` is the one to train the classifier by."""

    question: str
    basis: Basis
    arm: Arm
    recommendation: Recommendation

    def recipes(self) -> dict[str, RecipeName]:
        """By class name, as `augment.recipes.choosing.choose_recipes` takes them."""
        return {one.name: one.recipe for one in self.recommendation.classes}

    def totals(self, counts: ClassCounts) -> dict[str, int]:
        """By class name, the images that it should end with: real ones, and the recommended samples."""
        samples = {one.name: one.samples for one in self.recommendation.classes}
        rows = zip(counts.classes, counts.counts, strict=True)
        return {info.name: real + samples[info.name] for info, real in rows}

    def refuse_other(self, now: Now) -> None:
        """ConfigError where the job is not one that this recommendation is about, saying what differs."""
        if reason := self._difference(now):
            raise ConfigError(f"recipe: auto follows a recommendation, and {reason}")

    def _difference(self, now: Now) -> str | None:
        there, name = self.basis, now.name
        if now.model_sha256 is None:
            return f"there is no finished model {name!r} here: run `augment train`, then `augment lift`"
        if now.model_sha256 != there.model_sha256:
            return (
                f"the one here was made for another model ({there.name!r}, {there.model_sha256[:12]}…, not {name!r}, "
                f"{now.model_sha256[:12]}…); {_AGAIN}"
            )
        counted = now.counts.counts in (there.counts, there.labelled)
        if now.counts.classes != there.classes or not counted or now.data_sha256 != there.data_sha256:
            return f"the one here was made for other training images than the source holds now; {_AGAIN}"
        if not self.recommendation.makes_samples:
            return None  # nothing is made that could differ
        return self._gates_differ(now) or self._making_differs(now) or self._fewer_are_made(now)

    def _gates_differ(self, now: Now) -> str | None:
        source, name = self.arm.source, self.arm.name
        if source == "gan-gated" and now.gates != self.basis.gates:
            return f"the one here was made with other gates than these; set `gates` as they were, or {_AGAIN}"
        if source == "smote" and now.making.smote is not None and now.making.smote.space == "features":
            return (
                f"{name} has samples between neighbours in the gates' features that no gate judged, and a run cannot "
                f"make such; set smote.space=pixels, and {_AGAIN}"
            )
        if source in ("gan", "classic", "smote") and now.gates is not None:
            return f"{name} has samples that no gate judged; set gates.enabled=false to make such"
        return None

    def _making_differs(self, now: Now) -> str | None:
        there, here, source = self.basis.making, now.making, self.arm.source
        if there is None or (self.arm.is_control and there.smote is None):
            return f"the one here does not say how its samples were made; {_AGAIN}"
        if here.seed != there.seed:
            return f"the one here was made with seed={there.seed}, not {here.seed}; set it so, or {_AGAIN}"
        if source == "classic" and here.classic_sha256 != there.classic_sha256:
            return f"the one here was made with another `classic`; set it as it was, or {_AGAIN}"
        if source == "smote" and here.smote != there.smote:
            return f"the one here was made with another `smote`; set it as it was, or {_AGAIN}"
        return None if self.arm.is_control else self._generating_differs(now, there)

    def _generating_differs(self, now: Now, there: Making) -> str | None:
        here, gated = now.making, self.arm.source == "gan-gated"
        if here.augmentation_sha256 != there.augmentation_sha256:
            was = "another" if there.augmentation_sha256 else "no"
            return f"the one here was made with {was} output.augmentation; set it as it was, or {_AGAIN}"
        if gated and here.max_attempts != there.max_attempts:
            was = f"gates.max_attempts={there.max_attempts}"
            return f"the one here was made with {was}, not {here.max_attempts}; set it so, or {_AGAIN}"
        if gated and now.on_shortfall != "partial":
            return (
                f"the one here knows no samples of gates.on_shortfall={now.on_shortfall}: those that no candidate "
                "passed for were left out; set it to partial"
            )
        return None

    def _fewer_are_made(self, now: Now) -> str | None:
        """Whether the balance's limits cut what was recommended. Those that cut nothing do no harm."""
        limits, samples = now.balance, {one.name: one.samples for one in self.recommendation.classes}
        for info, real in zip(now.counts.classes, now.counts.counts, strict=True):
            wanted = samples[info.name]
            if limits.max_per_class is not None and wanted > limits.max_per_class:
                field = f"balance.max_per_class={limits.max_per_class}"
            elif wanted and limits.below_min_real == "skip" and real < limits.min_real:
                field = f"balance.min_real={limits.min_real} with below_min_real=skip"
            else:
                continue
            return (
                f"the one here has {wanted:,} samples of class {info.name!r}, and {field} allows fewer; "
                "change that, or fill classes by another recipe"
            )
        total = sum(samples.values())
        if limits.max_total is not None and total > limits.max_total:
            return (
                f"the one here has {total:,} samples, and balance.max_total={limits.max_total} allows fewer; "
                "change that, or fill classes by another recipe"
            )
        return None


def put_advice(store: ObjectStore, advice: Advice) -> None:
    """Store it, in the place of the one before."""
    store.put(_KEY, advice.to_json())


def stored_advice(store: ObjectStore) -> Advice:
    """The dataset's newest recommendation.

    Raises ConfigError where there is none, IntegrityError where it is damaged.
    """
    advice = stored_record(Advice, store, _KEY, called="recommendation")
    if advice is None:
        raise ConfigError(
            f"recipe: auto follows a recommendation, and there is none at {store.uri}; run `augment train` and "
            "`augment lift` with this config first"
        )
    return advice

"""`recipe: auto`: the recommendation of `augment lift` as it is stored, what it rests on, and who may follow it.

    _lift/recommendation.json      the newest one of the dataset

Owns that record and its refusals: a recommendation is about one model's samples, one source's images and one set of
gates, and says nothing of others. Imports no torch: `augment plan` follows it too.
"""

from pydantic import ValidationError

from augment.errors import ConfigError, IntegrityError
from augment.lift.arms import Arm
from augment.lift.recommendation import Recommendation
from augment.objects import ObjectNotFoundError, ObjectStore
from augment.quality.config import GatesConfig
from augment.types import ClassCounts, ClassInfo, RecipeName, Record

__all__ = ["Advice", "Basis", "Now", "put_advice", "stored_advice"]

_KEY = "_lift/recommendation.json"
_AGAIN = "run `augment lift` again"


class Basis(Record):
    """What a recommendation rests on; `counts` are of decoded training images, `labelled` by their labels alone."""

    name: str  # of the model
    classes: tuple[ClassInfo, ...]
    counts: tuple[int, ...]
    labelled: tuple[int, ...]
    data_sha256: str
    model_sha256: str
    gates: GatesConfig | None  # of the gated samples; None where there were none


class Now(Record):
    """The same of the job that would follow it, as far as it is known by now."""

    name: str
    counts: ClassCounts
    data_sha256: str | None
    model_sha256: str | None
    gates: GatesConfig | None


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
        return self._gates_differ(now)

    def _gates_differ(self, now: Now) -> str | None:
        if not self.recommendation.augment:
            return None  # nothing is made that gates could judge
        if self.arm.source == "gan-gated" and now.gates != self.basis.gates:
            return f"the one here was made with other gates than these; set `gates` as they were, or {_AGAIN}"
        if self.arm.source == "gan" and now.gates is not None:
            return f"{self.arm.name} has samples that no gate judged; set gates.enabled=false to make such"
        return None


def put_advice(store: ObjectStore, advice: Advice) -> None:
    """Store it, in the place of the one before."""
    store.put(_KEY, advice.to_json())


def stored_advice(store: ObjectStore) -> Advice:
    """The dataset's newest recommendation.

    Raises ConfigError where there is none, IntegrityError where it is damaged.
    """
    try:
        data = store.get(_KEY)
    except ObjectNotFoundError as error:
        raise ConfigError(
            f"recipe: auto follows a recommendation, and there is none at {store.uri}; run `augment train` and "
            "`augment lift` with this config first"
        ) from error
    try:
        return Advice.model_validate_json(data)
    except ValidationError as error:
        raise IntegrityError(f"{store.uri_of(_KEY)} is not a valid recommendation: {error}") from error

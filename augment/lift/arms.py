"""The arms of `augment lift`: what a classifier is trained on, and how, as data.

Owns the arm and the table of named ones. A control uses real images alone, whatever is made of them by copying,
classic augmentation or interpolation; each way of mixing that a generated arm uses is tried on a control too, so
that what it gains is not the mixing's. Knows neither images nor torch. To add an arm, add an entry of `ARMS`.
"""

import difflib
from collections.abc import Iterable, Mapping, Sequence
from types import MappingProxyType
from typing import Any, Literal

from pydantic import Field, model_validator
from typing_extensions import Self

from augment.errors import ConfigError
from augment.types import Record, canonical_json, sha256_hex

__all__ = ["ARMS", "Arm", "Source", "arms_named", "only_classes"]

Source = Literal["duplicate", "classic", "smote", "gan", "gan-gated"]
_GENERATED: frozenset[Source] = frozenset({"gan", "gan-gated"})
_OF_SAMPLES = frozenset({"share", "replaced", "own_norm", "rarest", "classes", "soft_synthetic"})


class Arm(Record):
    """One way to train; the defaults are plain cross-entropy on the real rows as they are.

    Every arm takes the same number of steps and of images a step, and the same base augmentation.
    """

    name: str
    source: Source | None = None  # of the samples beside the real rows; None is none
    fill: float = Field(default=1.0, gt=0, le=1)  # share of a class's gap to the largest class that is filled
    rarest: int | None = Field(default=None, ge=1)  # fill only this many classes, those with fewest real rows
    classes: tuple[int, ...] | None = None  # fill only these class indices
    sampling: Literal["rows", "classes"] = "rows"  # every row alike, or every class alike (oversampling)
    share: float | None = Field(default=None, gt=0, lt=1)  # of samples in a batch; None is as rows have it
    replaced: float | None = Field(default=None, gt=0, lt=1)  # of a class's draws, where it has samples
    weight: float = Field(default=1.0, gt=0, le=1)  # of a sample in the loss, where a real row has 1
    loss: Literal["cross_entropy", "balanced_softmax"] = "cross_entropy"
    prior: Literal["drawn", "real"] = (
        "drawn"  # of balanced softmax: of what is drawn and weighed, or real counts
    )
    real_from: float = Field(default=1.0, ge=0, le=1)  # share of the steps after which rows are real alone
    refit_from: float = Field(
        default=1.0, gt=0, le=1
    )  # … after which only a new last layer is trained, on real rows
    own_norm: bool = False  # samples have batch-norm statistics and gains of their own, unused in prediction
    blend: Literal["none", "mixup", "cutmix", "remix"] = (
        "none"  # of rows of a batch, real ones with samples first
    )
    soft_real: float = Field(default=0.0, ge=0, le=1)  # weight of the teachers' labels in a real row's loss
    soft_synthetic: float = Field(default=0.0, ge=0, le=1)  # … and in a sample's

    @model_validator(mode="after")
    def _fits(self) -> Self:
        if self.source is None:
            idle = _OF_SAMPLES & self._set_fields()
            if idle or self.weight != 1 or self.real_from != 1:
                raise ValueError(f"arm {self.name}: without a source there are no samples to mix in")
        if self.share is not None and self.replaced is not None:
            raise ValueError(
                f"arm {self.name}: `share` is of the batch and `replaced` of each class; give one"
            )
        if self.own_norm and self.blend != "none":
            raise ValueError(f"arm {self.name}: blended images belong to neither kind of statistics")
        if self.blend != "none" and (self.soft_real or self.soft_synthetic):
            raise ValueError(f"arm {self.name}: the teachers have seen no blended images")
        return self

    def _set_fields(self) -> set[str]:
        """Fields that differ from their defaults."""
        return {
            name for name, field in type(self).model_fields.items() if getattr(self, name) != field.default
        }

    @property
    def is_control(self) -> bool:
        """Whether no generator has a part in it."""
        return self.source not in _GENERATED

    @property
    def needs_teachers(self) -> bool:
        """Whether it learns soft labels."""
        return self.soft_real > 0 or self.soft_synthetic > 0

    @property
    def digest(self) -> str:
        """Of everything but the name: 12 hex digits."""
        return sha256_hex(canonical_json(self.model_dump(mode="json", exclude={"name"})))[:12]


_BALANCED: Mapping[str, Any] = {"loss": "balanced_softmax"}
_TAIL: Mapping[str, Any] = {**_BALANCED, "source": "gan-gated", "rarest": 5, "share": 0.2, "weight": 0.5}
# Each class is drawn as often as in oversampling, so that no other class pays for the samples of the rare ones.
_EVEN: Mapping[str, Any] = {"source": "gan-gated", "sampling": "classes", "rarest": 5, "replaced": 0.5}


def _table(rows: Iterable[tuple[str, Mapping[str, Any]]]) -> Mapping[str, Arm]:
    return MappingProxyType({name: Arm(name=name, **fields) for name, fields in rows})


ARMS = _table(
    [
        # Controls: real images, and what can be had of them without a generator.
        ("real", {}),
        ("balanced-softmax", _BALANCED),
        ("oversampling", {"sampling": "classes"}),
        ("duplicates", {"source": "duplicate"}),
        ("classic", {"source": "classic"}),
        ("smote", {"source": "smote"}),
        # … with each way of mixing that a generated arm has below.
        ("real-crt", {"refit_from": 0.8}),
        ("balanced-softmax-mixup", {**_BALANCED, "blend": "mixup"}),
        ("balanced-softmax-cutmix", {**_BALANCED, "blend": "cutmix"}),
        ("balanced-softmax-remix", {**_BALANCED, "blend": "remix"}),
        ("balanced-softmax-soft", {**_BALANCED, "soft_real": 0.5}),
        ("duplicates-tail", {**_TAIL, "source": "duplicate"}),
        ("classic-tail", {**_TAIL, "source": "classic"}),
        ("classic-even", {**_EVEN, "source": "classic"}),
        # Generated samples as most people add them: the counts filled up.
        ("gan", {"source": "gan"}),
        ("gan-0.5", {"source": "gan", "fill": 0.5}),
        ("gan-0.25", {"source": "gan", "fill": 0.25}),
        ("gan-gated", {"source": "gan-gated"}),
        ("gan-balanced-softmax", {**_BALANCED, "source": "gan"}),
        ("gan-half", {"source": "gan", "sampling": "classes", "share": 0.5}),
        # A smaller weight in the loss; balanced softmax takes what weight is missing for a rarer class.
        ("gan-weight-0.5", {**_BALANCED, "source": "gan-gated", "weight": 0.5}),
        ("gan-weight-0.2", {**_BALANCED, "source": "gan-gated", "weight": 0.2}),
        # On top of balanced softmax, in the tail only.
        ("gan-tail", _TAIL),
        ("gan-tail-ungated", {**_TAIL, "source": "gan"}),
        ("gan-tail-real-prior", {**_TAIL, "prior": "real"}),
        # On top of oversampling: samples instead of half of a rare class's repeats.
        ("gan-even", _EVEN),
        ("gan-even-own-norm", {**_EVEN, "own_norm": True}),
        (
            "gan-even-curriculum",
            {**_BALANCED, "source": "gan-gated", "sampling": "classes", "share": 0.5, "real_from": 0.6},
        ),
        # Learn from the mixture, finish on real images.
        ("gan-curriculum", {**_BALANCED, "source": "gan-gated", "share": 0.4, "real_from": 0.6}),
        ("gan-crt", {"source": "gan-gated", "share": 0.4, "refit_from": 0.8}),
        ("gan-own-norm", {**_BALANCED, "source": "gan-gated", "share": 0.3, "own_norm": True}),
        # Between real and generated images.
        ("gan-mixup", {**_TAIL, "share": 0.3, "weight": 1.0, "blend": "mixup"}),
        ("gan-cutmix", {**_TAIL, "share": 0.3, "weight": 1.0, "blend": "cutmix"}),
        ("gan-remix", {**_TAIL, "share": 0.3, "weight": 1.0, "blend": "remix"}),
        # Samples carry what the gates' classifiers see in them, instead of the class that was asked for.
        ("gan-soft", {**_BALANCED, "source": "gan", "share": 0.4, "soft_synthetic": 1.0}),
        (
            "gan-soft-both",
            {**_BALANCED, "source": "gan", "share": 0.4, "soft_synthetic": 1.0, "soft_real": 0.5},
        ),
    ]
)
"""The named arms, controls first."""


def arms_named(names: Sequence[str]) -> tuple[Arm, ...]:
    """Those arms in the table's order; all where none is named. ConfigError for a name that isn't there."""
    for name in names:
        if name not in ARMS:
            near = difflib.get_close_matches(name, ARMS, n=1)
            raise ConfigError(
                f"there is no arm {name!r}; "
                + (f"did you mean {near[0]!r}?" if near else f"there are {', '.join(ARMS)}")
            )
    return tuple(arm for name, arm in ARMS.items() if not names or name in names)


def only_classes(arm: Arm, classes: Iterable[int]) -> Arm:
    """`arm` that fills these class indices alone: what is left of it where some classes are better without.

    Raises ConfigError for an arm without samples, or for no class at all.
    """
    chosen = tuple(sorted(set(classes)))
    if arm.source is None or not chosen:
        raise ConfigError(
            f"arm {arm.name} cannot be had for the classes {list(chosen)} alone: it has no samples there"
        )
    digest = sha256_hex(canonical_json(list(chosen)))[:6]
    name = arm.name.partition("@")[0]
    return arm.model_copy(update={"name": f"{name}@{digest}", "classes": chosen, "rarest": None})

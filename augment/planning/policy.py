"""How many samples each class should end with: counts and a strategy in, targets out.

Owns the balancing strategies, in the vocabulary of imbalanced-learn (Lemaître et al. 2017,
`sampling_strategy` for over-sampling), and the limits on them. Pure and deterministic; ties go to the lower
label, as there. Knows nothing of shards, images or networks.

To add a strategy: write a function and an entry of STRATEGIES, and name it in `BalanceConfig.strategy`.
"""

import difflib
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from fractions import Fraction

from augment.errors import ConfigError, InputError
from augment.planning.config import BalanceConfig
from augment.types import ClassCounts, ClassInfo, ClassTarget, ExistingRows, RecipeName

__all__ = ["STRATEGIES", "Strategy", "targets", "topped_up"]


@dataclass(frozen=True)
class _Class:
    """A class on its way to a target; `wanted` is the total that it should end with."""

    info: ClassInfo
    real: int
    wanted: int = 0
    recipe: RecipeName = "gan"
    notes: tuple[str, ...] = ()

    @property
    def synthetic(self) -> int:
        return max(0, self.wanted - self.real)

    def but(self, synthetic: int, note: str) -> "_Class":
        return replace(self, wanted=self.real + synthetic, notes=(*self.notes, note))


Strategy = Callable[[Sequence[_Class]], Sequence[_Class]]
"""The classes (ordered by label) to be filled up, out of all classes."""


def _all(classes: Sequence[_Class]) -> Sequence[_Class]:
    """Every class; at ratio 1 the largest needs nothing."""
    return classes


def _not_majority(classes: Sequence[_Class]) -> Sequence[_Class]:
    """Every class but the largest."""
    majority = max(classes, key=lambda each: each.real)
    return [each for each in classes if each is not majority]


def _not_minority(classes: Sequence[_Class]) -> Sequence[_Class]:
    """Every class but the smallest."""
    minority = _smallest(classes)
    return [each for each in classes if each is not minority]


def _minority(classes: Sequence[_Class]) -> Sequence[_Class]:
    """The single smallest class."""
    return [_smallest(classes)]


def _smallest(classes: Sequence[_Class]) -> _Class:
    # imbalanced-learn sees only classes that occur; one without images can't be the minority either.
    return min((each for each in classes if each.real), key=lambda each: each.real)


STRATEGIES: dict[str, Strategy] = {
    "auto": _not_majority,
    "minority": _minority,
    "not minority": _not_minority,
    "not majority": _not_majority,
    "all": _all,
}


def targets(
    counts: ClassCounts, config: BalanceConfig, recipes: Sequence[RecipeName] | None = None
) -> tuple[ClassTarget, ...]:
    """The target of every class, in the order of `counts`, made by its recipe (None: all `gan`); none ever shrinks.

    In this order: the strategy (up to `ratio` of the largest class, or a map's totals), the recipe `none`,
    `min_real` (of generated classes), `max_per_class`, `max_total`. Wherever the target differs from what the strategy alone would ask, its
    `note` says why. Raises ConfigError for a map that names an unknown class or a total below the present
    count, and InputError for no images at all, or for a class below `min_real` under `refuse`.
    """
    if not counts.total:
        raise InputError("the source has no usable images: there is nothing to balance")
    if recipes is None:
        recipes = ["gan"] * len(counts.counts)
    rows = zip(counts.classes, counts.counts, recipes, strict=True)
    classes = sorted(
        (_Class(info, real, wanted=real, recipe=recipe) for info, real, recipe in rows),
        key=lambda each: each.info.label,
    )
    if isinstance(config.strategy, dict):
        classes = _filled_by_map(classes, config.strategy)
    else:
        classes = _filled_to_ratio(classes, STRATEGIES[config.strategy](classes), config.ratio)
    classes = [each.but(0, "recipe: none") if _is_left(each) else each for each in classes]
    classes = _without_too_small(classes, config)
    classes = _capped_per_class(classes, config.max_per_class)
    classes = _capped_in_total(classes, config.max_total)
    by_label = {each.info.label: each for each in classes}
    return tuple(_target(by_label[info.label]) for info in counts.classes)


def topped_up(wanted: Sequence[ClassTarget], existing: Sequence[ExistingRows]) -> tuple[ClassTarget, ...]:
    """The same targets, less the synthetic rows that a dataset holds already, by label.

    Nothing is taken away: a class that holds more than its target ends with what it holds. New samples have
    indices after all that the dataset ever published. Raises ConfigError where a label that has rows there is
    another class here.
    """
    held = {rows.label: rows for rows in existing}
    return tuple(
        _topped_up(target, held[target.label]) if target.label in held else target for target in wanted
    )


def _topped_up(target: ClassTarget, held: ExistingRows) -> ClassTarget:
    if held.rows and held.name != target.name:
        raise ConfigError(
            f"the dataset's rows with label {target.label} are of class {held.name!r}, and here it is "
            f"{target.name!r}; set output.on_existing=replace or choose another output.uri"
        )
    surplus = target.real + held.rows - target.target
    notes = [target.note, f"holds {surplus:,} more than its target: none is removed" if surplus > 0 else ""]
    return target.model_copy(
        update={
            "target": target.target + max(0, surplus),
            "existing": held.rows,
            "first": held.next_index,
            "note": "; ".join(note for note in notes if note),
        }
    )


def _target(each: _Class) -> ClassTarget:
    return ClassTarget(
        label=each.info.label,
        name=each.info.name,
        real=each.real,
        target=each.wanted,
        recipe=each.recipe,
        note="; ".join(each.notes),
    )


# ---- strategies ---------------------------------------------------------------------------------------


def _filled_to_ratio(classes: Sequence[_Class], chosen: Sequence[_Class], ratio: float) -> list[_Class]:
    """Fill the chosen classes up to ⌊ratio · largest class⌋."""
    # Through the decimal text: 0.29 · 100 is 29, while the float product is 28.999….
    goal = int(Fraction(repr(ratio)) * max(each.real for each in classes))
    labels = {each.info.label for each in chosen}
    return [_filled(each, goal, ratio) if each.info.label in labels else each for each in classes]


def _filled(each: _Class, goal: int, ratio: float) -> _Class:
    if ratio == 1:
        return replace(each, wanted=max(each.real, goal))
    if each.real >= goal:
        return each.but(0, f"already at {ratio:g} of the largest class or above")
    return each.but(goal - each.real, f"filled up to {ratio:g} of the largest class")


def _filled_by_map(classes: Sequence[_Class], totals: dict[str, int]) -> list[_Class]:
    """Fill each class that the map names up to its total there."""
    real_of = {each.info.name: each.real for each in classes}
    problems = [_unknown_class(name, real_of) for name in totals if name not in real_of]
    problems += [
        f"balance.strategy: class {name!r} has {real_of[name]} images, more than its final total of {total}; "
        "totals include the real images, and none is removed"
        for name, total in totals.items()
        if name in real_of and total < real_of[name]
    ]
    if problems:
        raise ConfigError("\n".join(problems))
    return [replace(each, wanted=totals.get(each.info.name, each.real)) for each in classes]


def _unknown_class(name: str, names: dict[str, int]) -> str:
    near = difflib.get_close_matches(name, names, n=1)
    known = ", ".join(list(names)[:20]) + (", …" if len(names) > 20 else "")
    mend = f"did you mean {near[0]!r}?" if near else f"the classes are {known}"
    return f"balance.strategy: the source has no class {name!r}; {mend}"


# ---- limits -------------------------------------------------------------------------------------------


def _is_left(each: _Class) -> bool:
    return each.recipe == "none" and each.synthetic > 0


def _without_too_small(classes: Sequence[_Class], config: BalanceConfig) -> list[_Class]:
    """Apply `min_real` to the classes that would be filled up."""
    too_small = [
        each for each in classes if each.recipe == "gan" and each.synthetic and each.real < config.min_real
    ]
    if too_small and config.below_min_real == "refuse":
        raise InputError(_refusal(too_small, config.min_real))
    small_labels = {each.info.label for each in too_small}
    done = []
    for each in classes:
        if not each.real:
            each = each.but(0, "skipped: no images to learn from")
        elif each.info.label in small_labels:
            few = f"{each.real} real images, fewer than min_real={config.min_real}"
            skip = config.below_min_real == "skip"
            each = each.but(
                0 if skip else each.synthetic, f"skipped: {few}" if skip else f"generated from only {few}"
            )
        done.append(each)
    return done


def _refusal(too_small: Sequence[_Class], min_real: int) -> str:
    named = ", ".join(f"{each.info.name!r} ({each.real})" for each in too_small[:20])
    more = f" and {len(too_small) - 20} more" if len(too_small) > 20 else ""
    return (
        f"too few real images to learn from (balance.min_real={min_real}): {named}{more}. Collect more "
        "images, lower balance.min_real, or set balance.below_min_real to skip (leave such classes as they "
        "are) or generate (fill them up all the same, except a class without images)"
    )


def _capped_per_class(classes: Sequence[_Class], limit: int | None) -> list[_Class]:
    if limit is None:
        return list(classes)
    return [
        each.but(limit, f"max_per_class: {limit:,} of {each.synthetic:,} samples")
        if each.synthetic > limit
        else each
        for each in classes
    ]


def _capped_in_total(classes: Sequence[_Class], limit: int | None) -> list[_Class]:
    """Share `limit` samples in proportion to what each class wants, by largest remainder (Hamilton)."""
    total = sum(each.synthetic for each in classes)
    if limit is None or total <= limit:
        return list(classes)
    shares = [each.synthetic * limit // total for each in classes]
    remainders = [each.synthetic * limit % total for each in classes]
    left = limit - sum(shares)
    for position in sorted(range(len(classes)), key=lambda position: -remainders[position])[:left]:
        shares[position] += 1
    return [
        each.but(share, f"max_total: {share:,} of {each.synthetic:,} samples")
        if share < each.synthetic
        else each
        for each, share in zip(classes, shares, strict=True)
    ]

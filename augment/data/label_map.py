"""Classes of several places as one list: same names are one class, and `source.labels` renames, merges, drops.

Owns those rules. Pure; knows neither rows nor formats.

Labels stay what the data says: a merged class has the smallest label of its members, and what is dropped
leaves a gap. Where places have no labels of their own (names alone), or theirs contradict each other, the
names of all places are labelled by their rank in code-point order, before the map is applied.
"""

import difflib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt

from augment.data.scan import UNLABELLED
from augment.errors import ConfigError
from augment.types import ClassInfo

__all__ = ["DROPPED", "ClassMap", "class_map"]

DROPPED = -2
"""The class index of what `source.labels` maps to null."""

_SHOWN_NAMES = 10


@dataclass(frozen=True)
class ClassMap:
    """The classes of a source, and where each place's classes went."""

    classes: tuple[ClassInfo, ...]  # ordered by label
    index_of_place: tuple[npt.NDArray[np.int32], ...]
    """By the place's class index (see Scan.class_P): the index here, DROPPED, or UNLABELLED."""


def class_map(
    places: Sequence[tuple[Sequence[ClassInfo], bool]],
    labels: Mapping[str, str | None],
    where: str,
    others: Sequence[Sequence[str]] | None = None,
) -> ClassMap:
    """Merge the classes of each place (`ranked` beside them: see Scan) and apply the label map.

    `others` are each place's names that held-out rows alone have: they make no class, but may be in the map,
    and may be classes of another place. Raises ConfigError for a key of the map that names no class.
    """
    label_of = _labels_of_names(places)
    others = others if others is not None else [()] * len(places)
    target_of = _targets(label_of, {name for names in others for name in names}, labels, where)
    merged: dict[str, int] = {}
    for name, label in label_of.items():
        target = target_of[name]
        if target is not None:
            merged[target] = min(label, merged.get(target, label))
    classes = tuple(
        ClassInfo(label=label, name=name) for name, label in sorted(merged.items(), key=lambda item: item[1])
    )
    index_of = {info.name: index for index, info in enumerate(classes)}
    index_of_place = []
    for (infos, _), more in zip(places, others, strict=True):
        targets = [target_of[name] for name in (*(info.name for info in infos), *more)]
        indices = [DROPPED if target is None else index_of.get(target, UNLABELLED) for target in targets]
        index_of_place.append(np.array(indices, dtype=np.int32))
    return ClassMap(classes, tuple(index_of_place))


def _labels_of_names(places: Sequence[tuple[Sequence[ClassInfo], bool]]) -> dict[str, int]:
    """Every class name's label, before the map."""
    if len(places) == 1:
        return {info.name: info.label for info in places[0][0]}
    told = {(info.name, info.label) for infos, ranked in places if not ranked for info in infos}
    label_of = dict(told)
    names = {info.name for infos, _ in places for info in infos}
    consistent = len(told) == len(label_of) == len(set(label_of.values()))
    if consistent and names == set(label_of):
        return label_of
    return {name: rank for rank, name in enumerate(sorted(names))}


def _targets(
    label_of: Mapping[str, int], others: set[str], labels: Mapping[str, str | None], where: str
) -> dict[str, str | None]:
    """Every class name's new name; None where it is dropped."""
    name_of = {str(label): name for name, label in label_of.items()}
    target_of: dict[str, str | None] = {name: name for name in (*label_of, *others)}
    for key, target in labels.items():
        name = key if key in target_of else name_of.get(key)
        if name is None:
            raise ConfigError(f"source.labels: {where} has no class {key!r}; {_hint(key, list(target_of))}")
        if target == "":
            raise ConfigError(f"source.labels.{key}: a class needs a name; write null to leave it out")
        if labels.get(name, target) != target:
            raise ConfigError(
                f"source.labels maps class {name!r} twice, by its name and its label; remove one"
            )
        target_of[name] = target
    return target_of


def _hint(key: str, names: Sequence[str]) -> str:
    if near := difflib.get_close_matches(key, names, n=1):
        return f"did you mean {near[0]!r}?"
    more = f" and {len(names) - _SHOWN_NAMES} more" if len(names) > _SHOWN_NAMES else ""
    return f"its classes are {', '.join(sorted(names)[:_SHOWN_NAMES])}{more}"

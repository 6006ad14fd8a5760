"""How the images of a dataset were made, in words and in IPTC's terms: for its card and its metadata.

Owns these words. By the plans and manifests alone: no shard is opened.
"""

from __future__ import annotations

from augment.store.reading import CommittedRun, Dataset
from augment.store.shards import DIGITAL_SOURCE_TYPES
from augment.types import RecipeName

__all__ = ["made_by", "recipe_tags", "recipes_by_label", "recipes_in", "source_types"]

_WORDS: dict[RecipeName, str] = {
    "gan": "drawn from conditional GANs that were fitted to it",
    "classic": "made from its real images by classic augmentation",
    "smote": "interpolated between its real images",
    "duplicate": "its real images again",
}

_TAGS: dict[RecipeName, str] = {
    "gan": "gan",
    "classic": "classic-augmentation",
    "smote": "smote",
    "duplicate": "oversampling",
}


def recipes_by_label(run: CommittedRun) -> dict[int, tuple[RecipeName, ...]]:
    """By the label of each class of a run that has rows, the recipes that these were made by."""
    ledger = {one.label: one for one in run.manifest.ledger}
    rows_of = run.rows_by_label
    used: dict[int, tuple[RecipeName, ...]] = {}
    for target in run.plan.plan.classes:
        rows = rows_of[target.label]
        fallback = ledger[target.label].fallback if target.label in ledger else 0
        own, instead = run.plan.recipes_of(target)[:1], run.plan.recipes_of(target)[1:]
        if rows:
            used[target.label] = (own if fallback < rows else ()) + (instead if fallback else ())
    return used


def recipes_in(run: CommittedRun) -> tuple[RecipeName, ...]:
    """The recipes that samples of a run were made by, in the order of their table."""
    used = {recipe for recipes in recipes_by_label(run).values() for recipe in recipes}
    return tuple(recipe for recipe in DIGITAL_SOURCE_TYPES if recipe in used)


def made_by(dataset: Dataset) -> str:
    """In a user's words, as the end of a sentence about a labelled image data set."""
    words = [_WORDS[recipe] for recipe in _recipes(dataset)]
    return "; or ".join(words) or "none yet"


def recipe_tags(dataset: Dataset) -> list[str]:
    """Keywords for the recipes that a dataset's images were made by, as catalogues have them."""
    return [_TAGS[recipe] for recipe in _recipes(dataset)]


def source_types(dataset: Dataset) -> list[str]:
    """IPTC's digital source types of a dataset's images."""
    terms = [DIGITAL_SOURCE_TYPES[recipe] for recipe in _recipes(dataset)]
    return [term for term in terms if term is not None]


def _recipes(dataset: Dataset) -> tuple[RecipeName, ...]:
    used = {recipe for run in dataset.runs for recipe in recipes_in(run)}
    return tuple(recipe for recipe in DIGITAL_SOURCE_TYPES if recipe in used)

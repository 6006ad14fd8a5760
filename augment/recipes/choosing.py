"""Which class has which recipe: the config and the classes in, a recipe a class out.

Pure; knows neither images nor how a recipe works. A name that is no class is an error, so that a slip of the pen
never leaves a class to the default.
"""

from collections.abc import Iterable, Mapping, Sequence

from augment.config_fields import did_you_mean
from augment.errors import ConfigError, InputError
from augment.recipes.config import RecipeChoice
from augment.types import ClassInfo, ClassTarget, RecipeName

__all__ = ["DEFAULT_RECIPE", "choose_recipes", "refuse_impossible"]

DEFAULT_RECIPE: RecipeName = "gan"
"""Of classes that a map does not name."""

_FIELD = "recipe"
_SHOWN_NAMES = 20


def choose_recipes(
    choice: RecipeChoice,
    classes: Sequence[ClassInfo],
    recommended: Mapping[str, RecipeName] | None = None,
) -> tuple[RecipeName, ...]:
    """The recipe of every class, in the order of `classes`.

    `recommended`, by class name, is what `auto` follows; it must name every class. Raises ConfigError for a name
    that is no class, for `auto` without a recommendation, and for a recommendation made for other classes.
    """
    names = [info.name for info in classes]
    if choice == "auto":
        return _as_recommended(names, recommended)
    if isinstance(choice, dict):
        _refuse_unknown(choice, names, f"{_FIELD}: the source")
        return tuple(choice.get(name, DEFAULT_RECIPE) for name in names)
    return (choice,) * len(names)


def refuse_impossible(
    targets: Sequence[ClassTarget], recipes: Sequence[RecipeName], field: str = _FIELD
) -> None:
    """InputError, naming all classes at fault, where a recipe can't make a class's samples from its images.

    Found out from the counts alone, before anything is decoded or trained.
    """
    problems = [
        _too_few(target, recipe, field)
        for target, recipe in zip(targets, recipes, strict=True)
        if target.synthetic and target.real < _LEAST_REAL[recipe]
    ]
    if problems:
        raise InputError("\n".join(problems))


_LEAST_REAL: dict[RecipeName, int] = {"gan": 1, "classic": 1, "duplicate": 1, "smote": 2, "none": 0}
"""Real images of a class without which a recipe cannot begin."""


def _too_few(target: ClassTarget, recipe: RecipeName, field: str) -> str:
    mend = "classic or duplicate" if target.real else "none"
    return (
        f"{field}: {recipe} needs {_LEAST_REAL[recipe]} real image(s) of a class, and {target.name!r} has "
        f"{target.real}; set it to {mend}"
    )


def _as_recommended(
    names: Sequence[str], recommended: Mapping[str, RecipeName] | None
) -> tuple[RecipeName, ...]:
    if recommended is None:
        raise ConfigError(
            f"{_FIELD}: auto follows a recommendation, and there is none; run `augment lift` first"
        )
    _refuse_unknown(
        recommended, names, f"{_FIELD}: auto follows a recommendation for other classes: the source"
    )
    missing = [name for name in names if name not in recommended]
    if missing:
        raise ConfigError(
            f"{_FIELD}: the recommendation that auto follows says nothing of {_listed(missing)}; run `augment lift` "
            "again"
        )
    return tuple(recommended[name] for name in names)


def _refuse_unknown(named: Iterable[str], names: Sequence[str], who: str) -> None:
    known = set(names)
    problems = []
    for name in named:
        if name not in known:
            near = did_you_mean(name, names)
            mend = f"did you mean {near!r}?" if near else f"the classes are {_listed(names)}"
            problems.append(f"{who} has no class {name!r}; {mend}")
    if problems:
        raise ConfigError("\n".join(problems))


def _listed(names: Sequence[str]) -> str:
    return ", ".join(repr(name) for name in names[:_SHOWN_NAMES]) + (
        ", …" if len(names) > _SHOWN_NAMES else ""
    )

"""What a config's fields are, in words: one description that errors, the template and the reference share.

Owns: walking a tree of ConfigModel classes and saying a field's type and range. Knows no particular config.
"""

import difflib
import types
import typing
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Annotated, Any, Literal, Union

from pydantic.fields import FieldInfo

from augment.types import ConfigModel

__all__ = ["Field", "choices_of", "did_you_mean", "fields_of", "is_text", "one_of", "section_of", "type_of"]


@dataclass(frozen=True)
class Field:
    """A leaf of the config."""

    path: tuple[str, ...]
    type: str  # "whole number ≥ 1"
    required: bool
    default: Any  # JSON-like; None for a required field
    doc: str

    @property
    def name(self) -> str:
        """Dotted, as `--set` takes it."""
        return ".".join(self.path)


def section_of(info: FieldInfo) -> type[ConfigModel] | None:
    """The nested config class, if this field is a section."""
    annotation = info.annotation
    return annotation if isinstance(annotation, type) and issubclass(annotation, ConfigModel) else None


def fields_of(model: type[ConfigModel], prefix: tuple[str, ...] = ()) -> Iterator[Field]:
    """Every leaf below `model`, in the order of definition."""
    for name, info in model.model_fields.items():
        path = (*prefix, name)
        section = section_of(info)
        if section is not None:
            yield from fields_of(section, path)
            continue
        default = None if info.is_required() else info.get_default(call_default_factory=True)
        yield Field(
            path=path,
            type=type_of(info),
            required=info.is_required(),
            default=list(default) if isinstance(default, tuple) else default,
            doc=info.description or "",
        )


def type_of(info: FieldInfo, depth: int = 0) -> str:
    """A field's type and range in words; `depth` 1 is that of a list's or a map's items."""
    annotation: Any = info.annotation
    if depth:
        return " or ".join(_words(item) for item in _item_types(annotation))
    words, null, _ = _words(annotation).partition(" or null")
    if info.examples:  # say more than a pattern
        return f"{words} such as {one_of(info.examples)}{null}"
    return words + _range(info.metadata) + null


def is_text(info: FieldInfo) -> bool:
    """Whether the field takes any text."""
    return str in (info.annotation, *typing.get_args(info.annotation))


def one_of(values: Iterable[object]) -> str:
    """`a, b or c`."""
    *most, last = (str(value) for value in values)
    return f"{', '.join(most)} or {last}" if most else last


def did_you_mean(word: str, choices: Iterable[str]) -> str | None:
    """The choice most like `word`, if one is close."""
    choices = list(choices)
    by_lower = {choice.lower(): choice for choice in choices}
    close = difflib.get_close_matches(word.lower(), by_lower, n=1, cutoff=0.6)
    return by_lower[close[0]] if close else None


def choices_of(info: FieldInfo) -> tuple[str, ...]:
    """The words that a field, or the items of its list, may be."""
    annotations = [info.annotation, *_item_types(info.annotation)]
    members = [part for annotation in annotations for part in (annotation, *typing.get_args(annotation))]
    literals = [typing.get_args(part) for part in members if typing.get_origin(part) is Literal]
    return tuple(str(word) for words in literals for word in words)


def _words(annotation: Any) -> str:
    origin, args = typing.get_origin(annotation), typing.get_args(annotation)
    if origin is Annotated:
        return _words(args[0]) + _range(annotation.__metadata__)
    if origin is Literal:
        return one_of(args)
    if origin in (Union, types.UnionType):
        members = [_words(arg) for arg in args if arg is not type(None)]
        words = ", or a ".join(members)
        return f"{words} or null" if type(None) in args else words
    if origin is tuple and args[-1] is not ...:
        return f"pair of {_words(args[0])}"
    if origin is tuple:
        return f"list of {_words(args[0])}"
    if origin is dict:
        return "map" if args[1] is Any else f"map from name to {_words(args[1])}"
    return {bool: "true or false", int: "whole number", float: "number", str: "text"}[annotation]


def _item_types(annotation: Any) -> list[Any]:
    """Types of what lies in the lists and maps that `annotation` allows."""
    members = [annotation, *typing.get_args(annotation)]
    lists = [typing.get_args(member)[0] for member in members if typing.get_origin(member) is tuple]
    return lists + [typing.get_args(member)[1] for member in members if typing.get_origin(member) is dict]


def _range(metadata: Iterable[Any]) -> str:
    """` ≥ 1`, ` 0 to 255`, ` > 0 and < 1` or ` like [a-z]`."""
    limits: dict[str, Any] = {}
    for constraint in (part for item in metadata for part in getattr(item, "metadata", [item])):
        for sign in ("ge", "gt", "le", "lt", "pattern"):
            if getattr(constraint, sign, None) is not None:
                limits[sign] = getattr(constraint, sign)
    if "pattern" in limits:
        return f" like {limits['pattern'].strip('^$')}"
    if "ge" in limits and "le" in limits:
        return f" {limits['ge']} to {limits['le']}"
    signs = {"ge": "≥", "gt": ">", "le": "≤", "lt": "<"}
    bounds = " and ".join(f"{signs[sign]} {_short(limit)}" for sign, limit in limits.items())
    return f" {bounds}" if bounds else ""


def _short(bound: Any) -> str:
    """Powers of two that nobody reads digit by digit are written as such."""
    if isinstance(bound, int) and bound > 1 << 32 and bound & (bound - 1) == 0:
        return f"2^{bound.bit_length() - 1}"
    return str(bound)

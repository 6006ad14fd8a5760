"""YAML 1.2 read strictly, with the line of every value.

Owns: turning YAML text into plain values (map, list, text, number, true/false, null) and remembering where
each was written. Follows the core schema of YAML 1.2 (§10.3), not PyYAML's YAML 1.1: `no` and `off` are
text, `1e-3` is a number, `2024-01-01` is text and `010` is ten. Keys are always text, as written. Knows
nothing of configs.
"""

import math
import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

import yaml

from augment.errors import ConfigError
from augment.redaction import redact

__all__ = ["Document", "Path", "Problem", "parse"]

Path = tuple[str | int, ...]
"""Where a value sits: keys and list positions from the root."""

_MAX_DEPTH = 50
_MAX_VALUES = 100_000  # after aliases are followed, so a "billion laughs" stops here

_INT = re.compile(r"[-+]?[0-9]+(?:_[0-9]+)*|0o[0-7]+|0x[0-9a-fA-F]+")
_FLOAT = re.compile(
    r"[-+]?(?:\.[0-9]+|[0-9]+(?:_[0-9]+)*(?:\.[0-9]*)?)(?:[eE][-+]?[0-9]+)?"
    r"|[-+]?\.(?:inf|Inf|INF)|\.(?:nan|NaN|NAN)"
)
_BOOL = re.compile(r"true|True|TRUE|false|False|FALSE")
_NULL = re.compile(r"~|null|Null|NULL|")
_TAG = "tag:yaml.org,2002:"


@dataclass(frozen=True)
class Problem:
    """Something wrong at `path`; `message` says what, without the place."""

    path: Path
    line: int
    message: str


@dataclass(frozen=True)
class Document:
    """What a YAML text says: its plain value, the 1-based line of each path, and what is wrong with it."""

    value: Any
    lines: Mapping[Path, int] = field(default_factory=dict)
    problems: tuple[Problem, ...] = ()


class _Loader(yaml.SafeLoader):
    """PyYAML's parser with the scalars of YAML 1.2 in place of those of YAML 1.1."""

    yaml_implicit_resolvers = {}  # noqa: RUF012 - PyYAML's own class attribute, replaced whole


for _name, _pattern, _first in (
    ("null", _NULL, [*"~nN", ""]),
    ("bool", _BOOL, [*"tTfF"]),
    ("int", _INT, [*"-+0123456789"]),
    ("float", _FLOAT, [*"-+0123456789."]),
):
    _Loader.add_implicit_resolver(_TAG + _name, re.compile(rf"(?:{_pattern.pattern})$"), _first)


def parse(text: str, name: str) -> Document:
    """Read one YAML document called `name` in messages.

    Duplicate keys, foreign tags and numbers that are not finite are listed in `problems`. Raises
    ConfigError for text that is not YAML, as `name:line:column: what`.
    """
    try:
        root = _compose(text)
    except yaml.MarkedYAMLError as error:
        mark = error.problem_mark or error.context_mark
        place = f"{name}:{mark.line + 1}:{mark.column + 1}" if mark else name
        what = ", ".join(part for part in (error.context, error.problem) if part)
        raise ConfigError(redact(f"{place}: not valid YAML: {what}")) from error
    except yaml.reader.ReaderError as error:
        line = text.count("\n", 0, error.position) + 1
        raise ConfigError(
            f"{name}:{line}: not valid YAML: a control character (code {error.character})"
        ) from error
    except RecursionError:
        raise ConfigError(f"{name}: nested more than {_MAX_DEPTH} levels deep") from None
    if root is None:
        return Document(value=None)
    reader = _Reader(name)
    value = reader.value(root, ())
    return Document(value=value, lines=reader.lines, problems=tuple(reader.problems))


def _compose(text: str) -> yaml.Node | None:
    loader = _Loader(text)
    try:
        return loader.get_single_node()
    finally:
        loader.dispose()


class _Reader:
    """Turns nodes into values, noting lines and problems on the way."""

    def __init__(self, name: str) -> None:
        self.name = name
        self.lines: dict[Path, int] = {}
        self.problems: list[Problem] = []

    def value(self, node: yaml.Node, path: Path) -> Any:
        self.lines.setdefault(path, node.start_mark.line + 1)
        if len(self.lines) > _MAX_VALUES or len(path) > _MAX_DEPTH:
            place, limits = (
                f"{self.name}:{node.start_mark.line + 1}",
                f"{_MAX_VALUES} values or {_MAX_DEPTH} levels",
            )
            raise ConfigError(f"{place}: more than {limits}; is an alias (*) repeated within itself?")
        if isinstance(node, yaml.MappingNode) and node.tag == _TAG + "map":
            return self._mapping(node, path)
        if isinstance(node, yaml.SequenceNode) and node.tag == _TAG + "seq":
            return [self.value(item, (*path, index)) for index, item in enumerate(node.value)]
        if isinstance(node, yaml.ScalarNode):
            return self._scalar(node, path)
        return self._problem(path, node, f"tag {_short_tag(node.tag)} is not supported; remove it")

    def _mapping(self, node: yaml.MappingNode, path: Path) -> dict[str, Any]:
        values: dict[str, Any] = {}
        for key_node, value_node in node.value:
            if not isinstance(key_node, yaml.ScalarNode):
                self._problem(path, key_node, "a key must be plain text, not a list or a map")
                continue
            key = self._text(key_node, path)
            if key is None:
                continue
            here = (*path, key)
            if key in values:
                self._problem(here, key_node, f"given twice (first on line {self.lines[here]}); remove one")
                continue
            self.lines[here] = key_node.start_mark.line + 1
            values[key] = self.value(value_node, here)
        return values

    def _scalar(self, node: yaml.ScalarNode, path: Path) -> Any:
        text = str(node.value)
        kind = node.tag.removeprefix(_TAG)
        if kind == "str":
            return self._text(node, path)
        if kind == "null" and _NULL.fullmatch(text):
            return None
        if kind == "bool" and _BOOL.fullmatch(text):
            return text.lower() == "true"
        if kind == "int" and _INT.fullmatch(text):
            return self._whole_number(node, path)
        if kind == "float" and _FLOAT.fullmatch(text):
            number = float(text.replace("_", "").lower().replace(".inf", "inf").replace(".nan", "nan"))
            return (
                number
                if math.isfinite(number)
                else self._problem(path, node, f"{text} is not a finite number")
            )
        return self._problem(path, node, f"tag {_short_tag(node.tag)} is not supported; remove it")

    def _text(self, node: yaml.ScalarNode, path: Path) -> str | None:
        """Text; JSON writes a character beyond U+FFFF as two escapes, which PyYAML leaves apart."""
        try:
            return str(node.value).encode("utf-16", "surrogatepass").decode("utf-16")
        except UnicodeDecodeError:
            self._problem(path, node, "half a surrogate pair is no character")
            return None

    def _whole_number(self, node: yaml.ScalarNode, path: Path) -> Any:
        digits = str(node.value).replace("_", "")
        if len(digits) > 100:
            return self._problem(path, node, f"a whole number of {len(digits)} digits is too long")
        base = {"0x": 16, "0o": 8}.get(digits[:2], 10)
        return int(digits, base)

    def _problem(self, path: Path, node: yaml.Node, message: str) -> None:
        self.problems.append(Problem(path=path, line=node.start_mark.line + 1, message=message))


def _short_tag(tag: str) -> str:
    return "!!" + tag.removeprefix(_TAG) if tag.startswith(_TAG) else tag

"""From a YAML file and `--set` overrides to a validated config, or to every problem with its place.

Owns: where each value came from, and turning pydantic's errors into lines that a user can act on, such as
`demo.yaml:12: train.batch_sze: unknown key (value 64); did you mean train.batch_size?`. Works for any tree
of ConfigModel classes and knows no particular one.
"""

import json
import re
import typing
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path as FilePath
from typing import Any, Generic, TypeVar

from pydantic import ValidationError
from pydantic.fields import FieldInfo

from augment import strict_yaml
from augment.config_fields import choices_of, did_you_mean, fields_of, is_text, one_of, section_of, type_of
from augment.errors import ConfigError
from augment.redaction import redact
from augment.strict_yaml import Path
from augment.types import ConfigModel

__all__ = ["Combinations", "Draft", "read_config", "read_yaml"]

Model = TypeVar("Model", bound=ConfigModel)

_MAX_FILE_BYTES = 1_000_000
_SHOWN_CHARACTERS = 60
_SECRET_WORDS = re.compile(r"secret|passw|token|credential|(access|api|private).?key", re.IGNORECASE)
_YES_NO = {"yes": "true", "on": "true", "y": "true", "no": "false", "off": "false", "n": "false"}


class Combinations(ValueError):
    """Fields that are right alone and wrong together: (path, message) pairs, raised by a validator."""

    def __init__(self, problems: Sequence[tuple[Path, str]]) -> None:
        super().__init__("; ".join(f"{_dotted(path)}: {message}" for path, message in problems))
        self.problems = tuple(problems)


@dataclass(frozen=True)
class _Origin:
    """Where a value was written: `demo.yaml:12`, or `--set train.steps=abc`."""

    label: str
    order: int  # problems are listed in the order of the file, then of the flags
    override: Path | None = None


class Draft(Generic[Model]):
    """A config on its way: plain values, where each came from, and the problems met so far."""

    def __init__(self, model: type[Model], file: FilePath) -> None:
        self.model = model
        self.file = file
        self.value: dict[str, Any] = {}
        self._overrides = 0
        self._origins: dict[Path, _Origin] = {(): _Origin(label=str(file), order=0)}
        self._problems: list[tuple[_Origin, Path, str]] = []

    def read_file(self) -> None:
        """Take the values of the file. Raises ConfigError where it can't be read at all."""
        document = read_yaml(self.file)
        value = {} if document.value is None else document.value
        if not isinstance(value, dict):
            raise ConfigError(f"{self.file}: expected sections such as `source:`, got {_shown(value)}")
        self.value = value
        for path, line in document.lines.items():
            if path:
                self._origins[path] = _Origin(label=f"{self.file}:{line}", order=line)
        for problem in document.problems:
            origin = _Origin(label=f"{self.file}:{problem.line}", order=problem.line)
            self._problems.append((origin, problem.path, problem.message))

    def override(self, text: str) -> None:
        """Take one `section.field=value`; what is wrong with it is noted."""
        key, equals, raw = text.partition("=")
        path: Path = tuple(key.strip().split("."))
        shown = f"{key}=…" if _SECRET_WORDS.search(key) else text
        self._overrides += 1
        origin = _Origin(f"--set {redact(shown)}", order=_MAX_FILE_BYTES + self._overrides, override=path)
        if not equals:
            self._problems.append((origin, path, "expected section.field=value"))
        elif complaint := self._complain_about_key(path):
            self._problems.append((origin, path, complaint))
        else:
            try:
                document = strict_yaml.parse(raw, "value")
            except ConfigError as error:
                self._problems.append((origin, path, str(error)))
                return
            for problem in document.problems:
                self._problems.append((origin, (*path, *problem.path), problem.message))
            self._put(path, document.value, origin)

    def note(self, path: Path, message: str) -> None:
        """Add a problem with the value at `path`."""
        self._problems.append((self._origin(path), path, message))

    def finish(self) -> Model:
        """The validated config; ConfigError lists all problems, one a line."""
        config = None
        try:
            config = self.model.model_validate_json(json.dumps(self._with_sections()))
        except ValidationError as error:
            self._explain(error)
        if config is None or self._problems:
            raise ConfigError("\n".join(self._lines()))
        return config

    def _lines(self) -> list[str]:
        """The problems in the order of the file, the first of each value: the rest follow from it."""
        first: dict[tuple[str, Path], tuple[_Origin, str]] = {}
        for origin, path, message in self._problems:
            place = "" if not path or path == origin.override else f"{_dotted(path)}: "
            first.setdefault((origin.label, path), (origin, redact(f"{origin.label}: {place}{message}")))
        return [line for _, line in sorted(first.values(), key=lambda entry: entry[0].order)]

    def _with_sections(self) -> dict[str, Any]:
        """The values, with `{}` for a section that is absent or whose lines are all comments."""
        sections = [name for name, info in self.model.model_fields.items() if section_of(info)]
        absent: dict[str, Any] = {name: {} for name in sections if self.value.get(name) is None}
        return {**self.value, **absent}

    def _put(self, path: Path, value: Any, origin: _Origin) -> None:
        parent: Any = self.value
        for name in path[:-1]:
            if parent.get(name) is None:
                parent[name] = {}
            parent = parent[name]
            if not isinstance(parent, dict):
                return  # the file has something else where a section belongs, and that is reported
        parent[path[-1]] = value
        for below in [known for known in self._origins if known[: len(path)] == path]:
            del self._origins[below]
        self._origins[path] = origin

    def _origin(self, path: Path) -> _Origin:
        """Where the value at `path`, or else the nearest thing around it, was written."""
        while path not in self._origins:
            path = path[:-1]
        return self._origins[path]

    def _complain_about_key(self, path: Path) -> str | None:
        """What is wrong with an override's key, if anything."""
        model: type[ConfigModel] = self.model
        for depth, name in enumerate(path):
            info = model.model_fields.get(str(name))
            if info is None:
                return self._unknown_key(path[: depth + 1])
            section = section_of(info)
            if section is None:
                whole = _dotted(path[: depth + 1])
                deeper = depth + 1 < len(path)
                return f"{whole} is set as a whole, e.g. --set '{whole}={{name: value}}'" if deeper else None
            model = section
        return None

    # ---- pydantic's errors ----------------------------------------------------------------------------

    def _explain(self, error: ValidationError) -> None:
        """Note each problem once: a union's members all complain, and the deepest complaint is right."""
        of_field: dict[Path, list[tuple[Path, FieldInfo | None, dict[str, Any]]]] = {}
        for raw in error.errors(include_url=False):
            details: dict[str, Any] = dict(raw)
            path, rest, info = _locate(self.model, details["loc"])
            of_field.setdefault(path, []).append((rest, info, details))
        for path, complaints in of_field.items():
            deep = [complaint for complaint in complaints if complaint[0]]
            for rest, info, details in deep or complaints[:1]:
                self._explain_one(path, rest, info, details)

    def _explain_one(self, path: Path, rest: Path, info: FieldInfo | None, details: dict[str, Any]) -> None:
        cause = details.get("ctx", {}).get("error")
        if isinstance(cause, Combinations):
            for where, message in cause.problems:
                self.note(where, message)
        elif cause is not None and (info is None or section_of(info)):
            self._note_combination(path, str(cause))
        elif cause is not None:
            self.note(path, str(cause))
        elif details["type"] == "extra_forbidden":
            self.note((*path, *rest), self._unknown_key(path, _scalar(details["input"])))
        elif details["type"] == "missing":
            self.note((*path, *rest), "required, but missing")
        elif info is None:
            self.note(path, str(details["msg"]))
        else:
            self.note((*path, *rest), _unexpected(info, details["input"], depth=len(rest)))

    def _note_combination(self, section: Path, message: str) -> None:
        """Place a section's complaint at the last-written of the fields that it names as `field=`."""
        named = [(*section, name) for name in re.findall(r"\b(\w+)=", message)]
        origins = [self._origins[path] for path in named if path in self._origins]
        origin = max(origins, key=lambda origin: origin.order, default=self._origin(section))
        self._problems.append((origin, section, message))

    def _unknown_key(self, path: Path, value: str = "") -> str:
        key = str(path[-1])
        if _SECRET_WORDS.search(key):
            return "unknown key; credentials are never read from a config but from the environment"
        model: type[ConfigModel] = self.model
        for name in path[:-1]:
            model = section_of(model.model_fields[str(name)]) or model
        return f"unknown key{value}; {self._suggestion(model, path[:-1], key)}"

    def _suggestion(self, model: type[ConfigModel], parent: Path, key: str) -> str:
        """The right key: a sibling, the same name elsewhere, or a name like it; else what there is here."""
        if sibling := did_you_mean(key, model.model_fields):
            return f"did you mean {_dotted((*parent, sibling))}?"
        leaves = list(fields_of(self.model))
        near = did_you_mean(key, {field.path[-1] for field in leaves})
        if homes := [field.name for field in leaves if field.path[-1] == near]:
            return f"did you mean {one_of(homes)}?"
        where = f"of {_dotted(parent)}" if parent else "at the top"
        return f"the keys {where} are {', '.join(model.model_fields)}"


def read_config(
    model: type[Model],
    file: FilePath,
    overrides: Sequence[str] = (),
    prepare: Callable[[Draft[Model]], None] = lambda draft: None,
) -> Model:
    """Read `file`, apply `overrides` (`section.field=value`), let `prepare` complete the draft, validate.

    Raises ConfigError that lists all problems, one a line.
    """
    draft = Draft(model, file)
    draft.read_file()
    for text in overrides:
        draft.override(text)
    prepare(draft)
    return draft.finish()


def read_yaml(file: FilePath) -> strict_yaml.Document:
    """Parse a YAML file; ConfigError, naming it, where it is missing, unreadable, too large or not YAML."""
    try:
        with file.open("rb") as stream:
            data = stream.read(_MAX_FILE_BYTES + 1)
    except FileNotFoundError:
        raise ConfigError(f"{file}: no such file") from None
    except OSError as error:
        raise ConfigError(f"{file}: cannot be read: {error.strerror}") from error
    if len(data) > _MAX_FILE_BYTES:
        raise ConfigError(f"{file}: larger than {_MAX_FILE_BYTES // 1_000_000} MB; is it a config?")
    try:
        text = data.decode("utf-8-sig")
    except UnicodeDecodeError as error:
        raise ConfigError(f"{file}: not UTF-8 text (byte {error.start})") from error
    return strict_yaml.parse(text, str(file))


def _locate(model: type[ConfigModel], loc: Iterable[int | str]) -> tuple[Path, Path, FieldInfo | None]:
    """Split a pydantic location into the field's path and what lies within its value."""
    rest: Path = tuple(loc)
    path: Path = ()
    info: FieldInfo | None = None
    section: type[ConfigModel] | None = model
    while rest and section is not None:
        path, info, rest = (*path, rest[0]), section.model_fields.get(str(rest[0])), rest[1:]
        section = section_of(info) if info else None
    if info is not None and rest and _is_union(info):
        rest = rest[1:]  # pydantic names the union's member first
    return path, rest, info


def _is_union(info: FieldInfo) -> bool:
    annotation = info.annotation
    members = [arg for arg in typing.get_args(annotation) if arg is not type(None)]
    return typing.get_origin(annotation) not in (None, typing.Literal, tuple, dict) and len(members) > 1


def _unexpected(info: FieldInfo, value: Any, *, depth: int) -> str:
    """`expected whole number ≥ 1, got 'abc'`, and the mend where it is plain."""
    expected = "a section (`field: value` lines)" if section_of(info) else type_of(info, depth)
    text = f"expected {expected}, got {_shown(value)}"
    if isinstance(value, str):
        if near := did_you_mean(value, choices_of(info)):
            return f"{text}; did you mean {near}?"
        if info.annotation is bool and value.lower() in _YES_NO:
            return f"{text}; write {_YES_NO[value.lower()]}"
    elif isinstance(value, float) and value.is_integer() and "whole number" in expected:
        return f"{text}; write {int(value)}"
    elif isinstance(value, int | float) and is_text(info) and not info.examples:
        return f"{text}; put it in quotes"
    return text


def _shown(value: Any) -> str:
    """A value as an error shows it: short, and text in quotes."""
    text = f"'{value}'" if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
    # Hide credentials before cutting: half of one is past recognition.
    text = redact(text)
    return text if len(text) <= _SHOWN_CHARACTERS else text[: _SHOWN_CHARACTERS - 1] + "…"


def _scalar(value: Any) -> str:
    """` (value 64)`; nothing for lists and maps, which may hold anything."""
    return "" if isinstance(value, list | dict) else f" (value {_shown(value)})"


def _dotted(path: Path) -> str:
    """`train.diffaugment[1]`."""
    return "".join(f"[{part}]" if isinstance(part, int) else f".{part}" for part in path).lstrip(".")

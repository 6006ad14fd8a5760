"""What a Parquet file's columns mean: their types, their class names, their labels' classes.

Owns the rules alone; pure functions over schemas and columns. Opens no file.
"""

import difflib
import json
from collections import Counter
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Any

import pyarrow as pa
import pyarrow.compute as pc

from augment.data.config import SourceConfig, SplitConfig
from augment.data.scan import FoundClasses, Label, classes_of_pairs
from augment.errors import InputError
from augment.types import ClassInfo

__all__ = [
    "Columns",
    "SchemaError",
    "bytes_and_paths",
    "classes_of",
    "columns_of",
    "fault_of_label",
    "is_label",
]


class SchemaError(InputError):
    """A column is not there, or not what an image or a label can be."""


@dataclass(frozen=True)
class Columns:
    """What a file's schema says of its columns; every file of a source must say the same."""

    image: str
    label: str
    split: str | None  # the column of splits, where there is one to be read
    image_type: pa.DataType
    label_type: pa.DataType  # of the values, dictionary-encoded or not
    class_names: tuple[str, ...] | None  # of a Hugging Face ClassLabel
    split_names: tuple[str, ...] | None  # likewise

    @property
    def has_paths(self) -> bool:
        """Whether images carry a name of their own."""
        return _has_paths(self.image_type)

    def split_word(self, value: str | None) -> str | None:
        """The word that a value of the split column stands for: its ClassLabel name, or itself."""
        if self.split_names is None or value is None:
            return value
        number = int(value)
        return self.split_names[number] if 0 <= number < len(self.split_names) else value

    def difference(self, other: "Columns") -> str:
        """What sets this apart from `other`, for a message; '' if nothing does."""
        for what, here, there in (
            ("image column", self.image_type, other.image_type),
            ("label column", self.label_type, other.label_type),
            ("class names", self.class_names, other.class_names),
            ("split column", self.split, other.split),
        ):
            if here != there:
                return f"its {what}: {here} here, {there} there"
        return ""


# ---- schema -------------------------------------------------------------------------------------------


def columns_of(schema: pa.Schema, config: SourceConfig, where: str) -> Columns:
    """The columns that `config` names; SchemaError naming the file, the column and what there is."""
    image_type = _column_type(schema, config.image_column, "image_column", where)
    label_type = _column_type(schema, config.label_column, "label_column", where)
    if not _is_image_type(image_type):
        raise SchemaError(
            f"{where}: column {config.image_column!r} is {image_type}; source.image_column must name one "
            "of encoded images, binary or struct<bytes: binary, path: string>"
        )
    value_type = _value_type(label_type)
    if not (pa.types.is_integer(value_type) or _is_text(value_type)):
        raise SchemaError(
            f"{where}: column {config.label_column!r} is {label_type}; source.label_column must name one "
            "of integers or strings"
        )
    names = _class_names(schema, config.label_column, where) if pa.types.is_integer(value_type) else None
    split = _split_column(schema, config, where)
    split_names = _class_names(schema, split, where) if split else None
    return Columns(
        config.image_column, config.label_column, split, image_type, value_type, names, split_names
    )


def _split_column(schema: pa.Schema, config: SourceConfig, where: str) -> str | None:
    """The column of splits, if rows have one and it is to be looked at."""
    name, by = config.split.column, config.split.by
    if by != "column" and (by != "auto" or name not in schema.names):
        return None
    kind = _value_type(_column_type(schema, name, "split.column", where))
    if _is_text(kind) or (pa.types.is_integer(kind) and _class_names(schema, name, where)):
        return name
    raise SchemaError(
        f"{where}: column {name!r} is {kind}; source.split.column must name one of text, or set "
        "source.split.by to file or none"
    )


def _column_type(schema: pa.Schema, column: str, field: str, where: str) -> pa.DataType:
    if (times := schema.names.count(column)) > 1:
        raise SchemaError(f"{where} has {times} columns called {column!r}; rename or remove all but one")
    if times:
        kind: pa.DataType = schema.field(column).type
        return kind
    nearest = difflib.get_close_matches(column, schema.names, n=1)
    hint = f"did you mean {nearest[0]!r}? " if nearest else ""
    raise SchemaError(
        f"{where} has no column {column!r}; {hint}its columns are {', '.join(schema.names) or 'none'}; "
        f"set source.{field}"
    )


def _value_type(kind: Any) -> Any:
    """The type of a column's values, seen through a dictionary encoding."""
    return kind.value_type if pa.types.is_dictionary(kind) else kind


def _is_text(kind: pa.DataType) -> bool:
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind) or pa.types.is_string_view(kind))


def _is_bytes(kind: pa.DataType) -> bool:
    return bool(pa.types.is_binary(kind) or pa.types.is_large_binary(kind))


def _is_image_type(kind: Any) -> bool:
    if not pa.types.is_struct(kind):
        return _is_bytes(kind)
    position = kind.get_field_index("bytes")
    return position >= 0 and _is_bytes(kind.field(position).type)


def _has_paths(kind: Any) -> bool:
    position = kind.get_field_index("path") if pa.types.is_struct(kind) else -1
    return position >= 0 and _is_text(kind.field(position).type)


def _class_names(schema: pa.Schema, column: str, where: str) -> tuple[str, ...] | None:
    """The names that Hugging Face's schema metadata gives the column's integers, if it does."""
    text = (schema.metadata or {}).get(b"huggingface")
    if text is None:
        return None
    try:
        feature = json.loads(text)["info"]["features"].get(column, {})
        names = feature["names"] if feature.get("_type") == "ClassLabel" else None
        return None if names is None else tuple(str(name) for name in names)
    except (ValueError, LookupError, TypeError, AttributeError) as error:
        raise SchemaError(
            f"{where}: the schema's 'huggingface' metadata cannot be read ({error!r}); rewrite or remove it"
        ) from error


# ---- values -------------------------------------------------------------------------------------------


def bytes_and_paths(column: Any) -> tuple[list[bytes | None], list[str | None]]:
    """Encoded images and their names, of one batch of an image column; None where there is none."""
    if not pa.types.is_struct(column.type):
        return column.to_pylist(), [None] * len(column)
    data = pc.struct_field(column, "bytes").to_pylist()
    paths = pc.struct_field(column, "path").to_pylist() if _has_paths(column.type) else [None] * len(data)
    return data, paths


def classes_of(
    names: Sequence[str] | None, pairs: Iterable[tuple[str, Label | None]], config: SplitConfig
) -> FoundClasses:
    """The classes of (split, label) pairs, ordered by label.

    With `names` (a ClassLabel) label i is names[i], present or not; else see classes_of_pairs. Raises
    InputError for two classes of one name.
    """
    if names is None:
        return classes_of_pairs(((split, value) for split, value in pairs if is_label(value, None)), config)
    if repeated := [name for name, times in Counter(names).items() if times > 1]:
        raise InputError(f"the ClassLabel metadata names two classes {repeated[0]!r}; rename one of them")
    classes = tuple(ClassInfo(label=label, name=name) for label, name in enumerate(names))
    # Rows hold the labels' integers here, never the names.
    return FoundClasses(classes, (), {str(info.label): info.label for info in classes}, ranked=False)


def is_label(value: Label | None, names: Sequence[str] | None) -> bool:
    """Whether a row with this value has a class."""
    if value is None or value == "":
        return False
    return names is None or (isinstance(value, int) and 0 <= value < len(names))


def fault_of_label(value: Label | None, names: Sequence[str] | None) -> str:
    """Why a row without a class has none, in a user's words."""
    if value is None:
        return "has no label (null)"
    allowed = f"outside 0…{len(names) - 1}" if names is not None else "which names no class"
    return f"has the label {value!r}, {allowed}"

"""What a Parquet file's image and label columns mean: their types, their class names, their labels' classes.

Owns the rules alone; pure functions over schemas and columns. Opens no file.
"""

import difflib
import json
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np
import numpy.typing as npt
import pyarrow as pa
import pyarrow.compute as pc

from augment.data.config import SourceConfig
from augment.errors import InputError
from augment.types import ClassInfo

__all__ = [
    "Columns",
    "EncodedLabels",
    "Label",
    "SchemaError",
    "bytes_and_paths",
    "class_indices",
    "classes_of",
    "columns_of",
    "encoded_labels",
    "fault_of_label",
]

Label = int | str


class SchemaError(InputError):
    """A column is not there, or not what an image or a label can be."""


@dataclass(frozen=True)
class Columns:
    """What a file's schema says of the two columns; every file of a source must say the same."""

    image_type: pa.DataType
    label_type: pa.DataType
    class_names: tuple[str, ...] | None  # of a Hugging Face ClassLabel

    @property
    def has_paths(self) -> bool:
        """Whether images carry a name of their own."""
        return _has_paths(self.image_type)

    def difference(self, other: "Columns") -> str:
        """What sets this apart from `other`, for a message; '' if nothing does."""
        for what, here, there in (
            ("image column", self.image_type, other.image_type),
            ("label column", self.label_type, other.label_type),
            ("class names", self.class_names, other.class_names),
        ):
            if here != there:
                return f"its {what}: {here} here, {there} there"
        return ""


@dataclass(frozen=True)
class EncodedLabels:
    """A label column as its distinct values and, per row, the position among them (-1 for null)."""

    values: tuple[Label, ...]
    codes_B: npt.NDArray[np.int64]


# ---- schema -------------------------------------------------------------------------------------------


def columns_of(schema: pa.Schema, config: SourceConfig, where: str) -> Columns:
    """The two columns that `config` names; SchemaError naming the file, the column and what there is."""
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
    return Columns(image_type, label_type, names)


def _column_type(schema: pa.Schema, column: str, field: str, where: str) -> pa.DataType:
    if column in schema.names:
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
    return bool(pa.types.is_string(kind) or pa.types.is_large_string(kind))


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


def encoded_labels(column: Any, where: str) -> EncodedLabels:
    """A label column (chunked array) with its distinct values listed once."""
    integer = pa.types.is_integer(_value_type(column.type))
    try:
        plain = column.cast(pa.int64() if integer else pa.large_string())
    except pa.ArrowInvalid as error:
        raise SchemaError(f"{where}: a label does not fit into 64 bits ({error})") from error
    encoded = plain.dictionary_encode().unify_dictionaries()
    if not encoded.num_chunks:
        return EncodedLabels((), np.empty(0, dtype=np.int64))
    codes = [chunk.indices.fill_null(-1).to_numpy(zero_copy_only=False) for chunk in encoded.chunks]
    values = tuple(encoded.chunk(0).dictionary.to_pylist())
    return EncodedLabels(values, np.concatenate(codes).astype(np.int64))


def classes_of(
    names: Sequence[str] | None, columns: Sequence[EncodedLabels]
) -> tuple[tuple[ClassInfo, ...], dict[Label, int]]:
    """The classes, ordered by label, and the class index of every label value that names one.

    With `names` (a ClassLabel) label i is names[i], present or not. Plain integers are their own labels;
    strings are labelled by their rank in code-point order. Raises InputError for two classes of one name.
    """
    if names is not None:
        if repeated := [name for name, times in Counter(names).items() if times > 1]:
            raise InputError(f"the ClassLabel metadata names two classes {repeated[0]!r}; rename one of them")
        classes = tuple(ClassInfo(label=label, name=name) for label, name in enumerate(names))
        return classes, {info.label: info.label for info in classes}
    found = {value for labels in columns for value in labels.values if value != ""}
    texts = sorted(value for value in found if isinstance(value, str))
    numbers = sorted(value for value in found if isinstance(value, int))
    classes = tuple(
        [ClassInfo(label=number, name=str(number)) for number in numbers]
        or [ClassInfo(label=rank, name=text) for rank, text in enumerate(texts)]
    )
    values: list[Label] = [*numbers, *texts]
    return classes, {value: index for index, value in enumerate(values)}


def class_indices(labels: EncodedLabels, index_of: dict[Label, int]) -> npt.NDArray[np.int32]:
    """Each row's class index, -1 where the label is null or names no class."""
    of_code = np.array([*(index_of.get(value, -1) for value in labels.values), -1], dtype=np.int32)
    return of_code[labels.codes_B]  # code -1 picks the last entry


def fault_of_label(labels: EncodedLabels, row: int, names: Sequence[str] | None) -> str:
    """Why a row without a class has none, in a user's words."""
    code = int(labels.codes_B[row])
    if code < 0:
        return "has no label (null)"
    allowed = f"outside 0…{len(names) - 1}" if names is not None else "which names no class"
    return f"has the label {labels.values[code]!r}, {allowed}"

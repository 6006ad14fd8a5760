"""Which columns of a list of images hold their places, and which their labels.

Owns the names that columns of lists are known by, and what is said where none of them is there. Two are the
list's own word (`uri`, `path`), some are what a config or Hugging Face calls them; others are only usual,
and are believed where the first line bears them out. Opens nothing.
"""

from collections.abc import Callable, Collection, Mapping
from typing import NamedTuple

from augment.data.config import SourceConfig
from augment.data.images import IMAGE_SUFFIXES
from augment.data.places import suffix_of
from augment.errors import InputError
from augment.redaction import redact

__all__ = ["ListColumns", "columns_for", "how_to_name", "seems_to_list"]

_OWN_PLACES = ("uri", "path")
_HUGGING_FACE_PLACE = "file_name"  # of a metadata.csv; asked for last: beside `image` it may be a caption
_USUAL_PLACES = ("filename", "filepath", "image_path", "file", "image_id")
_USUAL_LABELS = ("class", "category", "labels", "target")
_SHOWN_CHARACTERS = 60


class ListColumns(NamedTuple):
    """The columns that a list's lines are read by."""

    place: str
    label: str


def columns_for(
    fields: Mapping[str, object], config: SourceConfig, where: str, is_there: Callable[[str], bool]
) -> ListColumns:
    """The columns of a list whose first line, at `where`, has these `fields`; `is_there` looks for a
    place's image.

    A column that is only usual holds places if the first of them has an image's suffix and is there. Raises
    InputError that names the columns there are, where none holds places, none holds labels, or more than
    one may.
    """
    has = f"its columns are {', '.join(fields) or 'none'}"
    place = _place_column(fields, config, where, has, is_there)
    labels = _label_columns(fields, config)
    if len(labels) > 1:
        raise InputError(
            f"{where} has no column {config.label_column!r}, and several that may be it, "
            f"{' and '.join(map(repr, labels))}; {has}; set source.label_column"
        )
    if not labels:
        raise InputError(f"{where} has no column {config.label_column!r}; {has}; set source.label_column")
    return ListColumns(place, labels[0])


def seems_to_list(columns: Collection[str], config: SourceConfig) -> bool:
    """Whether a file of such columns beside images lists them: one sure column, or usual ones of both kinds."""
    if _sure_places(columns, config) or config.label_column in columns:
        return True
    return bool(_usual_places(columns, config) and _label_columns(columns, config))


def how_to_name(columns: Collection[str], config: SourceConfig) -> list[str]:
    """What a config must set before a list of these columns can be read: `source.label_column to …`."""
    mends = []
    if not _sure_places(columns, config) and not _usual_places(columns, config):
        mends.append("source.image_column to its column of places")
    if len(_label_columns(columns, config)) != 1:
        mends.append("source.label_column to its column of labels")
    return mends


def _place_column(
    fields: Mapping[str, object],
    config: SourceConfig,
    where: str,
    has: str,
    is_there: Callable[[str], bool],
) -> str:
    if sure := _sure_places(fields, config):
        return sure[0]
    doubts = []
    for column in _usual_places(fields, config):
        place = fields[column]
        if not isinstance(place, str) or suffix_of(place) not in IMAGE_SUFFIXES:
            doubts.append(f"{column!r} holds {_shown(place)}, which is no image by its suffix")
        elif not is_there(place):
            doubts.append(f"{column!r} holds {_shown(place)}, which does not lie there")
        else:
            return column
    why = f", and {'; '.join(doubts)}" if doubts else ""
    raise InputError(
        f"{where} has no column 'uri', 'path' or 'file_name'{why}; {has}; rename one, or set source.image_column"
    )


def _sure_places(columns: Collection[str], config: SourceConfig) -> list[str]:
    """The columns that hold places whatever stands in them, the first being the one."""
    own = (
        (config.image_column, *_OWN_PLACES)
        if _is_set(config, "image_column")
        else (*_OWN_PLACES, config.image_column)
    )
    names = (*own, _HUGGING_FACE_PLACE)
    return [name for name in dict.fromkeys(names) if name in columns]


def _usual_places(columns: Collection[str], config: SourceConfig) -> list[str]:
    """The columns that may hold places, where the config names none."""
    if _is_set(config, "image_column"):
        return []
    return [name for name in _USUAL_PLACES if name in columns and name != config.label_column]


def _label_columns(columns: Collection[str], config: SourceConfig) -> list[str]:
    """The columns that may hold labels: the config's alone where it is there, or was set."""
    if config.label_column in columns:
        return [config.label_column]
    if _is_set(config, "label_column"):
        return []
    return [name for name in _USUAL_LABELS if name in columns and name != config.image_column]


def _is_set(config: SourceConfig, field: str) -> bool:
    """Whether the user named a column: by its value, since a config that was stored holds all fields."""
    return bool(getattr(config, field) != SourceConfig.model_fields[field].default)


def _shown(value: object) -> str:
    text = redact(str(value))
    return repr(text if len(text) <= _SHOWN_CHARACTERS else f"{text[: _SHOWN_CHARACTERS - 1]}…")

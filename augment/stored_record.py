"""A stored record's JSON back to the record, and what a user hears where it is damaged.

Owns those words, which are the same for every record: the object, what it should be, the first field at
fault, and what to do. Knows no record, and no key.
"""

from __future__ import annotations

from typing import TypeVar

from pydantic import BaseModel, ValidationError

from augment.errors import IntegrityError
from augment.objects import ObjectNotFoundError, ObjectStore

__all__ = ["CORRUPT", "parsed_record", "stored_record"]

RecordT = TypeVar("RecordT", bound=BaseModel)

CORRUPT = "it is corrupt, or a newer version of augment wrote it"
"""The end of a message about a record that can't be made anew."""


def stored_record(
    kind: type[RecordT], store: ObjectStore, key: str, *, called: str | None = None, mend: str = CORRUPT
) -> RecordT | None:
    """The record that lies at `key`; None where nothing does. Raises what `parsed_record` raises."""
    try:
        data = store.get(key)
    except ObjectNotFoundError:
        return None
    return parsed_record(kind, data, store.uri_of(key), called=called, mend=mend)


def parsed_record(
    kind: type[RecordT], data: bytes, where: str, *, called: str | None = None, mend: str = CORRUPT
) -> RecordT:
    """The record that `data`, JSON read at `where`, holds.

    Raises IntegrityError that names `where`, the kind of record (`called`, by default its class) and the
    first field at fault, and repeats no value: it may be long, or a secret. `mend` ends the message.
    """
    try:
        return kind.model_validate_json(data)
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        field = ".".join(str(part) for part in first["loc"]) or "JSON"
        raise IntegrityError(
            f"{where} is not a valid {called or kind.__name__} ({field}: {first['msg']}); {mend}"
        ) from error

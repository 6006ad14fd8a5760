"""JSON that a stranger wrote, an object a row: a line of a manifest, a member of a tar.

Owns what such an object and a label in it may be. Knows neither manifests nor tars.
"""

import json

from augment.data.images import BadImageError
from augment.data.scan import Label

__all__ = ["json_label", "json_object"]


def json_object(data: bytes) -> dict[str, object]:
    """The object that `data` holds. BadImageError for anything else; the reason reads on after a name."""
    try:
        value = json.loads(data)
    except (ValueError, RecursionError) as error:  # UnicodeDecodeError is a ValueError
        raise BadImageError("is not JSON") from error
    if not isinstance(value, dict):
        raise BadImageError("is no JSON object")
    if b"\\ud" in data.lower():  # the only way to half a surrogate pair, which no output can hold
        try:
            json.dumps(value, ensure_ascii=False).encode()
        except UnicodeEncodeError as error:
            raise BadImageError("holds half a surrogate pair, which is no character") from error
    return value


def json_label(value: object, field: str) -> Label | None:
    """A label as JSON writes it; None for null and for empty text. BadImageError for what no label can be."""
    if isinstance(value, bool) or not isinstance(value, int | str | None):
        raise BadImageError(f"has a {field!r} that is neither a whole number nor text")
    if isinstance(value, int) and not -(2**63) <= value < 2**63:
        raise BadImageError(f"has a {field!r} that does not fit into 64 bits")
    return None if value == "" else value

"""What a cluster file may give a job to read: never a secret, since it is stored and shown."""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from typing import Annotated, Any, TypeVar

from pydantic import AfterValidator

from augment.redaction import redact

__all__ = ["CommandWords", "Environment", "refuse_secrets", "refuse_secrets_in"]

T = TypeVar("T")

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(
    r"secret|passw|token|credential|pwd|connection.?string|(access|api|private).?key|(^|[_-])key$|(^|[_-])pat($|[_-])",
    re.IGNORECASE,
)
_POINTERS = frozenset({"AWS_WEB_IDENTITY_TOKEN_FILE", "RAY_AUTH_TOKEN_PATH"})  # they name a file
# NAME=value or --name=value in free text; what the shell is to look up on the node is no secret of this file.
_GIVEN = re.compile(r"""(?<![\w$-])(?:--)?([A-Za-z_][\w-]*)=(?!["']?(?:\$|`|\s|$))""")
_INSTEAD = "and this file is stored and shown; let the nodes have it from their role or their own environment"


def refuse_secrets(env: dict[str, str]) -> dict[str, str]:
    """`env` itself; ValueError, without the value, for a name that is none, a name that speaks of a secret, and a
    URI with a password in it.
    """
    for name, value in env.items():
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an environment variable")
        if _speaks_of_a_secret(name):
            raise ValueError(f"{name} looks like a secret, {_INSTEAD}")
        if redact(value) != value:
            raise ValueError(f"{name}={redact(value)} holds credentials, {_INSTEAD}")
    return env


def refuse_secrets_in(free: T) -> T:
    """`free` itself, a list or a map of free text however deep; ValueError, without the value, where a text sets a
    name that speaks of a secret (`NAME=value`), or has a URI with a password in it.
    """
    for text in _texts(free):
        for name in _GIVEN.findall(text):
            if _speaks_of_a_secret(name):
                raise ValueError(f"{name}=… looks like a secret, {_INSTEAD}")
        if redact(text) != text:
            raise ValueError(f"a URI in it holds credentials, {_INSTEAD}")
    return free


Environment = Annotated[dict[str, str], AfterValidator(refuse_secrets)]
"""A field of a backend's settings: environment variables by name."""

CommandWords = Annotated[tuple[str, ...], AfterValidator(refuse_secrets_in)]
"""A field of a backend's settings: the words of a command, or lines of a shell."""


def _speaks_of_a_secret(name: str) -> bool:
    return _SECRET.search(name) is not None and name not in _POINTERS


def _texts(free: Any) -> Iterator[str]:
    if isinstance(free, str):
        yield free
    elif isinstance(free, Mapping):
        for value in free.values():
            yield from _texts(value)
    elif isinstance(free, (list, tuple)):
        for value in free:
            yield from _texts(value)

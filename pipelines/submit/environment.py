"""Environment variables that a cluster file may give a job: never a secret, since it is stored and shown."""

from __future__ import annotations

import re

__all__ = ["refuse_secrets"]

_NAME = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_SECRET = re.compile(r"secret|passw|token|credential|(access|api|private).?key", re.IGNORECASE)
_POINTERS = frozenset({"AWS_WEB_IDENTITY_TOKEN_FILE", "RAY_AUTH_TOKEN_PATH"})  # they name a file


def refuse_secrets(env: dict[str, str]) -> dict[str, str]:
    """`env` itself; ValueError, without the value, for a name that is none or that speaks of a secret."""
    for name in env:
        if not _NAME.fullmatch(name):
            raise ValueError(f"{name!r} is no name of an environment variable")
        if _SECRET.search(name) and name not in _POINTERS:
            raise ValueError(
                f"{name} looks like a secret, and this file is stored and shown; let the nodes have it from their role "
                "or their own environment"
            )
    return env

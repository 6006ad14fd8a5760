"""What may be in a URI and must not be in a message: a user and a password.

Owns how they are found. Imports next to nothing: every log line passes through it.
"""

import re

__all__ = ["redact"]

# user:password@ in a URI's authority, or after a colon in it when the password holds a slash.
_CREDENTIALS = re.compile(r"://(?:[^/?#\s]*@|[^/@\s]*:[^@\s]*@)")


def redact(text: str) -> str:
    """`text` without what stands before `@` in any URI."""
    return _CREDENTIALS.sub("://***@", text)

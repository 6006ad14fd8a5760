"""Names as literal text in Markdown: they come from the data, and may hold anything.

Owns the escaping, for the dataset card and its sections alike.
"""

from __future__ import annotations

import re

__all__ = ["literal"]


def literal(text: str) -> str:
    """`text` in one line, as it is, in a Markdown paragraph or table."""
    return re.sub(r"([\\`*_{}\[\]<>|&#!~])", r"\\\1", re.sub(r"\s+", " ", text))

"""Strategies that damage what is valid: bytes by flips, cuts and splices, JSON by changes of its structure."""

from __future__ import annotations

import copy
from typing import Any

from hypothesis import strategies as st

__all__ = ["mutated_bytes", "mutated_json", "with_checksums"]

Path = tuple[str | int, ...]


@st.composite
def mutated_bytes(draw: st.DrawFn, valid: bytes) -> bytes:
    """`valid` with up to eight bytes changed, maybe a part repeated, cut out or cut off."""
    data = bytearray(valid)
    for position in draw(st.lists(st.integers(0, len(data) - 1), max_size=8)):
        data[position] = draw(st.integers(0, 255))
    kind = draw(st.sampled_from(["whole", "whole", "cut off", "cut out", "repeated", "replaced"]))
    start, stop = sorted((draw(st.integers(0, len(data))), draw(st.integers(0, len(data)))))
    if kind == "cut off":
        del data[start:]
    elif kind == "cut out":
        del data[start:stop]
    elif kind == "repeated":
        data[start:start] = data[start:stop]
    elif kind == "replaced":
        data[start:stop] = draw(st.binary(max_size=64))
    return bytes(data)


@st.composite
def mutated_json(draw: st.DrawFn, valid: Any, values: st.SearchStrategy[Any]) -> Any:
    """`valid` with one to four places removed, doubled, or replaced by one of `values`."""
    document = copy.deepcopy(valid)
    for _ in range(draw(st.integers(1, 4))):
        places = _places(document)
        if not places:
            break
        path = draw(st.sampled_from(places))
        parent = document
        for part in path[:-1]:
            parent = parent[part]
        kind = draw(st.sampled_from(["replace", "replace", "remove", "add"]))
        if kind == "replace":
            parent[path[-1]] = draw(values)
        elif kind == "remove":
            del parent[path[-1]]
        elif isinstance(parent, dict):
            parent[draw(st.text(max_size=8))] = draw(values)
        else:
            parent.append(copy.deepcopy(parent[path[-1]]))
    return document


def with_checksums(tar: bytes) -> bytes:
    """A tar with the checksum of every block that looks like a header made right, so that what else is wrong shows."""
    blocks = [bytearray(tar[start : start + 512]) for start in range(0, len(tar), 512)]
    for block in blocks:
        if len(block) == 512 and block[257:262] == b"ustar":
            block[148:156] = b" " * 8
            block[148:156] = b"%06o\0 " % sum(block)
    return b"".join(blocks)


def _places(document: Any, path: Path = ()) -> list[Path]:
    """The path of every value below the root."""
    if isinstance(document, dict):
        children: list[tuple[str | int, Any]] = list(document.items())
    else:
        children = list(enumerate(document)) if isinstance(document, list) else []
    return [place for part, value in children for place in ((*path, part), *_places(value, (*path, part)))]

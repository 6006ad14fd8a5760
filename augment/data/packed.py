"""Many short texts in one buffer, so that a million keys cost their bytes and not a million objects.

Owns that container alone.
"""

from array import array
from collections.abc import Iterator, Sequence
from typing import overload

__all__ = ["PackedText"]


class PackedText(Sequence[str]):
    """A list of texts that grows at its end: UTF-8 in one buffer, and 8 bytes a text beside it."""

    def __init__(self) -> None:
        self._text = bytearray()
        self._ends = array("Q")

    def append(self, text: str) -> None:
        """Add a text; any string, also one with undecodable bytes of a file's name."""
        self._text += text.encode("utf-8", "surrogateescape")
        self._ends.append(len(self._text))

    def __len__(self) -> int:
        return len(self._ends)

    @overload
    def __getitem__(self, index: int) -> str: ...
    @overload
    def __getitem__(self, index: slice) -> list[str]: ...
    def __getitem__(self, index: int | slice) -> str | list[str]:
        if isinstance(index, slice):
            return [self[position] for position in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(f"text {index} of {len(self)}")
        index %= len(self)
        start = self._ends[index - 1] if index else 0
        return self._text[start : self._ends[index]].decode("utf-8", "surrogateescape")

    def __iter__(self) -> Iterator[str]:
        start = 0
        for end in self._ends:
            yield self._text[start:end].decode("utf-8", "surrogateescape")
            start = end

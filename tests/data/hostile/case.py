"""One hostile input and what becomes of it. Owns the record; knows no particular input."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np

from tests.data.factory import encoded, picture

__all__ = ["Case", "LeftOut", "Outcome", "Refused", "Used", "beside_good_images", "pattern_of"]


@dataclass(frozen=True)
class Used:
    """It is an image like any other; `pixels` [16, 16, 3] are what it shows, within `tolerance` gray levels."""

    how: str
    pixels: Callable[[], np.ndarray] | None = None
    tolerance: int = 0
    classes: tuple[str, ...] | None = None  # of the whole source, where their names are the point


@dataclass(frozen=True)
class LeftOut:
    """It is named in the census with this reason (`…` stands for what varies), and the others are used."""

    reason: str
    good: int = 2  # others, that are used
    also: tuple[str, ...] = ()  # what is left out beside it, as the census names it


@dataclass(frozen=True)
class Refused:
    """The whole source is refused, exit code 3, with this message (`…` stands for what varies)."""

    message: str


Outcome = Used | LeftOut | Refused


@dataclass(frozen=True)
class Case:
    """A source with something hostile in it, and the documented outcome."""

    group: str
    title: str
    files: Callable[[], Mapping[bytes, bytes]]  # path below the root → content; a path need not be text
    name: str  # as the census names what is hostile
    outcome: Outcome
    config: Mapping[str, Any] = field(default_factory=dict)  # fields of source, beside the uri
    file: str = ""  # the one file that source.uri names, where it is not the folder

    def write(self, root: Path) -> dict[str, Any]:
        """Put the files below `root`; fields of the source's config."""
        for path, data in self.files().items():
            target = os.path.join(os.fsencode(root), path)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "xb") as file:
                file.write(data)
        return {"uri": str(root / self.file) if self.file else str(root), **self.config}


def beside_good_images(path: bytes, data: Callable[[], bytes]) -> Callable[[], Mapping[bytes, bytes]]:
    """A folder source with two good classes, `good` and `odd`, and the hostile file."""
    return lambda: {
        b"good/1.png": encoded(picture(seed=1)),
        b"odd/ok.png": encoded(picture(seed=2)),
        path: data(),
    }


def pattern_of(text: str) -> str:
    """A regular expression for `text`, in which `…` stands for anything."""
    return ".*".join(re.escape(part) for part in text.split("…"))

"""Pixels into embedded pictures, within a budget of bytes for the whole report.

Owns how images are encoded and what is given up, in which order, where they don't fit: first that they are
lossless, then quality, then how many are shown, then their size. What was done is in the result's words.
Knows no page and no store.

B = images, H, W = rows and columns, C = channels (1 or 3).
"""

from __future__ import annotations

import base64
import io
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
from PIL import Image

from augment.report.html.document import ClassSheet, Pair, Picture, Rejected, Sheets

__all__ = ["PICTURE_BUDGET_BYTES", "RejectedPixels", "SheetPixels", "embed_sheets"]

Pixels = npt.NDArray[np.uint8]  # [B, H, W, C]

PICTURE_BUDGET_BYTES = 3_200_000
"""Of all pictures as they stand in the page, in base64: what leaves room for 100 classes' tables in 5 MB."""

_SHOWN_REJECTED = 6
_TRIED_CLASSES = 8
_HOPELESS = 1.1  # times the budget, by the classes that were tried


@dataclass(frozen=True)
class RejectedPixels:
    """Refused candidates, and a gate and reason for each."""

    pixels_BHWC: Pixels
    gates: Sequence[str]
    reasons: Sequence[str]


@dataclass(frozen=True)
class SheetPixels:
    """One class's images, uint8 [B, H, W, C] of one shape; any of them may have no images.

    `nearest_BHWC` and `distance_B` belong to the synthetic samples one by one; None where they were not
    looked for.
    """

    label: int
    real_BHWC: Pixels
    synthetic_BHWC: Pixels
    nearest_BHWC: Pixels | None = None
    distance_B: Sequence[float] | None = None
    rejected: RejectedPixels | None = field(default=None)


class _Rung(NamedTuple):
    """One way to encode: at most `most` images of a kind, at most `side` pixels, lossless or at `quality`."""

    most: int
    side: int
    quality: int | None

    @property
    def words(self) -> str:
        return "lossless WebP" if self.quality is None else f"WebP of quality {self.quality}"


_LADDER = tuple(
    _Rung(most, side, quality)
    for most, side, quality in (
        (10, 96, None), (10, 96, 85), (8, 96, 75), (8, 64, 75), (6, 64, 70), (5, 64, 60), (4, 48, 60), (3, 48, 50),
        (2, 32, 50), (1, 32, 40), (1, 16, 30),
    )
)  # fmt: skip


def embed_sheets(
    sheets: Sequence[SheetPixels], *, space: str | None = None, budget_bytes: int = PICTURE_BUDGET_BYTES
) -> Sheets:
    """Contact sheets whose pictures take at most `budget_bytes` together, in the order given.

    Raises ValueError without images, or where not even one small image of a kind and class fits.
    """
    side = _side(sheets)
    for rung in _LADDER:
        # A few classes tell which rungs are hopeless; those that may fit are tried in earnest.
        spread = sheets[:: max(1, len(sheets) // _TRIED_CLASSES)]
        if _encoded(spread, rung, round(_HOPELESS * budget_bytes * len(spread) / len(sheets))) is None:
            continue
        if (classes := _encoded(sheets, rung, budget_bytes)) is not None:
            return Sheets(
                side=min(side, rung.side),
                original_side=side,
                encoding=rung.words,
                space=space,
                classes=tuple(classes),
            )
    raise ValueError(f"{len(sheets)} classes' pictures don't fit into {budget_bytes:,} bytes")


def _side(sheets: Sequence[SheetPixels]) -> int:
    """The images' larger side, the same in all classes."""
    shapes = {
        (int(block.shape[1]), int(block.shape[2]))
        for sheet in sheets
        for block in (sheet.real_BHWC, sheet.synthetic_BHWC)
        if len(block)
    }
    if len(shapes) != 1:
        raise ValueError(f"contact sheets need images of one shape, not of {sorted(shapes)}")
    return max(shapes.pop())


def _encoded(sheets: Sequence[SheetPixels], rung: _Rung, budget_bytes: int) -> list[ClassSheet] | None:
    """Every class by one rung; None as soon as the budget is spent."""
    left, classes = budget_bytes, []
    for sheet in sheets:
        encoded = _class_sheet(sheet, rung)
        left -= sum(len(picture.uri) for picture in _pictures(encoded))
        if left < 0:
            return None
        classes.append(encoded)
    return classes


def _class_sheet(sheet: SheetPixels, rung: _Rung) -> ClassSheet:
    picture = _encoder(rung)
    pairs = [
        Pair(
            synthetic=picture(pixels_HWC),
            nearest=None if sheet.nearest_BHWC is None else picture(sheet.nearest_BHWC[index]),
            distance=None if sheet.distance_B is None else float(sheet.distance_B[index]),
        )
        for index, pixels_HWC in enumerate(sheet.synthetic_BHWC[: rung.most])
    ]
    return ClassSheet(
        label=sheet.label,
        real=tuple(picture(pixels_HWC) for pixels_HWC in sheet.real_BHWC[: rung.most]),
        pairs=tuple(pairs),
        rejected=tuple(_rejected(sheet.rejected, rung)) if sheet.rejected is not None else (),
    )


def _rejected(rejected: RejectedPixels, rung: _Rung) -> Iterator[Rejected]:
    picture = _encoder(rung)
    found = zip(rejected.pixels_BHWC, rejected.gates, rejected.reasons, strict=True)
    for _, (pixels_HWC, gate, reason) in zip(range(min(rung.most, _SHOWN_REJECTED)), found, strict=False):
        yield Rejected(picture=picture(pixels_HWC), gate=gate, reason=reason)


def _encoder(rung: _Rung) -> Callable[[Pixels], Picture]:
    """uint8 [H, W, C] to a picture."""

    def encode(pixels_HWC: Pixels) -> Picture:
        image = Image.fromarray(pixels_HWC[..., 0] if pixels_HWC.shape[-1] == 1 else pixels_HWC)
        if max(image.size) > rung.side:
            image.thumbnail((rung.side, rung.side), Image.Resampling.BOX)
        sink = io.BytesIO()
        image.save(sink, "WEBP", lossless=rung.quality is None, quality=rung.quality or 60, method=2)
        return Picture(uri="data:image/webp;base64," + base64.b64encode(sink.getvalue()).decode())

    return encode


def _pictures(sheet: ClassSheet) -> Iterator[Picture]:
    yield from sheet.real
    for pair in sheet.pairs:
        yield pair.synthetic
        if pair.nearest is not None:
            yield pair.nearest
    for one in sheet.rejected:
        yield one.picture

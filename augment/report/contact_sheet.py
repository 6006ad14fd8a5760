"""The contact sheet: one picture that shows, class by class, real images beside synthetic ones.

Owns the picture's layout. Knows nothing of where images come from; it only draws what it is given.

Axes: B = images, H = height, W = width, C = channels (1 or 3).
"""

import io
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import numpy.typing as npt
from PIL import Image, ImageDraw, ImageFont

__all__ = ["ContactRow", "contact_sheet", "contact_sheet_png"]

_Color = tuple[int, int, int]

_MIN_TILE = 56  # pixels: a smaller image is enlarged by a whole factor, so that its pixels stay sharp
_GAP, _MARGIN, _LABEL_WIDTH, _SPLIT = 4, 24, 210, 28
_TITLE_SIZE, _HEADING_SIZE, _NAME_SIZE, _COUNT_SIZE = 24, 16, 17, 13
_HEADER_HEIGHT = 84
_PAPER: _Color = (255, 255, 255)
_INK: _Color = (28, 32, 38)
_FAINT: _Color = (108, 116, 128)
_BAND: _Color = (245, 247, 249)  # behind every other row
_REAL: _Color = (38, 98, 164)
_SYNTHETIC: _Color = (190, 92, 22)


@dataclass(frozen=True)
class ContactRow:
    """One class: its name, how many images it has of each kind, and some of them to show.

    `real_BHWC` and `synthetic_BHWC` are uint8 of one image size; either may have no images.
    """

    name: str
    real_count: int
    synthetic_count: int
    real_BHWC: npt.NDArray[np.uint8]
    synthetic_BHWC: npt.NDArray[np.uint8]


def contact_sheet(rows: Sequence[ContactRow], title: str) -> Image.Image:
    """An RGB picture with a row a class: its name and counts, real images, then synthetic ones.

    Images narrower than 56 pixels are enlarged by a whole factor. Raises ValueError without rows.
    """
    if not rows:
        raise ValueError("a contact sheet needs at least one class")
    layout = _Layout.of(rows)
    sheet = Image.new("RGB", layout.size(len(rows)), _PAPER)
    draw = ImageDraw.Draw(sheet)
    _draw_header(draw, layout, title)
    for position, row in enumerate(rows):
        top = _HEADER_HEIGHT + position * layout.row_height
        if position % 2 == 0:
            draw.rectangle((0, top, sheet.width, top + layout.row_height - 1), fill=_BAND)
        _draw_label(draw, layout, row, top)
        _paste_tiles(sheet, layout, row.real_BHWC, layout.real_left, top)
        _paste_tiles(sheet, layout, row.synthetic_BHWC, layout.synthetic_left, top)
    return sheet


def contact_sheet_png(rows: Sequence[ContactRow], title: str) -> bytes:
    """`contact_sheet` as PNG bytes."""
    buffer = io.BytesIO()
    contact_sheet(rows, title).save(buffer, format="PNG", optimize=True)
    return buffer.getvalue()


@dataclass(frozen=True)
class _Layout:
    """Where things go, in pixels."""

    tile: int  # an image's side on the sheet
    real_columns: int
    synthetic_columns: int

    @classmethod
    def of(cls, rows: Sequence[ContactRow]) -> "_Layout":
        """Room for the widest row of each kind, and for the headings where there are few images."""
        blocks = [block for row in rows for block in (row.real_BHWC, row.synthetic_BHWC) if len(block)]
        side = max((block.shape[1] for block in blocks), default=_MIN_TILE)
        real = max(len(row.real_BHWC) for row in rows)
        synthetic = max(len(row.synthetic_BHWC) for row in rows)
        return cls(side * _scale(side), max(real, 2), max(synthetic, 2))

    @property
    def real_left(self) -> int:
        return _MARGIN + _LABEL_WIDTH

    @property
    def synthetic_left(self) -> int:
        return self.real_left + self.real_columns * (self.tile + _GAP) - _GAP + _SPLIT

    @property
    def row_height(self) -> int:
        return self.tile + 3 * _GAP

    def size(self, rows: int) -> tuple[int, int]:
        right = self.synthetic_left + self.synthetic_columns * (self.tile + _GAP) - _GAP
        return right + _MARGIN, _HEADER_HEIGHT + rows * self.row_height + _MARGIN


def _scale(side: int) -> int:
    return max(1, -(-_MIN_TILE // side))


def _draw_header(draw: ImageDraw.ImageDraw, layout: _Layout, title: str) -> None:
    width = layout.size(1)[0] - 2 * _MARGIN
    draw.text((_MARGIN, 18), _shortened(title, _font(_TITLE_SIZE), width), _INK, _font(_TITLE_SIZE))
    for left, text, color in (
        (layout.real_left, "real", _REAL),
        (layout.synthetic_left, "synthetic", _SYNTHETIC),
    ):
        draw.text((left, _HEADER_HEIGHT - 26), text, color, _font(_HEADING_SIZE))


def _draw_label(draw: ImageDraw.ImageDraw, layout: _Layout, row: ContactRow, top: int) -> None:
    """The class's name over its two counts, centred on the row."""
    middle = top + layout.row_height // 2
    name = _shortened(row.name, _font(_NAME_SIZE), _LABEL_WIDTH - 16)
    draw.text((_MARGIN, middle - 4), name, _INK, _font(_NAME_SIZE), anchor="ls")
    counts = f"{row.real_count:,} real + {row.synthetic_count:,} synthetic"
    counts = _shortened(counts, _font(_COUNT_SIZE), _LABEL_WIDTH - 16)
    draw.text((_MARGIN, middle + 15), counts, _FAINT, _font(_COUNT_SIZE), anchor="ls")


def _paste_tiles(
    sheet: Image.Image, layout: _Layout, images_BHWC: npt.NDArray[np.uint8], left: int, top: int
) -> None:
    for column, pixels_HWC in enumerate(images_BHWC):
        tile = _tile(pixels_HWC, layout.tile)
        sheet.paste(
            tile, (left + column * (layout.tile + _GAP), top + (layout.row_height - tile.height) // 2)
        )


def _tile(pixels_HWC: npt.NDArray[np.uint8], tile: int) -> Image.Image:
    scale = max(1, tile // max(pixels_HWC.shape[:2]))
    enlarged = np.repeat(np.repeat(pixels_HWC, scale, axis=0), scale, axis=1)
    return Image.fromarray(enlarged[:, :, 0] if enlarged.shape[2] == 1 else enlarged).convert("RGB")


def _font(size: int) -> ImageFont.FreeTypeFont | ImageFont.ImageFont:
    """Pillow's own font, so that the sheet looks the same everywhere."""
    return ImageFont.load_default(size)


def _shortened(text: str, font: ImageFont.FreeTypeFont | ImageFont.ImageFont, width: int) -> str:
    """The text, cut with an ellipsis where it is wider than `width` pixels."""
    text = " ".join(text.split())  # a newline in a class name would break the row
    if not text.isascii():  # Pillow's font has few letters beyond ASCII: é is drawn as e rather than as a box
        text = unicodedata.normalize("NFKD", text).encode("ascii", "ignore").decode() or ascii(text)
    if font.getlength(text) <= width:
        return text
    while text and font.getlength(text + "…") > width:
        text = text[:-1]
    return text + "…"

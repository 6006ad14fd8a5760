"""The page: one HTML file without a script, a font or an address, made from the document alone.

Owns the environment of the templates and what they may call. A template writes a number only through
`figure` and a text only through `text`: both look it up in the document's JSON, by a pointer that stays in
the page as `data-figure` or `data-text`. A content security policy in the page forbids everything that is
not in it.
"""

from __future__ import annotations

import base64
import hashlib
import json
import re
from functools import cache
from typing import Any

from jinja2 import Environment, PackageLoader, StrictUndefined
from markupsafe import Markup, escape

from augment.report.html import theme
from augment.report.html.charts import svg
from augment.report.html.charts.bars import balance_bar
from augment.report.html.charts.curves import curve_key, panel_chart
from augment.report.html.charts.histogram import histogram_chart
from augment.report.html.charts.intervals import interval_mark, lift_axis, lift_scale
from augment.report.html.document import ReportDocument, resolve_pointer

__all__ = ["render_page"]

_LEAST_TILE = 56  # CSS pixels: smaller pictures are enlarged by a whole factor, so that pixels stay sharp
_OPEN_SHEETS = 6  # of the rarest classes; the others open at a click, and all in print
_VERDICTS = {
    "augment": ("✓", "Augment"),
    "some-classes": ("◐", "Augment some classes"),
    "do-not-augment": ("✕", "Don’t augment"),
}
_NOT_IN_HTML = re.compile(
    r"[\x00-\x08\x0b\x0c\x0e-\x1f\x7f-\x9f\ud800-\udfff\ufdd0-\ufdef]|[\ufffe\uffff]"
    + "".join(f"|[{chr(plane << 16 | 0xFFFE)}{chr(plane << 16 | 0xFFFF)}]" for plane in range(1, 17))
)


def render_page(document: ReportDocument) -> str:
    """The whole page as text; write it as UTF-8. Equal documents give equal pages."""
    environment = _environment()
    style = environment.get_template("style.css").render(
        light=theme.declarations(theme.LIGHT), dark=theme.declarations(theme.DARK)
    )
    page = environment.get_template("page.html").render(
        _vocabulary(document) | {"style": Markup(style), "style_hash": _csp_hash(style)}  # noqa: S704  # ours
    )
    # Names come from the data: what HTML cannot hold, written as it is or as a reference, is shown as �.
    return _NOT_IN_HTML.sub("\N{REPLACEMENT CHARACTER}", page)


@cache
def _environment() -> Environment:
    """The templates, parsed once."""
    return Environment(
        loader=PackageLoader("augment.report.html"),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )


def _vocabulary(document: ReportDocument) -> dict[str, Any]:
    """What the templates may use."""
    lookup = _Lookup(json.loads(document.to_json()))
    position = {one.label: index for index, one in enumerate(document.balance.classes)}
    pictured = {sheet.label for sheet in document.sheets.classes} if document.sheets else set()
    return {
        "document": document,
        "figure": lookup.figure,
        "size": lookup.size,
        "text": lookup.text,
        "class_name": lambda label: lookup.class_name(position[label]),
        "class_at": lambda label: f"/balance/classes/{position[label]}",
        "in_order": lambda entries: sorted(enumerate(entries), key=lambda entry: position[entry[1].label]),
        "pictured": pictured,
        "verdicts": _VERDICTS,
        "open_sheets": _OPEN_SHEETS,
        "tile": _tile(document.sheets.side) if document.sheets else 0,
        "balance_bar": balance_bar,
        "panel_chart": panel_chart,
        "curve_key": curve_key,
        "histogram_chart": histogram_chart,
        "lift_scale": lift_scale,
        "lift_axis": lift_axis,
        "interval_mark": interval_mark,
        "arm_order": _arm_order(document),
        "has_floors": _has_floors(document),
    }


class _Lookup:
    """Figures and texts by where they lie in the document's JSON."""

    def __init__(self, values: object) -> None:
        self._values = values

    def figure(self, pointer: str, kind: str) -> Markup:
        """A number, or a dash where there is none."""
        value = resolve_pointer(self._values, pointer)
        if value is None:
            return Markup('<span class="none">–<span class="hidden"> not known</span></span>')
        assert isinstance(value, int | float), pointer  # noqa: S101  # the templates name numbers
        return svg.figure(value, pointer, kind)

    def size(self, pointer: str) -> Markup:
        """How many entries a list has."""
        value = resolve_pointer(self._values, pointer)
        assert isinstance(value, list), pointer  # noqa: S101  # the templates name lists
        return svg.element("span", f"{len(value):,}", data_figure=pointer, data_kind="size")

    def class_name(self, position: int) -> Markup:
        """A class by its name, or by its label where the name shows nothing."""
        at = f"/balance/classes/{position}"
        if str(resolve_pointer(self._values, f"{at}/name")).strip():
            return self.text(f"{at}/name", "bdi")
        return Markup("class {} without a name").format(self.figure(f"{at}/label", "plain"))

    def text(self, pointer: str, tag: str = "span") -> Markup:
        """A text as it is, escaped."""
        value = resolve_pointer(self._values, pointer)
        return Markup('<{0} data-text="{1}">{2}</{0}>').format(tag, pointer, escape(str(value)))


def _arm_order(document: ReportDocument) -> list[int]:
    """Indices of the arms, the best first."""
    arms = document.lift.arms if document.lift else ()
    return sorted(range(len(arms)), key=lambda index: (-arms[index].balanced_accuracy, index))


def _has_floors(document: ReportDocument) -> bool:
    rows = document.metrics.rows if document.metrics else ()
    return any(cell.floor is not None for row in rows for cell in row.cells)


def _tile(side: int) -> int:
    """The side at which pictures are shown, in CSS pixels."""
    return side * max(1, -(-_LEAST_TILE // side))


def _csp_hash(style: str) -> str:
    digest = base64.b64encode(hashlib.sha256(style.encode()).digest()).decode()
    return f"'sha256-{digest}'"

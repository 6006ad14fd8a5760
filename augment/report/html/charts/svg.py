"""SVG elements as escaped markup, and figures that say where in the document they come from.

Owns escaping and the `data-figure` attribute: a JSON pointer into the report's document, with the kind by
which the number was written. Knows no chart.
"""

from __future__ import annotations

from markupsafe import Markup, escape

from augment.report.html.scalars import shown

__all__ = ["element", "figure", "percent"]


def element(tag: str, *children: str | Markup, **attributes: object) -> Markup:
    """`<tag …>children</tag>`; everything that is not Markup is escaped.

    An attribute's name loses a trailing underscore and has its others turned into hyphens; None leaves the
    attribute out.
    """
    written = Markup("").join(
        Markup(' {}="{}"').format(name.rstrip("_").replace("_", "-"), value)
        for name, value in attributes.items()
        if value is not None
    )
    inside = Markup("").join(escape(child) for child in children)
    return Markup("<{0}{1}>{2}</{0}>").format(tag, written, inside)


def figure(value: float, pointer: str, kind: str, tag: str = "span", **attributes: object) -> Markup:
    """A number as the report writes it, tied to where it lies in the document."""
    return element(tag, shown(value, kind), data_figure=pointer, data_kind=kind, **attributes)


def percent(share: float) -> str:
    """A position or width in an SVG of fluid width: 0.5 is `50%`."""
    return f"{100 * share:.3f}".rstrip("0").rstrip(".") + "%"

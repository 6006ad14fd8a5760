"""A class's bar: real images, then synthetic samples on top of them.

Owns one table cell's picture. The cell's row has the figures, so the bar itself is hidden from a reader that
can't see it. Synthetic is hatched as well as coloured.
"""

from __future__ import annotations

from markupsafe import Markup

from augment.report.html.charts.svg import element, percent

__all__ = ["balance_bar"]

_HEIGHT = 14  # pixels
_LEAST = 0.004  # of the width: a class that has images stays visible beside one that has very many


def balance_bar(real: int, synthetic: int, largest: int) -> Markup:
    """`largest` fills the width that there is."""
    parts, left = [], 0.0
    for kind, count in (("real", real), ("synthetic", synthetic)):
        if count:
            wide = min(max(count / largest, _LEAST), 1 - left)
            parts.append(
                element(
                    "rect",
                    x=percent(left),
                    width=percent(wide),
                    y=0.5,
                    height=_HEIGHT - 1,
                    class_=f"bar {kind}",
                )
            )
            left += wide
    return element("svg", *parts, class_="cell-chart", width="100%", height=_HEIGHT, aria_hidden="true")

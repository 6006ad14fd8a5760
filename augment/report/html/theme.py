"""The report's colours in both themes, as CSS custom properties.

Owns the palettes: blue is real and orange is synthetic, as on the contact sheet, and nothing else has a
colour but verdicts. Every text colour has a contrast of 4.5 : 1 or more on `paper` and on `raised`, every
`edge` of a control 3 : 1 (WCAG 2.2, 1.4.3 and 1.4.11).
"""

from __future__ import annotations

__all__ = ["DARK", "LIGHT", "declarations"]

LIGHT = {
    "paper": "#ffffff",
    "raised": "#f5f7f9",
    "ink": "#1c2026",
    "faint": "#56606c",
    "rule": "#d9dee4",
    "edge": "#7d8793",
    "real": "#2662a4",
    "synthetic": "#b4530f",
    "good": "#1c6b3c",
    "bad": "#a32626",
}

DARK = {
    "paper": "#14171b",
    "raised": "#1d2127",
    "ink": "#e8ebef",
    "faint": "#a3acb8",
    "rule": "#343b45",
    "edge": "#77818e",
    "real": "#7fb2e8",
    "synthetic": "#f0a064",
    "good": "#76cf98",
    "bad": "#f49b93",
}


def declarations(palette: dict[str, str]) -> str:
    """`--paper: #fff; …`, for the inside of a CSS rule."""
    return " ".join(f"--{name}: {value};" for name, value in palette.items())

"""Text can be read in both themes: contrasts computed from the page's own custom properties."""

from __future__ import annotations

import re
from functools import cache

import pytest

from augment.report.html.page import render_page
from tests.report.html import factory


@cache
def palettes() -> dict[str, dict[str, str]]:
    """The custom properties of each block of the style sheet that sets any, by its selector."""
    style = render_page(factory.document()).partition("<style>")[2].partition("</style>")[0]
    blocks = re.findall(r"(:root[^{]*)\{([^}]*--paper[^}]*)\}", style)
    found = [
        (selector.strip(), dict(re.findall(r"--([a-z]+): (#[0-9a-f]{6});", body)))
        for selector, body in blocks
    ]
    return {f"{index} {selector}": colours for index, (selector, colours) in enumerate(found)}


def luminance(colour: str) -> float:
    """Relative luminance, 0 to 1 (WCAG 2.2)."""
    channels = [int(colour[at : at + 2], 16) / 255 for at in (1, 3, 5)]
    red, green, blue = (
        value / 12.92 if value <= 0.04045 else ((value + 0.055) / 1.055) ** 2.4 for value in channels
    )
    return 0.2126 * red + 0.7152 * green + 0.0722 * blue


def contrast(one: str, other: str) -> float:
    """Contrast ratio, 1 to 21 (WCAG 2.2)."""
    light, dark = sorted((luminance(one), luminance(other)), reverse=True)
    return (light + 0.05) / (dark + 0.05)


def test_the_contrast_formula_gives_the_known_answers() -> None:
    assert contrast("#000000", "#ffffff") == pytest.approx(21)
    assert contrast("#767676", "#ffffff") == pytest.approx(4.54, abs=0.01)  # the lightest gray that passes
    assert contrast("#777777", "#ffffff") == pytest.approx(4.48, abs=0.01)


def test_there_are_two_themes_and_each_can_be_chosen() -> None:
    found = palettes()
    assert len(found) == 5  # light, dark by the system, each by the switch, and print
    assert len({tuple(sorted(colours.items())) for colours in found.values()}) == 2
    assert [*found.values()][-1] == next(iter(found.values()))  # printed light


@pytest.mark.parametrize("ground", ["paper", "raised"])
@pytest.mark.parametrize("ink", ["ink", "faint", "real", "synthetic", "good", "bad"])
def test_every_text_colour_stands_out_from_its_ground(ink: str, ground: str) -> None:
    for where, colours in palettes().items():
        assert contrast(colours[ink], colours[ground]) >= 4.5, where


def test_controls_and_marks_stand_out_from_the_paper() -> None:
    for colours in palettes().values():
        assert contrast(colours["edge"], colours["paper"]) >= 3
        assert contrast(colours["paper"], colours["ink"]) >= 4.5  # the chosen theme's button


def test_motion_is_only_for_those_who_have_not_asked_for_less() -> None:
    style = render_page(factory.document())
    assert style.count("scroll-behavior") == 1
    assert re.search(r"prefers-reduced-motion: no-preference\) \{ html \{ scroll-behavior", style)
    assert "transition" not in style
    assert "animation" not in style

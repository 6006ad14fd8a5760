"""The page is valid, closed to the network, honest about its source, and safe whatever a class is called."""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from itertools import pairwise
from typing import Any
from xml.etree.ElementTree import Element

import html5lib
import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from augment.report.html.document import Balance, ClassCount, ReportDocument, resolve_pointer
from augment.report.html.page import render_page
from augment.report.html.scalars import shown
from tests.report.html import factory

MOST_BYTES = 5_000_000


def parse(html: str) -> Element:
    """The page's tree; raises where the page breaks a rule of HTML."""
    parser = html5lib.HTMLParser(strict=True, namespaceHTMLElements=False)
    tree: Element = parser.parse(html)
    return tree


def full() -> ReportDocument:
    names = ("Sandal", "Bag", "Ankle boot", "Shirt")
    return factory.document(names, sheets=factory.sheets((3, 0), size=16, channels=1, each=3))


def bare(names: tuple[str, ...] = ("cat",)) -> ReportDocument:
    classes = [ClassCount.of(label, name, 5, 2) for label, name in enumerate(names)]
    return ReportDocument(title="bare", balance=Balance.of(classes))


@pytest.fixture(scope="module")
def page() -> str:
    return render_page(full())


@pytest.fixture(scope="module")
def tree(page: str) -> Element:
    return parse(page)


def content(element: Element) -> str:
    return "".join(element.itertext())


def local(element: Element) -> str:
    return str(element.tag).rpartition("}")[2]


def elements(tree: Element, tag: str) -> list[Element]:
    return [element for element in tree.iter() if local(element) == tag]


# ---- every figure comes from the document ------------------------------------------------------------------


def test_every_figure_is_in_the_json_at_the_place_it_names(tree: Element) -> None:
    document: Any = json.loads(full().to_json())
    figures = [element for element in tree.iter() if "data-figure" in element.attrib]
    assert len(figures) > 200
    for element in figures:
        value = resolve_pointer(document, element.attrib["data-figure"])
        kind = element.attrib["data-kind"]
        if kind == "list":
            assert isinstance(value, list)
        elif kind == "size":
            assert isinstance(value, list)
            assert content(element) == f"{len(value):,}"
        else:
            assert isinstance(value, int | float)
            assert content(element) == shown(value, kind)


def test_every_text_of_the_document_is_shown_as_it_is_there(tree: Element) -> None:
    document: Any = json.loads(full().to_json())
    for element in (element for element in tree.iter() if "data-text" in element.attrib):
        assert content(element) == str(resolve_pointer(document, element.attrib["data-text"]))
    for element in (element for element in tree.iter() if "data-key" in element.attrib):
        pointer = element.attrib["data-key"]
        assert resolve_pointer(document, pointer)
        assert pointer.rpartition("/")[2] == content(element).replace("~", "~0").replace("/", "~1")


def test_no_number_stands_in_the_page_but_as_a_figure_a_text_or_a_tick(tree: Element) -> None:
    fixed = {"SHA-256", "Generator’s SHA-256", "Gates’ SHA-256", "1"}  # the 1 of F₁
    found = [text for text in _texts_outside(tree) if re.search(r"\d", text) and text.strip() not in fixed]
    assert found == []


def _texts_outside(element: Element) -> Iterator[str]:
    attributes = element.attrib
    if local(element) in ("style", "title") or {"data-figure", "data-text", "data-key"} & attributes.keys():
        return
    if "tick" in attributes.get("class", ""):
        return
    yield element.text or ""
    for child in element:
        yield from _texts_outside(child)
        yield child.tail or ""


def test_a_line_has_a_point_for_each_value(tree: Element) -> None:
    document: Any = json.loads(full().to_json())
    lines = [
        line for line in elements(tree, "polyline") if line.attrib["data-figure"].startswith("/training")
    ]
    assert len(lines) == 5
    for line in lines:
        values = resolve_pointer(document, line.attrib["data-figure"])
        assert isinstance(values, list)
        assert len(line.attrib["points"].split()) == len(values)


def test_the_document_comes_back_from_its_json() -> None:
    document = full()
    assert ReportDocument.model_validate_json(document.to_json()) == document


def test_equal_documents_give_equal_pages(page: str) -> None:
    assert render_page(full()) == page


# ---- nothing from outside, nothing that runs ---------------------------------------------------------------


def test_no_address_leads_out_of_the_page(page: str, tree: Element) -> None:
    for element in tree.iter():
        for name, value in element.attrib.items():
            if name.rpartition("}")[2] in ("href", "src", "srcset", "action", "poster", "data"):
                assert value.startswith(("#", "data:")), (local(element), name, value[:80])
    assert re.findall(r"url\((?!#)", page) == []
    assert "@import" not in page
    assert elements(tree, "script") == []
    assert not [name for element in tree.iter() for name in element.attrib if name.startswith("on")]


def test_the_content_security_policy_allows_only_what_is_in_the_page(tree: Element) -> None:
    import base64
    import hashlib

    (style,) = elements(tree, "style")
    digest = base64.b64encode(hashlib.sha256(content(style).encode()).digest()).decode()
    (policy,) = [meta for meta in elements(tree, "meta") if "http-equiv" in meta.attrib]
    assert policy.attrib["content"] == (
        f"default-src 'none'; img-src data:; style-src 'sha256-{digest}'; base-uri 'none'; form-action 'none'"
    )
    assert not [element for element in tree.iter() if "style" in element.attrib]


# ---- missing sections ----------------------------------------------------------------------------------------


def test_each_missing_section_says_so_in_one_line() -> None:
    missing = [
        element for element in parse(render_page(bare())).iter() if element.attrib.get("class") == "missing"
    ]
    assert len(missing) == 9
    assert all(len(content(element)) < 100 for element in missing)


@pytest.mark.parametrize(
    "section",
    ["recommendation", "lift", "gates", "metrics", "memorization", "training", "cost", "provenance"],
)
def test_any_section_may_be_missing(section: str) -> None:
    parse(render_page(factory.document(**{section: None})))


def test_a_dataset_without_classes_has_a_page() -> None:
    assert "The dataset has no classes." in render_page(ReportDocument(title="", balance=Balance.of(())))


# ---- names ---------------------------------------------------------------------------------------------------


def test_a_hostile_name_is_shown_and_does_nothing() -> None:
    names = factory.HOSTILE_NAMES
    tree = parse(
        render_page(factory.document(names, sheets=factory.sheets(range(len(names)), size=16, each=1)))
    )
    assert elements(tree, "script") == []
    assert not [name for element in tree.iter() for name in element.attrib if name.startswith("on")]
    shown_names = {content(element) for element in elements(tree, "bdi")}
    for name in names:
        if name.strip() and name.isprintable():
            assert name in shown_names


def test_a_class_without_a_name_is_called_by_its_label() -> None:
    assert "class <span" in render_page(bare(("",)))
    assert "without a name" in render_page(bare(("  ",)))


@settings(max_examples=60, deadline=None)
@given(st.text(max_size=40), st.text(max_size=40))
def test_any_text_leaves_the_page_valid(name: str, title: str) -> None:
    classes = [ClassCount.of(0, name, 3, 1)]
    html = render_page(ReportDocument(title=title, balance=Balance.of(classes)))
    html.encode()
    assert elements(parse(html), "script") == []


# ---- for everyone --------------------------------------------------------------------------------------------


def test_headings_descend_one_level_at_a_time(tree: Element) -> None:
    levels = [int(local(element)[1]) for element in tree.iter() if re.fullmatch("h[1-6]", local(element))]
    assert levels.count(1) == 1
    assert levels[0] == 1
    assert all(later <= earlier + 1 for earlier, later in pairwise(levels))


def test_there_is_one_of_each_landmark_and_each_section_has_a_name(tree: Element) -> None:
    for landmark in ("header", "nav", "main", "footer"):
        assert len(elements(tree, landmark)) == 1
    identities = {element.attrib["id"] for element in tree.iter() if "id" in element.attrib}
    for section in elements(tree, "section"):
        assert section.attrib["aria-labelledby"] in identities


def test_every_table_head_says_what_it_heads(tree: Element) -> None:
    heads = elements(tree, "th")
    assert {head.attrib.get("scope") for head in heads} == {"col", "row"}
    assert all(content(head).strip() for head in heads)


def test_every_picture_has_a_text_or_is_hidden(tree: Element) -> None:
    assert all(image.attrib["alt"] for image in elements(tree, "img"))
    outer = [svg for svg in elements(tree, "svg") if "role" in svg.attrib or "aria-hidden" in svg.attrib]
    identities = {element.attrib["id"]: element for element in tree.iter() if "id" in element.attrib}
    for svg in outer:
        if svg.attrib.get("aria-hidden") != "true":
            for identity in svg.attrib["aria-labelledby"].split():
                assert content(identities[identity]).strip()


def test_identities_are_unique_and_every_link_within_the_page_leads_somewhere(tree: Element) -> None:
    identities = [element.attrib["id"] for element in tree.iter() if "id" in element.attrib]
    assert len(set(identities)) == len(identities)
    links = [link.attrib["href"][1:] for link in elements(tree, "a")]
    assert set(links) <= set(identities)


def test_what_scrolls_can_be_reached_with_the_keyboard(tree: Element) -> None:
    regions = [element for element in tree.iter() if "scroll" in element.attrib.get("class", "").split()]
    assert regions
    for region in regions:
        assert region.attrib["tabindex"] == "0"
        assert region.attrib["role"] == "region"
        assert region.attrib["aria-label"]


# ---- many classes --------------------------------------------------------------------------------------------


def test_a_hundred_classes_of_noise_stay_under_five_megabytes() -> None:
    rng = np.random.default_rng(0)
    noise = rng.integers(0, 256, (100, 2, 64, 64, 3), np.uint8)  # what compresses worst
    sheets = factory.embed_sheets(
        [
            factory.SheetPixels(
                label=label,
                real_BHWC=np.repeat(noise[label], 5, axis=0),
                synthetic_BHWC=np.repeat(noise[label], 5, axis=0),
                nearest_BHWC=np.repeat(noise[label], 5, axis=0),
            )
            for label in range(100)
        ]
    )
    document = factory.document([f"class {label}" for label in range(100)], sheets=sheets)
    page = render_page(document)
    assert len(page.encode()) < MOST_BYTES
    assert len(document.to_json()) < MOST_BYTES
    tree = parse(page)
    assert len([element for element in tree.iter() if element.attrib.get("class") == "sheet"]) == 100
    assert (
        len(
            [
                element
                for element in tree.iter()
                if "open" in element.attrib and element.attrib.get("class") == "sheet"
            ]
        )
        == 6
    )

"""The documents: links and anchors lead somewhere, the front page stays short, and what is shown can be typed."""

from __future__ import annotations

import re
import shlex
from pathlib import Path

import pytest
import typer
import yaml

from augment import errors
from augment.config import load_config
from pipelines import cli

ROOT = Path(__file__).parents[1]
FRONT_PAGE = ROOT / "README.md"
FOLDERS = ("augment", "configs", "deploy", "pipelines", "tests")
DOCUMENTS = sorted(
    {*ROOT.glob("*.md"), *(page for folder in FOLDERS for page in (ROOT / folder).rglob("*.md"))}
)
NAMES = [str(page.relative_to(ROOT)) for page in DOCUMENTS]

_FENCED = re.compile(r"^```(\w*)\n(.*?)^```$", re.MULTILINE | re.DOTALL)
_LINK = re.compile(r"\[[^\]]*\]\(([^)\s]+)\)")
_HEADING = re.compile(r"^#{1,6} +(.+?) *$", re.MULTILINE)


def blocks(page: Path, language: str) -> list[str]:
    return [code for kind, code in _FENCED.findall(page.read_text("utf-8")) if kind == language]


def prose(page: Path) -> str:
    return _FENCED.sub("", page.read_text("utf-8"))


def links(page: Path) -> list[str]:
    """Where its links lead; what stands in backticks is no link."""
    return _LINK.findall(re.sub(r"`[^`]*`", "", prose(page)))


def anchors(text: str) -> set[str]:
    """GitHub's: lower case, spaces as hyphens, no other punctuation; the second of one name has -1 behind it."""
    found: set[str] = set()
    for heading in _HEADING.findall(text):
        shown = _LINK.sub(lambda link: link[0][1 : link[0].index("]")], heading)
        name = re.sub(r"[^\w\- ]", "", shown.lower()).replace(" ", "-")
        number = 0
        while (anchor := f"{name}-{number}" if number else name) in found:
            number += 1
        found.add(anchor)
    return found


def column(page: Path, heading: str) -> set[str]:
    """The words in backticks, or else the text, of the first column of the table with this first row."""
    _, table, rest = prose(page).partition(f"{heading}\n")
    assert table, f"{page.relative_to(ROOT)} has no table {heading}"
    rows = re.match(r"(?:\|.*\n)+", rest)
    assert rows is not None
    firsts = [row.split("|")[1].strip() for row in rows[0].splitlines()[1:]]
    return {word for first in firsts for word in re.findall(r"`([^`]+)`", first) or [first]}


@pytest.mark.parametrize(
    ("heading", "anchor"),
    [
        ("## How good, and how fast", "how-good-and-how-fast"),
        ("### Can this store be trusted?", "can-this-store-be-trusted"),
        ("## `train`: a_field", "train-a_field"),
        ("## See [the report](report.md)", "see-the-report"),
        ("# Même – déjà", "même--déjà"),
    ],
)
def test_anchors_are_githubs(heading: str, anchor: str) -> None:
    assert anchors(f"text\n{heading}\n") == {anchor}
    assert anchors(f"{heading}\n\n{heading}\n") == {anchor, f"{anchor}-1"}


@pytest.mark.parametrize("page", DOCUMENTS, ids=NAMES)
def test_every_link_leads_somewhere(page: Path) -> None:
    for link in links(page):
        if re.match(r"[a-z]+:", link):
            continue
        path, _, anchor = link.partition("#")
        target = (page.parent / path).resolve() if path else page
        assert target.is_relative_to(ROOT), f"{link} leads out of the repository"
        assert target.exists(), f"{link} leads nowhere"
        if anchor:
            assert anchor in anchors(prose(target)), f"{link}: no such heading"


def test_every_page_is_linked_from_the_front_page() -> None:
    reached = {(ROOT / link.partition("#")[0]).resolve() for link in links(FRONT_PAGE)}
    apart = {FRONT_PAGE, ROOT / "CHANGELOG.md"}
    assert {page for page in DOCUMENTS if page not in apart} <= reached


def test_the_front_page_is_short() -> None:
    assert FRONT_PAGE.stat().st_size < 22_000


def test_the_front_page_has_every_verb_and_exit_code() -> None:
    assert column(FRONT_PAGE, "| verb | does |") == {verb.__name__ for verb in cli.VERBS}
    codes = {getattr(errors, name).exit_code for name in errors.__all__}
    assert column(FRONT_PAGE, "| exit code | means |") == {str(code) for code in {0, cli.INTERRUPTED, *codes}}


@pytest.mark.parametrize("page", DOCUMENTS, ids=NAMES)
def test_every_command_shown_has_that_verb_and_those_options(page: Path) -> None:
    commands = typer.main.get_command(cli.app).commands
    for line in "\n".join(blocks(page, "console")).splitlines():
        words = shlex.split(line.removeprefix("$ "), comments=True) if "augment " in line else []
        if words[:1] == ["augment"]:
            known = {option for given in commands[words[1]].params for option in given.opts}
            asked = {word.partition("=")[0] for word in words[2:] if word.startswith("-")}
            assert asked <= known, line


@pytest.mark.parametrize("page", DOCUMENTS, ids=NAMES)
def test_every_config_shown_loads(page: Path, tmp_path: Path) -> None:
    for number, block in enumerate(blocks(page, "yaml")):
        config = {"source": {}, "output": {}} | yaml.safe_load(block)
        config["source"] = {"uri": "data"} | config["source"]
        config["output"] = {"uri": "out"} | config["output"]
        path = tmp_path / f"{number}.yaml"
        path.write_text(yaml.safe_dump(config, allow_unicode=True))
        load_config(path)


@pytest.mark.parametrize("page", DOCUMENTS, ids=NAMES)
def test_every_python_shown_is_python(page: Path) -> None:
    for block in blocks(page, "python"):
        compile(block, str(page), "exec")

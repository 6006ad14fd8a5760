"""Every hostile input has the outcome that is documented, and no other."""

from __future__ import annotations

import re
from collections import Counter
from pathlib import Path

import numpy as np
import pytest

from augment.data.census import Census, take_census
from augment.data.config import ImageConfig, SourceConfig
from augment.data.images import decode_image
from augment.data.sources import Source, open_source
from augment.errors import InputError
from tests.data.hostile import CORPUS
from tests.data.hostile.case import Case, LeftOut, Refused, Used, pattern_of
from tests.data.hostile.page import PAGE, markdown

IMAGE = ImageConfig(size=16)

pytestmark = pytest.mark.filterwarnings("ignore")  # Pillow warns of what it mends; that is the point here


@pytest.mark.parametrize(
    "case", CORPUS, ids=lambda case: f"{case.group}-{case.title}".encode("ascii", "replace").decode()
)
def test_a_hostile_input_has_its_documented_outcome(case: Case, tmp_path: Path) -> None:
    config = SourceConfig.model_validate(case.write(tmp_path / "data"))
    if isinstance(case.outcome, Refused):
        with pytest.raises(InputError, match=f"^{pattern_of(case.outcome.message)}") as caught:
            take_census(open_source(config), image=IMAGE, deep=True)
        str(caught.value).encode()  # it can be printed
        return
    source = open_source(config)
    census = take_census(source, image=IMAGE, deep=True)
    census.to_json()
    if isinstance(case.outcome, LeftOut):
        reasons = {bad.name: bad.reason for bad in census.bad}
        assert set(reasons) == {case.name, *case.outcome.also}
        assert census.counts.total == case.outcome.good
        assert_matches(reasons[case.name], case.outcome.reason)
    else:
        assert_used(source, census, case.outcome, case.name)


def assert_matches(text: str, expected: str) -> None:
    assert re.fullmatch(pattern_of(expected), text, re.DOTALL), f"{text!r} is not {expected!r}"


def assert_used(source: Source, census: Census, outcome: Used, name: str) -> None:
    assert census.bad == ()
    if outcome.classes is not None:
        assert sorted(info.name for info in census.counts.classes) == sorted(outcome.classes)
    items = {item.name: item.data for chunk in source.chunks() for item in source.read(chunk)}
    assert not name or name in items
    if outcome.pixels is not None:
        shown, expected = decode_image(items[name], IMAGE).astype(int), outcome.pixels().astype(int)
        assert np.abs(shown - expected).max() <= outcome.tolerance


def test_the_corpus_is_large_and_names_nothing_twice() -> None:
    assert len(CORPUS) >= 60
    twice = [key for key, times in Counter((case.group, case.title) for case in CORPUS).items() if times > 1]
    assert twice == []


def test_the_page_for_users_says_what_is_tried_here() -> None:
    assert PAGE.read_text(encoding="utf-8") == markdown(), "run python -m tests.data.hostile"

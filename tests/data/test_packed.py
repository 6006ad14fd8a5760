"""Many texts in one buffer."""

from __future__ import annotations

import os

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.data.packed import PackedText


@given(st.lists(st.text(st.characters(exclude_categories=["Cs"]))))
def test_packed_texts_are_a_list_of_texts(texts: list[str]) -> None:
    packed = PackedText()
    for text in texts:
        packed.append(text)
    assert list(packed) == texts == [packed[index] for index in range(len(packed))] == packed[:]
    assert packed[1:-1] == texts[1:-1]
    assert [packed[-index] for index in range(1, len(texts) + 1)] == texts[::-1]
    with pytest.raises(IndexError):
        packed[len(texts)]


def test_a_file_name_that_is_no_text_survives() -> None:
    packed = PackedText()
    packed.append(os.fsdecode(b"a\xff.png"))
    assert os.fsencode(packed[0]) == b"a\xff.png"

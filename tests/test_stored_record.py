"""Stored JSON back to a record, and the words where it is damaged."""

from __future__ import annotations

import pytest

from augment.errors import IntegrityError
from augment.objects import open_store
from augment.stored_record import parsed_record, stored_record
from augment.types import BadImage, ImageShape


def test_a_record_comes_back_from_its_own_json() -> None:
    bad = BadImage(name="a.png", reason="is truncated")
    assert parsed_record(BadImage, bad.to_json(), "here") == bad


@pytest.mark.parametrize(
    ("data", "said"),
    [
        (
            b"{",
            r"^s3://b/k\.json is not a valid ImageShape \(JSON: Invalid JSON.*\); it is corrupt, or a newer",
        ),
        (b'{"size": "hunter2", "channels": 3}', r"\(size: Input should be a valid integer"),
        (b'{"size": 16, "channels": 3, "more": 1}', r"\(more: Extra inputs are not permitted\)"),
        (b"\xff", r"is not a valid ImageShape"),
    ],
)
def test_damage_names_the_object_and_the_first_field_and_repeats_no_value(data: bytes, said: str) -> None:
    with pytest.raises(IntegrityError, match=said) as raised:
        parsed_record(ImageShape, data, "s3://b/k.json")
    assert "hunter2" not in str(raised.value)
    assert "\n" not in str(raised.value)


def test_nothing_at_a_key_is_none() -> None:
    store = open_store("memory://stored-record")
    assert stored_record(BadImage, store, "a.json") is None
    store.put("a.json", BadImage(name="a", reason="b").to_json())
    assert stored_record(BadImage, store, "a.json") == BadImage(name="a", reason="b")


def test_a_caller_may_name_the_record_and_the_mend() -> None:
    with pytest.raises(IntegrityError, match=r"^here is not a valid shape \(.*\); remove it$"):
        parsed_record(ImageShape, b"{}", "here", called="shape", mend="remove it")

"""Classes of several places as one list, renamed, merged and dropped."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.data.label_map import DROPPED, class_map
from augment.errors import ConfigError
from augment.types import ClassInfo


def infos(*pairs: tuple[int, str]) -> list[ClassInfo]:
    return [ClassInfo(label=label, name=name) for label, name in pairs]


def shown(classes: tuple[ClassInfo, ...]) -> list[tuple[int, str]]:
    return [(info.label, info.name) for info in classes]


def test_a_merged_class_has_the_smallest_label_of_its_members() -> None:
    found = class_map([(infos((3, "a"), (5, "b"), (9, "c")), False)], {"c": "x", "b": "x"}, "here")
    assert shown(found.classes) == [(3, "a"), (5, "x")]
    assert found.index_of_place[0].tolist() == [0, 1, 1]


def test_a_class_may_be_renamed_to_one_that_is_there_and_so_joins_it() -> None:
    found = class_map([(infos((0, "a"), (1, "b")), False)], {"b": "a"}, "here")
    assert shown(found.classes) == [(0, "a")]


def test_two_classes_may_swap_names() -> None:
    found = class_map([(infos((0, "a"), (1, "b")), False)], {"a": "b", "b": "a"}, "here")
    assert shown(found.classes) == [(0, "b"), (1, "a")]


def test_a_class_may_be_called_by_its_label() -> None:
    found = class_map([(infos((7, "a"), (8, "b")), False)], {"8": None}, "here")
    assert shown(found.classes) == [(7, "a")]
    assert found.index_of_place[0].tolist() == [0, DROPPED]


def test_a_name_comes_before_a_label() -> None:
    found = class_map([(infos((0, "1"), (1, "b")), False)], {"1": "x"}, "here")
    assert shown(found.classes) == [(0, "x"), (1, "b")]


@pytest.mark.parametrize(
    ("labels", "message"),
    [
        ({"ape ": "x"}, r"has no class 'ape '; did you mean 'ape'\?"),
        ({"zzz": "x"}, "has no class 'zzz'; its classes are ape, bee"),
        ({"ape": ""}, r"source\.labels\.ape: a class needs a name; write null"),
        ({"ape": "x", "4": "y"}, "maps class 'ape' twice"),
    ],
)
def test_a_map_that_means_nothing_is_an_error_that_says_what_does(
    labels: dict[str, str | None], message: str
) -> None:
    with pytest.raises(ConfigError, match=message):
        class_map([(infos((4, "ape"), (5, "bee")), False)], labels, "here")


def test_places_that_agree_keep_their_labels_and_names_alone_join_them() -> None:
    found = class_map([(infos((3, "b"), (7, "a")), False), (infos((0, "a"), (1, "b")), True)], {}, "here")
    assert shown(found.classes) == [(3, "b"), (7, "a")]
    assert [index.tolist() for index in found.index_of_place] == [[0, 1], [1, 0]]


@pytest.mark.parametrize(
    "other", [infos((4, "b")), infos((3, "c"))], ids=["one name, two labels", "one label, two names"]
)
def test_places_that_contradict_each_other_are_labelled_by_rank(other: list[ClassInfo]) -> None:
    found = class_map([(infos((3, "b")), False), (other, False)], {}, "here")
    names = sorted({"b", other[0].name})
    assert shown(found.classes) == list(enumerate(names))


NAMES = st.lists(st.sampled_from("abcdef"), min_size=1, unique=True)


@given(
    places=st.lists(st.tuples(NAMES, st.booleans()), min_size=1, max_size=3),
    targets=st.dictionaries(st.sampled_from("abcdef"), st.sampled_from([None, "a", "x", "y"])),
)
def test_every_class_goes_where_the_map_says_and_labels_are_unique_and_ascending(
    places: list[tuple[list[str], bool]], targets: dict[str, str | None]
) -> None:
    tables = [(infos(*enumerate(sorted(names))), ranked) for names, ranked in places]
    there = {name for names, _ in places for name in names}
    labels = {name: target for name, target in targets.items() if name in there}
    found = class_map(tables, labels, "here")
    numbers = [info.label for info in found.classes]
    assert numbers == sorted(set(numbers))
    for (classes, _), index in zip(tables, found.index_of_place, strict=True):
        for info, position in zip(classes, index.tolist(), strict=True):
            meant = labels.get(info.name, info.name)
            assert (None if position == DROPPED else found.classes[position].name) == meant

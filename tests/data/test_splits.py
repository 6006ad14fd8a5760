"""What a row's split is, told by a word or by a file's name."""

from __future__ import annotations

import pytest

from augment.data.config import SplitConfig
from augment.data.splits import check_splits, split_of_key, split_of_word, splits_of_files
from augment.errors import InputError

AUTO = SplitConfig()


@pytest.mark.parametrize(
    ("key", "split"),
    [
        ("train-00000-of-00002.parquet", "train"),
        ("data/test-00000-of-00001-1a2b.parquet", "test"),
        ("default/validation/0000.parquet", "validation"),
        ("split=dev/part.parquet", "validation"),
        ("imagenet1k-Val-000012.tar", "validation"),
        ("v1.0_TEST.csv", "test"),
        ("test/train.csv", "train"),  # the file's own name comes first
        ("a/test/b/part.csv", "test"),
        ("contest-latest.parquet", None),
        ("trained.parquet", None),
        ("part-00000.parquet", None),
    ],
)
def test_a_name_tells_a_split_by_a_whole_word(key: str, split: str | None) -> None:
    assert split_of_key(key, AUTO) == split


def test_a_name_that_tells_two_splits_is_an_error() -> None:
    with pytest.raises(InputError, match=r"train-test\.csv tells two splits, test and train"):
        split_of_key("train-test.csv", AUTO)


def test_a_split_of_ones_own_is_known_once_it_is_named() -> None:
    config = SplitConfig(use=("train", "fold-1"))
    assert split_of_key("fold-1.csv", config) == "fold-1"
    assert split_of_word("fold-1", config) == "fold-1"
    assert split_of_word("Fold-1", config) is None
    assert split_of_word(" VALID ", config) == "validation"
    assert split_of_word(None, config) is None


def test_files_of_which_some_tell_a_split_and_others_not_are_an_error() -> None:
    with pytest.raises(InputError, match=r"name of b\.csv tells no split, and that of test\.csv does"):
        splits_of_files(["b.csv", "test.csv"], AUTO, "here")
    assert splits_of_files(["a.csv", "b.csv"], AUTO, "here") == {}
    with pytest.raises(InputError, match=r"name of a\.csv tells no split;"):
        splits_of_files(["a.csv"], SplitConfig(by="file"), "here")


def test_without_any_split_only_the_default_is_accepted() -> None:
    check_splits([], AUTO, "here")
    check_splits(["train", "test"], AUTO, "here")
    with pytest.raises(InputError, match="is marked 'extra'; no row has a split"):
        check_splits([], SplitConfig(use=("extra",)), "here")

"""What a row's split is: from a word in a column, a folder's name or a file's.

Owns the words and where they stand. Pure; knows no format and opens nothing.
"""

import re
from collections.abc import Iterable

from augment.data.config import SPLIT_WORDS, SplitConfig
from augment.errors import InputError

__all__ = [
    "check_splits",
    "is_split_word",
    "split_of_key",
    "split_of_word",
    "splits_of_files",
    "unknown_split",
]

_DIVIDERS = re.compile(r"[-_. =]+")  # as in train-00000-of-00002.parquet, my_test.csv, split=train


def is_split_word(word: str, config: SplitConfig) -> bool:
    """Whether a folder of this name can be a split's."""
    return word.lower() in SPLIT_WORDS or word in config.use


def split_of_word(word: str | None, config: SplitConfig) -> str | None:
    """`train` for `Training`, `validation` for `val`, …; a word of `use` is itself; None is no split."""
    if word is None:
        return None
    known = SPLIT_WORDS.get(word.strip().lower())
    return known or (word if word in config.use else None)


def split_of_key(key: str, config: SplitConfig) -> str | None:
    """The split that a file's name, or else the nearest of its folders' names, tells; None for none.

    Raises InputError for a name that tells two.
    """
    *folders, name = key.split("/")
    stem = name.rpartition(".")[0] or name
    if split := split_of_word(stem, config):
        return split
    found = {split for part in _DIVIDERS.split(stem) if (split := split_of_word(part, config))}
    if len(found) > 1:
        raise InputError(
            f"the name of {key} tells two splits, {' and '.join(sorted(found))}; rename it, or set "
            "source.split.by to column or none"
        )
    if found:
        return found.pop()
    for folder in reversed(folders):
        word = folder.removeprefix("split=")
        if split := split_of_word(word, config):
            return split
    return None


def splits_of_files(keys: Iterable[str], config: SplitConfig, where: str) -> dict[str, str]:
    """Each file's split by its key; {} where no name tells any and `by` leaves that open.

    Raises InputError where some names tell a split and others don't: a file of unknown split may be a test
    set.
    """
    found = {key: split_of_key(key, config) for key in keys}
    known = {key: split for key, split in found.items() if split is not None}
    if not known and config.by == "auto":
        return {}
    if unknown := [key for key, split in found.items() if split is None]:
        raise InputError(
            f"{where}: the name of {unknown[0]} tells no split"
            + (f", and that of {next(iter(known))} does" if known else "")
            + "; rename it, name its split in source.split.use, or set source.split.by to column or none"
        )
    return known


def check_splits(found: Iterable[str], config: SplitConfig, where: str) -> None:
    """InputError unless each split of `use` is among those found; none found at all means no splits."""
    there = sorted(found)
    for name in config.use if there or config.use != ("train",) else ():
        if name not in there:
            has = f"there are {', '.join(there)}" if there else "no row has a split"
            raise InputError(
                f"no row of {where} is marked {name!r}; {has}; correct source.split.use, or set "
                "source.split.by=none to train on every row"
            )


def unknown_split(word: str | None, where: str, config: SplitConfig) -> InputError:
    """The error for a row whose split is none that is known: it may be a test set's."""
    shown = "no split (null)" if word is None else f"the split {word!r}"
    return InputError(
        f"{where} has rows with {shown} in {config.column!r}; mark them train, validation or test, name the "
        "split in source.split.use, or set source.split.by=none to train on every row"
    )

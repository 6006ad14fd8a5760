"""What a row's split is: from a word in a column, a folder's name or a file's.

Owns the words and where they stand. Pure; knows no format and opens nothing.
"""

import re
from collections.abc import Iterable, Sequence

from augment.data.config import HELD_OUT_SPLITS, SPLIT_WORDS, SplitConfig
from augment.errors import InputError

__all__ = [
    "check_splits",
    "is_split_word",
    "looks_like_split",
    "seeming_splits",
    "split_of_folders",
    "split_of_key",
    "split_of_word",
    "splits_of_files",
    "unknown_split",
]

_DIVIDERS = re.compile(r"[-_. =]+")  # as in train-00000-of-00002.parquet, my_test.csv, split=train
_DIVIDERS_AND_DIGITS = re.compile(r"[-_. =\d]+")  # as in val2017, train_images


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
    return split_of_folders(folders, config)


def split_of_folders(folders: Sequence[str], config: SplitConfig) -> str | None:
    """The split that the nearest (last) of these folders' names tells, `test` or `split=test`; None for none."""
    told = (split_of_word(folder.removeprefix("split="), config) for folder in reversed(folders))
    return next((split for split in told if split), None)


def looks_like_split(folder: str, config: SplitConfig) -> str | None:
    """The split that a folder's name hints at, though none is called so: `val2017`, `train_images`."""
    parts = [folder, *_DIVIDERS_AND_DIGITS.split(folder)]
    return next((split for part in parts if (split := split_of_word(part, config))), None)


def seeming_splits(folders: Iterable[str], config: SplitConfig) -> list[str]:
    """Those of a data set's folders that look like its splits; [] where they may well be classes.

    Several splits must be hinted at, or one that is held out and named by nothing else (`test`, `test2`): a
    class may be called `train`, or `test tube`.
    """
    hints = {folder: split for folder in folders if (split := looks_like_split(folder, config))}
    held_out = any(
        split in HELD_OUT_SPLITS and split_of_word(_DIVIDERS_AND_DIGITS.sub("", folder), config)
        for folder, split in hints.items()
    )
    return sorted(hints) if held_out or len(set(hints.values())) > 1 else []


def splits_of_files(
    keys: Iterable[str], config: SplitConfig, where: str, above: Sequence[str] = ()
) -> dict[str, str]:
    """Each file's split by its key, or by the folders `above` all keys; {} where none tells any and `by` lets it.

    Raises InputError where some names tell a split and others don't: a file of unknown split may be a test
    set.
    """
    found = {key: split_of_key("/".join((*above, key)), config) for key in keys}
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

"""A corpus of hostile inputs, built in code, each with its documented outcome.

`python -m tests.data.hostile` writes augment/data/HOSTILE_INPUTS.md from it. To add an input, add a case to its file.
"""

from tests.data.hostile import images, manifests, names, parquet, tars
from tests.data.hostile.case import Case

__all__ = ["CORPUS"]

CORPUS: tuple[Case, ...] = (*images.CASES, *names.CASES, *parquet.CASES, *tars.CASES, *manifests.CASES)

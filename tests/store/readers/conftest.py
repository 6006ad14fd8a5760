"""The hostile dataset, committed once, and a static copy of it in every layout."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from augment.objects import open_store
from augment.report.describing import describe, export
from augment.store.layouts import LAYOUTS
from augment.store.reading import Dataset, open_dataset
from tests.store.helpers import commit
from tests.store.readers.hostile import hostile_run


@dataclass(frozen=True)
class Copies:
    """Where the dataset lies: the root of each layout, `committed` among them."""

    dataset: Dataset
    roots: dict[str, str]

    def files(self, layout: str) -> list[str]:
        """The Parquet files, one by one: as `augment files` prints them, or as they lie there."""
        if layout == "committed":
            return self.dataset.files
        store = open_store(self.roots[layout])
        return [store.uri_of(item.key) for item in store.list("data/")]


@pytest.fixture(scope="session")
def copies(tmp_path_factory: pytest.TempPathFactory) -> Copies:
    """On the local disk, in a folder whose own name is awkward."""
    root = tmp_path_factory.mktemp("readers") / "my data=1"
    store = open_store(str(root / "committed"))
    commit(store, hostile_run())
    dataset = open_dataset(store.uri)
    describe(dataset)
    for layout in LAYOUTS:
        export(dataset, str(root / layout), layout)
    return Copies(dataset, {name: str(root / name) for name in ("committed", *LAYOUTS)})

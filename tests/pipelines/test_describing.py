"""The description in a store is of the newest version, whoever was slow."""

from __future__ import annotations

import uuid

import pytest

from augment.objects import open_store
from augment.report.describing import describe
from augment.store.reading import Dataset
from augment.store.revoke import revoke_classes
from pipelines import describing
from tests.store.helpers import commit, tiny_run


def test_a_slow_writer_does_not_describe_an_older_version_for_good(monkeypatch: pytest.MonkeyPatch) -> None:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    commit(store, tiny_run())
    told: list[int] = []

    def slow(dataset: Dataset, chosen: object, section: str) -> None:
        if not told:  # meanwhile another makes and describes the next version
            revoke_classes(store, ["test"], "blurred")
        told.append(dataset.version)
        describe(dataset)

    monkeypatch.setattr(describing, "describe", slow)
    describing.describe_newest(store.uri)

    assert told == [1, 2]

    card = store.get("README.md").decode()
    assert f"version {2}" in card, card

"""History as text: everything is said, and names from the data do no harm to a terminal."""

from __future__ import annotations

import io
import uuid

import pytest
from rich.cells import cell_len
from rich.console import Console, RenderableType

from augment.objects import ObjectStore, open_store
from augment.report.history_tables import comparison_table, fields_grid, log_table, utc
from augment.store.history import compare_versions, version_log
from augment.store.revoke import revoke_classes
from tests.store.helpers import commit, tiny_run


def rendered(renderable: RenderableType, width: int = 240) -> str:
    console = Console(file=io.StringIO(), width=width)
    console.print(renderable)
    return console.file.getvalue()  # type: ignore[attr-defined, no-any-return]


@pytest.fixture(scope="module")
def store() -> ObjectStore:
    store = open_store(f"memory://{uuid.uuid4().hex}")
    commit(store, tiny_run(source_fingerprint="5" * 64))
    revoke_classes(store, ["dog | wild"], "[bold]a \x1b[31mleak")
    commit(store, tiny_run(seed=8), "append")
    return store


def test_a_version_is_a_line_with_what_it_did_and_why(store: ObjectStore) -> None:
    _, third, second, first = rendered(log_table(version_log(store))).splitlines()
    run = tiny_run(source_fingerprint="5" * 64)
    origin = f"run {run.run_id} (plan {run.plan.plan_id}, model {'ab' * 6}, source {'5' * 12})"
    assert first.rstrip().endswith(f"11      3  added 11 rows of {origin}")
    assert f"revoked 7 rows of {origin}, class 'dog | wild': [bold]a �[31mleak" in second
    assert third.split()[0] == "3"


def test_a_diff_is_a_line_a_class_and_one_a_run(store: ObjectStore) -> None:
    lines = rendered(comparison_table(compare_versions(store, 1, 3))).splitlines()
    assert [line.split() for line in lines[:4]] == [
        ["Class", "Label", "Version", "1", "Added", "Removed", "Version", "3"],
        ["cat", "0", "0", "0", "0", "0"],
        ["dog", "|", "wild", "1", "7", "+7", "-7", "7"],
        ["test", "2", "4", "+4", "0", "8"],
    ]
    assert lines[4].startswith(f"added    run {tiny_run(seed=8).run_id}")
    assert lines[5].startswith("changed  run ")


def test_nothing_is_wider_than_the_terminal(store: ObjectStore) -> None:
    for table in (
        log_table(version_log(store)),
        comparison_table(compare_versions(store, 1, 3)),
        fields_grid([("Model", "ab" * 60)]),
    ):
        assert all(cell_len(line) <= 80 for line in rendered(table, 80).splitlines())


def test_times_are_utc() -> None:
    assert utc(0) == "1970-01-01 00:00:00"
    assert utc(1_764_000_000.9) == "2025-11-24 16:00:00"

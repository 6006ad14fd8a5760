"""Runs with gates: their ledgers, and datasets from which samples are missing."""

from __future__ import annotations

import io
from pathlib import Path

import pyarrow.parquet as pq
import pytest

from augment.errors import InputError, IntegrityError
from augment.objects import ObjectStore, open_store
from augment.report.describing import export
from augment.store.commit import begin_run, list_shards, publish, put_shard, seal_run
from augment.store.existing import existing_rows, repeats
from augment.store.identity import run_for
from augment.store.ledgers import ledger_key, summed_ledgers
from augment.store.provenance import find_sample
from augment.store.reading import open_dataset, read_shard
from augment.store.revoke import revoke_classes
from augment.store.shards import build_shard, sample_id
from augment.store.verification import verify
from augment.types import ClassLedger, RowMarks, RunPlan, ShardLedger
from tests.store.helpers import CLASSES, GATES, REFUSED, SHARDS, commit, make_shard, tiny_run


@pytest.fixture
def store(tmp_path: Path) -> ObjectStore:
    return open_store(str(tmp_path / "dataset"))


@pytest.fixture
def run() -> RunPlan:
    return tiny_run(gates=GATES)


def rows_of(store: ObjectStore) -> list[tuple[str, int]]:
    dataset = open_dataset(store.uri)
    tables = [pq.read_table(io.BytesIO(read_shard(store, shard))) for shard in dataset.shards]
    return [
        (name, index)
        for table in tables
        for name, index in zip(
            table["label_name"].to_pylist(), table["sample_index"].to_pylist(), strict=True
        )
    ]


def test_the_manifest_lists_what_passed_what_was_refused_and_what_is_missing(
    store: ObjectStore, run: RunPlan
) -> None:
    commit(store, run)
    manifest = open_dataset(store.uri).manifest
    dogs, tests = manifest.ledger
    assert (dogs.label, dogs.accepted, dogs.missing, dogs.drawn, dogs.refused) == (1, 5, 2, 11, {"label": 6})
    assert (tests.label, tests.accepted, tests.missing, tests.drawn, tests.refused) == (
        2,
        3,
        1,
        6,
        {"label": 3},
    )
    assert {(gap.class_index, gap.first + n) for gap in manifest.missing for n in range(gap.count)} == REFUSED
    assert [shard.rows for shard in manifest.shards] == [3, 3, 2]


def test_the_rows_are_those_planned_but_for_the_missing(store: ObjectStore, run: RunPlan) -> None:
    commit(store, run)
    expected = [("dog | wild", n) for n in range(7) if (1, n) not in REFUSED]
    expected += [("test", n) for n in range(4) if (2, n) not in REFUSED]
    assert rows_of(store) == expected
    assert open_dataset(store.uri).counts() == {"cat": 0, "dog | wild": 5, "test": 3}
    report = verify(store.uri, deep=True)
    assert report.ok, report.problems
    assert report.rows == 8


def test_a_sample_that_lies_behind_a_gap_is_found_in_its_row_and_a_missing_one_is_told_as_such(
    store: ObjectStore, run: RunPlan
) -> None:
    commit(store, run)
    found = find_sample(store, sample_id(run.run_id, 1, 5))
    assert (found.shard.index, found.row) == (1, 0)  # index 4, the shard's first, is missing
    with pytest.raises(InputError, match="no candidate for it passed"):
        find_sample(store, sample_id(run.run_id, 1, 4))


def test_a_top_up_counts_the_rows_that_are_there_and_uses_no_index_again(
    store: ObjectStore, run: RunPlan
) -> None:
    commit(store, run)
    held = {rows.name: (rows.rows, rows.next_index) for rows in existing_rows(store)}
    assert held == {"cat": (0, 0), "dog | wild": (5, 7), "test": (3, 4)}


def test_a_revoked_class_takes_its_gaps_with_it(store: ObjectStore, run: RunPlan) -> None:
    commit(store, run)
    revoke_classes(store, ["test"], "mislabelled")
    manifest = open_dataset(store.uri).manifest
    assert [one.label for one in manifest.ledger] == [1]
    assert {gap.class_index for gap in manifest.missing} == {1}
    assert [name for name, _ in rows_of(store)] == ["dog | wild"] * 5
    assert verify(store.uri, deep=True).ok


@pytest.mark.parametrize("layout", ["hive", "hf", "folder", "webdataset"])
def test_a_copy_has_the_rows_that_are_there(
    store: ObjectStore, run: RunPlan, tmp_path: Path, layout: str
) -> None:
    commit(store, run)
    assert export(open_dataset(store.uri), str(tmp_path / layout), layout).rows == 8


def test_a_shard_without_its_ledger_is_not_sealed(store: ObjectStore, run: RunPlan) -> None:
    begin_run(store, run)
    for index in range(SHARDS):
        make_shard(store, run, index)
    shard = list_shards(store, run)[1]
    store.delete(ledger_key(run.run_id, 1, shard.sha256))
    with pytest.raises(IntegrityError, match="is missing, though its shard is there"):
        seal_run(store, run)


def test_a_run_of_which_nothing_passed_is_sealed_with_shards_that_have_no_rows(store: ObjectStore) -> None:
    classes = tuple(
        target.model_copy(update={"target": target.real + synthetic})
        for target, synthetic in zip(CLASSES, (0, 1, 0), strict=True)
    )  # of the class with index 1 the sample 0, which is refused
    commit(store, tiny_run(gates=GATES, classes=classes))
    assert [shard.rows for shard in open_dataset(store.uri).manifest.shards] == [0]
    assert open_dataset(store.uri).rows == 0
    assert verify(store.uri, deep=True).ok


def test_deep_verification_names_a_row_of_a_recipe_that_the_plan_does_not_have(
    store: ObjectStore, run: RunPlan
) -> None:
    plain = tiny_run()
    begin_run(store, plain)
    for index in range(SHARDS):
        spec = plain.plan.shard(index)
        marks = [RowMarks("duplicate", 0, ("a.png",))] * spec.rows
        put_shard(store, plain.run_id, index, spec.rows, build_shard(plain, spec, [b"x"] * spec.rows, marks))
    publish(store, seal_run(store, plain), "refuse")
    problems = verify(store.uri, deep=True).problems
    assert any("made by the recipe duplicate, which its plan does not have" in text for text in problems)


def test_a_ledger_that_does_not_add_up_is_not_sealed(store: ObjectStore, run: RunPlan) -> None:
    begin_run(store, run)
    for index in range(SHARDS):
        make_shard(store, run, index)
    shard = list_shards(store, run)[1]
    key = ledger_key(run.run_id, 1, shard.sha256)
    ledger = ShardLedger.model_validate_json(store.get(key))
    wrong = ledger.classes[0].model_copy(update={"accepted": ledger.classes[0].accepted + 1})
    store.put(key, ledger.model_copy(update={"classes": (wrong, *ledger.classes[1:])}).to_json())
    with pytest.raises(IntegrityError, match=r"shard 1 .* does not add up"):
        seal_run(store, run)


def test_samples_of_recipes_that_no_gate_judges_are_summed_apart_from_candidates(run: RunPlan) -> None:
    ledgers = []
    for spec in run.plan.shards():
        classes = tuple(
            ClassLedger(label=run.plan.classes[piece.class_index].label, ungated=piece.count)
            for piece in spec.pieces
        )
        ledgers.append(ShardLedger(index=spec.index, classes=classes))
    summed, missing = summed_ledgers(run, ledgers)
    assert [(one.label, one.accepted, one.ungated, one.drawn) for one in summed] == [
        (1, 0, 7, 0),
        (2, 0, 4, 0),
    ]
    assert missing == ()


@pytest.mark.parametrize(
    ("one", "other", "alike"),
    [
        (("gan", "partial", "a"), ("gan", "partial", "a"), True),
        (("gan", "partial", "a"), ("gan", "partial", "b"), False),  # other generators
        (("gan", "classic", "a"), ("gan", "classic", "b"), True),  # the fallback may have made both
        (("gan", "classic", "a"), ("classic", "partial", "b"), True),
        (("smote", "partial", "a"), ("smote", "partial", "b"), True),  # whatever else changed in the source
        (("smote", "partial", "a"), ("duplicate", "partial", "a"), False),
    ],
)
def test_samples_of_one_index_may_be_the_same_where_the_runs_share_a_way_of_making_them(
    one: tuple[str, str, str], other: tuple[str, str, str], alike: bool
) -> None:
    runs = [
        tiny_run(gates=GATES.model_copy(update={"on_shortfall": instead})).model_copy(
            update={"generator_sha256": generator, "source_sha256": generator}
        )
        for _, instead, generator in (one, other)
    ]
    classes = [CLASSES[1].model_copy(update={"recipe": recipe}) for recipe, _, _ in (one, other)]
    assert repeats(runs[0], classes[0], runs[1], classes[1]) is alike


def test_a_run_of_the_first_schema_is_not_taken_for_an_appended_one_of_today(store: ObjectStore) -> None:
    old = tiny_run().model_copy(update={"schema_version": 1})
    commit(store, old)
    job = run_for(store, tiny_run(), "append")
    assert job.run_id != old.run_id
    assert [target.first for target in job.plan.classes] == [0, 7, 4]  # after those that it would repeat


def test_a_shard_without_rows_is_no_file_of_a_copy(store: ObjectStore, tmp_path: Path) -> None:
    classes = tuple(
        target.model_copy(update={"target": target.real + synthetic})
        for target, synthetic in zip(CLASSES, (0, 1, 4), strict=True)
    )
    commit(store, tiny_run(gates=GATES, classes=classes, shard_rows=1))
    exported = export(open_dataset(store.uri), str(tmp_path / "tars"), "webdataset")
    assert exported.rows == 3
    assert len(list((tmp_path / "tars" / "data").glob("*.tar"))) == 3

"""How shards are given out, and that a generator which is given several makes what it would make of one at a time."""

from __future__ import annotations

import shutil
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from ray.data import DataContext

import pipelines.generate
from augment.config import load_config
from augment.errors import PartialError
from augment.objects import open_store
from augment.store.failures import read_failures
from augment.store.records import run_ids
from augment.store.verification import verify
from augment.types import AugmentPlan, ClassTarget, ImageShape
from pipelines.generate import (
    AT_ONCE_A_GENERATOR,
    BLOCKS_A_GENERATOR,
    LEAST_AT_ONCE,
    LEAST_BLOCKS,
    _hand_on_each,
    blocks_of,
    shards_at_once,
)
from pipelines.progress import Progress
from pipelines.run import generate
from tests.pipelines.conftest import Finished, keys
from tests.pipelines.injection import injected
from tests.pipelines.test_tries import KILLING, RAISING, poisoned


@given(st.integers(1, 10**7), st.integers(1, 4096))
def test_blocks_grow_with_generators_and_not_with_shards(shards: int, generators: int) -> None:
    blocks = blocks_of(shards, generators)

    assert 1 <= blocks <= shards
    assert blocks <= max(LEAST_BLOCKS, BLOCKS_A_GENERATOR * generators)
    assert blocks == shards or blocks >= BLOCKS_A_GENERATOR * generators, "the last ones are waited for"


@given(st.integers(1, 4096))
def test_a_pipeline_has_enough_shards_for_each_generator_to_be_opened_for(generators: int) -> None:
    assert shards_at_once(generators) / generators >= AT_ONCE_A_GENERATOR
    assert shards_at_once(generators) <= LEAST_AT_ONCE + AT_ONCE_A_GENERATOR * generators


@pytest.mark.parametrize(
    ("shard_rows", "usual_bytes", "handed_on_bytes"),
    [(10, 128 << 20, 10 * 64 * 64 * 3), (10**6, 128 << 20, 128 << 20), (10, None, 10 * 64 * 64 * 3)],
)
def test_a_shard_leaves_its_generator_alone_unless_it_is_a_block_of_its_own_anyway(
    shard_rows: int, usual_bytes: int | None, handed_on_bytes: int
) -> None:
    context = DataContext(target_max_block_size=usual_bytes)
    plan = AugmentPlan(
        seed=0,
        image=ImageShape(size=64, channels=3),
        classes=(ClassTarget(label=0, name="a", real=1, target=9),),
        shard_rows=shard_rows,
        batch_size=4,
    )

    _hand_on_each(context, plan)

    assert context.target_max_block_size == handed_on_bytes


@pytest.mark.slow
@pytest.mark.usefixtures("ray_and_s3")
@pytest.mark.timeout(900)
def test_shards_of_one_block_are_made_and_fail_each_by_itself_and_pipelines_follow_each_other(
    finished: Finished, quiet: Progress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(pipelines.generate, "LEAST_BLOCKS", 1)
    monkeypatch.setattr(pipelines.generate, "BLOCKS_A_GENERATOR", 1)  # 11 shards in two blocks
    shutil.copytree(Path(finished.result.uri) / "_models", tmp_path / "out" / "_models")
    config = load_config(finished.config_file, ["output.shard_rows=3", f"output.uri={tmp_path / 'out'}"])
    store = open_store(config.output.uri)

    with injected(pipelines.generate, fill_shard=poisoned), pytest.raises(PartialError, match="and 1 more"):
        generate(config, quiet)
    (run_id,) = run_ids(store)
    assert [failure.index for failure in read_failures(store, run_id)] == [RAISING, KILLING]
    assert len(keys(store, "data/")) == 9

    monkeypatch.setattr(pipelines.generate, "LEAST_AT_ONCE", 1)
    monkeypatch.setattr(
        pipelines.generate, "AT_ONCE_A_GENERATOR", 0
    )  # the two that are left, by two pipelines
    generate(config, quiet)
    assert len(keys(store, "data/")) == 11
    assert verify(store.uri, deep=True).ok

"""Shards that cannot be made: tried three times, in code that raises and in processes that die; named; made later."""

from __future__ import annotations

import os
import shutil
import signal
from pathlib import Path

import pytest
import ray

import pipelines.generate
from augment.config import Config, load_config
from augment.errors import PartialError, RetryLaterError
from augment.objects import open_store
from augment.sampling.filled import Filled
from augment.sampling.gated import fill_shard
from augment.store.failures import ShardFailure, read_failures
from augment.store.records import run_ids
from augment.store.verification import verify
from augment.types import RunPlan, ShardSpec
from pipelines.board import new_board
from pipelines.progress import Progress
from pipelines.run import generate
from pipelines.tries import DIED, MOST_TRIES, tried
from tests.pipelines.conftest import Finished, keys
from tests.pipelines.injection import injected

pytestmark = [pytest.mark.usefixtures("ray_and_s3"), pytest.mark.timeout(300)]

RAISING, KILLING = 2, 5


def poisoned(run: RunPlan, spec: ShardSpec, *args: object, **kwargs: object) -> Filled:
    """Two shards are poison: the making of one raises, that of the other takes its process with it."""
    if spec.index == RAISING:
        raise ValueError("a pixel too far")
    if spec.index == KILLING:
        os.kill(os.getpid(), signal.SIGSEGV)
    return fill_shard(run, spec, *args, **kwargs)  # type: ignore[arg-type]


def copy_of(finished: Finished, root: Path, name: str) -> Config:
    """The finished job's config for a dataset of its own, which has the model; a shard a few rows."""
    shutil.copytree(Path(finished.result.uri) / "_models", root / name / "_models")
    return load_config(finished.config_file, ["output.shard_rows=3", f"output.uri={root / name}"])


@pytest.mark.slow
def test_poisoned_shards_are_named_with_their_errors_the_others_made_and_they_alone_tried_again(
    finished: Finished, quiet: Progress, tmp_path: Path
) -> None:
    undisturbed = copy_of(finished, tmp_path, "undisturbed")
    generate(undisturbed, quiet)
    config = copy_of(finished, tmp_path, "poisoned")
    store = open_store(config.output.uri)

    with (
        injected(pipelines.generate, fill_shard=poisoned),
        pytest.raises(
            PartialError,
            match=r"shard 2 failed in sampling, 3 tries: ValueError: a pixel too far.*and 1 more",
        ),
    ):
        generate(config, quiet)

    (run_id,) = run_ids(store)
    raised, died = read_failures(store, run_id)
    assert (raised.index, raised.tries, raised.stage) == (RAISING, MOST_TRIES, "sampling")
    assert raised.error.startswith("ValueError: a pixel too far (poisoned, line ")
    assert died == ShardFailure(index=KILLING, tries=MOST_TRIES, stage="sampling", error=DIED)
    assert len(keys(store, "data/")) == len(keys(open_store(undisturbed.output.uri), "data/")) - 2
    assert keys(store, "_snapshots/") == []

    generate(config, quiet)

    assert read_failures(store, run_id) == ()
    assert keys(store, "data/") == keys(open_store(undisturbed.output.uri), "data/")
    assert verify(store.uri, deep=True).ok


def test_a_shard_that_succeeds_at_its_last_try_is_no_failure_and_counts_from_one_again() -> None:
    board, made = new_board(), list[int]()

    def make() -> str:
        made.append(len(made))
        if len(made) < MOST_TRIES:
            raise OSError("not yet")
        return "made"

    assert tried(board, "writing", 0, make) == "made"
    assert ray.get(board.begin.remote("writing of shard 0")) == (1, False)


def test_an_error_that_is_not_of_the_shard_ends_the_run_at_once() -> None:
    made = list[int]()

    def make() -> None:
        made.append(1)
        raise RetryLaterError("the store does not answer")

    with pytest.raises(RetryLaterError):
        tried(new_board(), "writing", 0, make)
    assert len(made) == 1


def test_no_shard_is_begun_once_the_driver_wants_to_end_and_what_is_sampled_is_written() -> None:
    board = new_board()
    ray.get(board.ask_to_stop.remote())
    assert tried(board, "sampling", 0, lambda: "made") is None
    assert tried(board, "writing", 0, lambda: "made", heeds_stop=False) == "made"

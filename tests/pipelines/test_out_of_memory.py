"""A training that finds no memory: once, and it goes on in halves; again, and it says what to lower."""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
import torch

import pipelines.train_worker
from augment.config import Config, load_config
from augment.errors import ConfigError
from augment.gan.training import TrainState, train
from pipelines import run
from pipelines.progress import Progress
from tests.pipelines.conftest import Finished
from tests.pipelines.injection import injected

pytestmark = [pytest.mark.usefixtures("ray_and_s3"), pytest.mark.timeout(300)]

SAID = "CUDA out of memory. Tried to allocate 2.00 GiB."


def too_large_whole(*args: Any, micro_batches: int, **kwargs: Any) -> TrainState:
    """Training on a device that takes half a batch at a time."""
    if micro_batches == 1:
        raise torch.OutOfMemoryError(SAID)
    return train(*args, micro_batches=micro_batches, **kwargs)


def too_large(*args: Any, **kwargs: Any) -> TrainState:
    """Training on a device that is too small for this."""
    raise torch.OutOfMemoryError(SAID)


def config_of(finished: Finished, root: Path, **train: Any) -> Config:
    settings: Mapping[str, Any] = {"workers": 1, "evaluate_every": 0, "max_failures": 1, **train}
    return load_config(
        finished.config_file,
        [f"output.uri={root / 'out'}", *(f"train.{name}={value}" for name, value in settings.items())],
    )


@pytest.mark.slow
def test_a_step_that_does_not_fit_in_memory_is_computed_in_halves(
    finished: Finished, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    with injected(pipelines.train_worker, train=too_large_whole):
        record, _ = run.train(config_of(finished, tmp_path), Progress("log"))

    assert (record.steps, record.ended) == (4, "steps")
    said = capsys.readouterr().err
    assert (
        f"worker 0 is out of memory (OutOfMemoryError: {SAID}); from the last snapshot on, each step is computed in halves"
        in said
    )


@pytest.mark.slow
def test_halves_that_do_not_fit_either_are_an_error_that_says_what_to_lower(
    finished: Finished, quiet: Progress, tmp_path: Path
) -> None:
    with (
        injected(pipelines.train_worker, train=too_large),
        pytest.raises(
            ConfigError,
            match=r"though each step was computed in halves; lower model\.width or train\.batch_size=8",
        ),
    ):
        run.train(config_of(finished, tmp_path, max_failures=3), quiet)


@pytest.mark.slow
def test_without_another_try_the_error_says_so(finished: Finished, quiet: Progress, tmp_path: Path) -> None:
    with (
        injected(pipelines.train_worker, train=too_large_whole),
        pytest.raises(ConfigError, match=r"train\.max_failures leaves no try"),
    ):
        run.train(config_of(finished, tmp_path, max_failures=0), quiet)

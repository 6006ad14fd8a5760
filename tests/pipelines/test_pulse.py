"""A training worker that hangs, and one that is asked to stop: by threads of this process, and by Ray's workers."""

from __future__ import annotations

import re
import time
from collections.abc import Callable
from typing import Any, NoReturn

import pytest
import ray

import pipelines.generate
import pipelines.pulse
import pipelines.train_worker
from augment.config import load_config
from augment.errors import PartialError
from pipelines.board import LogLine, new_board
from pipelines.progress import Progress
from pipelines.pulse import STALLED, Pulse, beating
from pipelines.run import generate, train
from tests.pipelines.conftest import Finished, wait_until
from tests.pipelines.injection import injected
from tests.pipelines.test_tries import copy_of

pytestmark = [pytest.mark.usefixtures("ray_and_s3"), pytest.mark.timeout(300)]


def test_the_drivers_wish_reaches_the_first_rank() -> None:
    board = new_board()
    with beating(board, rank=0, stall_timeout_s=60) as pulse:
        assert not pulse(0)
        ray.get(board.ask_to_stop.remote())
        wait_until(lambda: pulse(1), lambda: True, timeout_s=20)


def test_a_worker_that_does_not_beat_tells_where_its_threads_are_and_ends(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    board, pulse = new_board(), Pulse()
    pulse(7)
    codes = list[int]()

    pipelines.pulse._miss(pulse, NeverEnded(), board, 1, 0.05, codes.append)

    assert codes == [1]
    noted = ray.get(board.noted.remote(STALLED))
    assert re.fullmatch(r"worker 1 has been in step 7 for \d+ s \(ray\.stall_timeout_s\)", noted), noted
    (line,) = ray.get(board.take.remote())
    assert isinstance(line, LogLine)
    assert "test_a_worker_that_does_not_beat" in line.text


class NeverEnded:
    """The event of a training that goes on."""

    def wait(self, seconds: float) -> bool:
        time.sleep(seconds)
        return False


def stuck(spec: object, images: object, *, pulse: Callable[[int], bool], **kwargs: Any) -> NoReturn:
    """A training that hangs in its fourth step."""
    pulse(3)
    while True:
        time.sleep(3600)


@pytest.mark.slow
def test_a_training_that_hangs_ends_with_what_hung_and_exit_code_5(
    finished: Finished, quiet: Progress, tmp_path: Any, capsys: pytest.CaptureFixture[str]
) -> None:
    settings = [
        f"output.uri={tmp_path / 'out'}", "train.workers=1", "train.max_failures=0", "train.evaluate_every=0",
        "ray.stall_timeout_s=2",
    ]  # fmt: skip
    config = load_config(finished.config_file, settings)

    with (
        injected(pipelines.train_worker, train=stuck),
        pytest.raises(
            PartialError,
            match=r"worker 0 has been in step 3 for \d+ s \(ray\.stall_timeout_s\).*same command",
        ),
    ):
        train(config, Progress("log"))

    said = capsys.readouterr().err
    assert "Where each of its threads is" in said
    assert "in stuck" in said


def asleep(*args: object, **kwargs: object) -> NoReturn:
    """A shard that is never filled."""
    time.sleep(3600)
    raise AssertionError


@pytest.mark.slow
def test_a_generation_whose_actors_hang_ends_with_exit_code_5(
    finished: Finished, quiet: Progress, tmp_path: Any
) -> None:
    config = copy_of(finished, tmp_path, "out").model_copy(deep=True)
    config = config.model_copy(update={"ray": config.ray.model_copy(update={"stall_timeout_s": 3.0})})

    with (
        injected(pipelines.generate, fill_shard=asleep),
        pytest.raises(PartialError, match=r"generating stopped.*run the same command again"),
    ):
        generate(config, quiet)

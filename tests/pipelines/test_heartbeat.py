"""A driver's heartbeat, on stores that answer, fail and hang; and that of whole commands."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import threading
import time
import uuid
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest
import typer

from augment.config import Config, load_config
from augment.errors import PartialError, RetryLaterError
from augment.objects import MemoryStore, open_store
from augment.store.heartbeat import Heartbeat, StoredHeartbeat, stored_heartbeats
from pipelines import heartbeat as heartbeat_module
from pipelines.heartbeat import Heart, beating
from pipelines.progress import Progress, log
from pipelines.stopping import heeding_sigterm
from pipelines.submit.contract import SUBMISSION_VARIABLE

PATIENCE_S = 30.0


class Recording(MemoryStore):
    """Remembers every heartbeat; `fault` is called before each put."""

    def __init__(self) -> None:
        super().__init__(f"memory://{uuid.uuid4().hex}")
        self.heard: list[Heartbeat] = []
        self.fault: Callable[[], None] = lambda: None

    def put(self, key: str, data: bytes) -> None:
        self.fault()
        super().put(key, data)
        self.heard.append(Heartbeat.model_validate_json(data))

    def wait_for(self, condition: Callable[[Heartbeat], bool]) -> Heartbeat:
        """The first heartbeat that is so."""
        until_s = time.monotonic() + PATIENCE_S
        while time.monotonic() < until_s:
            for one in self.heard:
                if condition(one):
                    return one
            time.sleep(0.005)
        raise AssertionError(f"no such heartbeat among {self.heard}")


@pytest.fixture
def store() -> Recording:
    return Recording()


@pytest.fixture
def shown(monkeypatch: pytest.MonkeyPatch) -> Iterator[Progress]:
    """Progress that prints nothing; the log is as it was afterwards."""
    monkeypatch.delenv(SUBMISSION_VARIABLE, raising=False)
    handlers, level, propagate = log.handlers[:], log.level, log.propagate
    yield Progress("none")
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)


def test_it_beats_at_each_turn_and_in_between_and_says_how_far_a_stage_is(
    store: Recording, shown: Progress
) -> None:
    with Heart(store, "defects", "run", shown, every_s=0.02) as heart:
        first = store.wait_for(lambda one: one.stage is None)
        with shown.stage("train", total=100, unit="steps") as stage:
            for done in (10, 20, 30):
                stage.advance_to(done)
                time.sleep(0.01)
            training = store.wait_for(lambda one: one.stage is not None and one.stage.done == 30)
        store.wait_for(lambda one: "train" in one.seconds)
        shown.run_id = "0123456789abcdef"
        store.wait_for(lambda one: one.run_id == "0123456789abcdef")
        heart.ends_with(0)

    assert (first.name, first.command, first.exit_code) == ("defects", "run", None)
    assert training.stage is not None
    assert (training.stage.name, training.stage.total, training.stage.unit) == ("train", 100, "steps")
    assert [done for _, done in training.stage.points] == [10, 20, 30]
    assert store.heard[-1].exit_code == 0
    assert store.heard[-1].stage is None
    assert {one.started for one in store.heard} == {first.started}


def test_between_turns_it_is_as_quiet_as_it_was_asked_to_be(store: Recording, shown: Progress) -> None:
    with Heart(store, "defects", "run", shown, every_s=3_600):
        store.wait_for(lambda one: True)
        with shown.stage("train", total=100, unit="steps") as stage:
            store.wait_for(lambda one: one.stage is not None)
            for done in range(100):
                stage.advance_to(done)
        store.wait_for(lambda one: "train" in one.seconds)

    assert len(store.heard) <= 4  # the beginning, train, its end, and the end
    assert store.heard[-1].exit_code is None, "nobody said how it ended"


def test_the_last_warning_and_the_last_error_are_told_without_secrets(
    store: Recording, shown: Progress
) -> None:
    with Heart(store, "defects", "run", shown, every_s=0.01) as heart:
        log.warning("skipped %s", "a.png")
        log.warning("no answer from s3://bob:hunter2@example.org/bucket")
        log.info("all is well")
        heart.ends_with(75, "x" * 10_000)

    last = store.heard[-1]
    assert last.last_warning == "no answer from s3://***@example.org/bucket"
    assert last.last_error is not None
    assert len(last.last_error) == 2_000
    assert not any("augment-heartbeat" in thread.name for thread in threading.enumerate())


def test_a_store_that_does_not_answer_for_a_while_costs_a_debug_line(
    store: Recording, shown: Progress, caplog: pytest.LogCaptureFixture
) -> None:
    down = threading.Event()

    def fault() -> None:
        if down.is_set():
            raise RetryLaterError("the store did not answer")

    store.fault = fault
    log.propagate = True
    log.setLevel("DEBUG")
    with Heart(store, "defects", "run", shown, every_s=0.01) as heart:
        store.wait_for(lambda one: True)
        down.set()
        time.sleep(0.1)
        down.clear()
        shown.run_id = "after"
        store.wait_for(lambda one: one.run_id == "after")
        heart.ends_with(0)

    assert {record.levelname for record in caplog.records} == {"DEBUG"}
    assert "heartbeat: the store did not answer" in caplog.text
    assert store.heard[-1].exit_code == 0


def test_a_store_that_hangs_does_not_keep_a_command_from_ending(
    store: Recording, shown: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(heartbeat_module, "LAST_WORD_WITHIN_S", 0.05)
    answers = threading.Event()
    store.fault = lambda: answers.wait(PATIENCE_S) and None

    with Heart(store, "defects", "run", shown, every_s=0.01) as heart:
        heart.ends_with(0)
    assert store.heard == []
    answers.set()
    assert store.wait_for(lambda one: one.exit_code == 0)


@pytest.mark.parametrize(
    ("raised", "code", "error"),
    [
        (None, 0, None),
        (PartialError("2 of 7 shards are missing"), 5, "2 of 7 shards are missing"),
        (ValueError("a bug"), 1, "ValueError: a bug"),
        (typer.Exit(4), 4, None),
        (SystemExit(3), 3, None),
        (SystemExit(None), 0, None),
        (KeyboardInterrupt(), 130, "stopped by Ctrl-C"),
        (SystemExit(signal.SIGTERM), 5, "stopped by SIGTERM"),  # as Ray's handler leaves
    ],
)
def test_the_end_of_a_command_is_its_exit_code_and_its_error(
    config: Config, shown: Progress, raised: BaseException | None, code: int, error: str | None
) -> None:
    def command() -> None:
        with beating(config, shown, "train"), shown.stage("train", total=10, unit="steps"):
            if raised is not None:
                raise raised

    if raised is None:
        command()
    else:
        with pytest.raises(type(raised)):
            command()

    (found,) = stored_heartbeats(open_store(config.output.uri))
    assert (found.record.name, found.record.command) == ("small", "train")
    assert (found.record.exit_code, found.record.last_error) == (code, error)
    assert (found.record.stage is None) == (code == 0), "the stage says where it failed"


def test_a_command_that_sigterm_ends_says_the_exit_code_that_it_ends_with_and_status_tells_it(
    config: Config, config_file: Path, shown: Progress
) -> None:
    """What the process itself ends with is seen in test_preemption."""

    def train() -> None:
        with beating(config, shown, "train"), shown.stage("train", total=10, unit="steps"):
            os.kill(os.getpid(), signal.SIGTERM)
            time.sleep(PATIENCE_S)  # which the signal ends

    with heeding_sigterm(), pytest.raises(KeyboardInterrupt):
        train()

    (found,) = stored_heartbeats(open_store(config.output.uri))
    assert (found.record.exit_code, found.record.last_error) == (5, "stopped by SIGTERM")
    told = json.loads(augment("status", config.output.uri, "--json").stdout)
    assert (told["state"], told["exit_code"], told["reason"]) == ("failed", 5, "stopped by SIGTERM")
    assert told["heartbeat"]["stage"]["name"] == "train"
    said = augment("status", "-c", config_file).stdout
    assert "failed, exit code 5" in said
    assert "stopped by SIGTERM" in said


def test_a_submitted_command_says_by_which_name(
    config: Config, shown: Progress, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(SUBMISSION_VARIABLE, "nightly-2")

    with beating(config, shown, "run"):
        pass

    assert stored_heartbeats(open_store(config.output.uri))[0].record.submission == "nightly-2"


def test_commands_that_only_read_leave_no_heartbeat_and_one_that_fails_says_why(config_file: Path) -> None:
    out = Path(load_config(config_file).output.uri)
    for arguments in (
        ["plan", "-c", config_file],
        ["inspect", "-c", config_file],
        ["verify", out],
        ["status", out],
    ):
        augment(*arguments)
        assert not out.exists()

    failed = augment("generate", "-c", config_file, "--json")

    (found,) = stored_heartbeats(open_store(str(out)))
    assert failed.returncode == found.record.exit_code == 2
    assert found.record.last_error == json.loads(failed.stdout)["error"]
    assert "no finished model" in str(found.record.last_error)
    assert found.record.seconds.keys() == {"census"}


def augment(*arguments: object) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-m", "pipelines.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120)


def test_it_lasts_as_long_as_its_store_s_word() -> None:
    heard = StoredHeartbeat(
        Heartbeat.model_validate(
            {
                "name": "a",
                "command": "run",
                "version": "0",
                "started": "2026-11-23T04:00:00Z",
                "updated": "2026-11-23T04:00:00Z",
            }
        ),
        modified_s=0.0,
    )
    assert heard.is_silent(heartbeat_module.EVERY_S * 4 + 1)
    assert not heard.is_silent(heartbeat_module.EVERY_S * 3), "three beats may be lost"

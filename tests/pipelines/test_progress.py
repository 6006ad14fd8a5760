"""What a command is doing, as it is told on lines and to whoever looks on."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Iterator

import pytest

from pipelines import progress as progress_module
from pipelines.progress import Progress, log, time_left


@pytest.fixture(autouse=True)
def _log_as_it_was() -> Iterator[None]:
    handlers, level, propagate = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)


def test_the_current_stage_is_the_innermost_and_none_between_two() -> None:
    shown = Progress("none")
    assert shown.current is None
    with shown.stage("report") as outer:
        assert shown.current is outer
        with shown.stage("decode", total=9) as inner:
            assert shown.current is inner
        assert shown.current is outer
    assert shown.current is None
    assert list(shown.seconds) == ["decode", "report"]


def test_a_stage_that_failed_stays_the_current_one_until_the_next_begins() -> None:
    shown = Progress("none")
    with pytest.raises(ValueError, match="no"), shown.stage("train"), shown.stage("judge"):
        raise ValueError("no")
    assert shown.current is not None
    assert shown.current.name == "judge"
    with shown.stage("report") as stage:
        assert shown.current is stage
    assert shown.current is None
    assert "train" not in shown.seconds


def test_whoever_waits_hears_of_each_turn() -> None:
    shown = Progress("none")
    with shown.stage("train"):
        assert shown.turned.is_set()
        shown.turned.clear()
    assert shown.turned.is_set()


def test_a_line_tells_done_of_total_and_the_time_left(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [100.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    for mode in ("log", "json"):
        with Progress(mode).stage("train", total=1_000, unit="steps") as stage:  # type: ignore[arg-type]
            for done in range(0, 501, 100):
                now[0] += 10.0
                stage.advance_to(done, "512 images/s", shard=7)
    said = capsys.readouterr().err.splitlines()

    assert any(line.endswith("train: 500 of 1000 steps, 512 images/s, 50 s left") for line in said)
    told = next(json.loads(line) for line in said if '"done": 500' in line)
    told.pop("time")
    assert told == {
        "level": "info", "message": "train: 500 of 1000 steps, 512 images/s, 50 s left", "stage": "train",
        "done": 500, "total": 1000, "unit": "steps", "eta_s": 50.0, "per_s": 10.0, "shard": 7,
    }  # fmt: skip


def test_a_silence_says_what_is_waited_for_until_there_is_news(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    with Progress("json").stage("train", total=1_000, unit="steps") as stage:
        stage.waits_for("2 worker(s) to start")
        for seconds in (29.0, 30.0, 45.0, 60.0):
            now[0] = seconds
            stage.tell_silence()
        stage.advance_to(50)
        assert stage.tell_silence() == 30.0
        now[0] = 95.0
        stage.tell_silence()
    told = [json.loads(line) for line in capsys.readouterr().err.splitlines()]
    assert [(line["message"], line["silent_s"]) for line in told if "silent_s" in line] == [
        ("train: still waiting for 2 worker(s) to start, 30 s so far", 30.0),
        ("train: still waiting for 2 worker(s) to start, 60 s so far", 60.0),
        ("train: 50 of 1000 steps, still at work: no news for 35 s", 35.0),
    ]


def test_a_stage_tells_its_silences_by_itself_but_for_those_that_an_inner_one_fills(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(progress_module, "STILL_EVERY_S", 0.02)
    heard, enough = list[str](), threading.Event()

    class Listener(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            heard.append(record.getMessage())
            if sum(": still at work" in line for line in heard) == 3:
                enough.set()

    shown = Progress("log")
    log.addHandler(Listener())
    with shown.stage("report"), shown.stage("fidelity"):
        assert enough.wait(30)
    assert {line.partition(",")[0] for line in heard if "still" in line} >= {"fidelity: still at work"}
    inner = heard[: heard.index(next(line for line in heard if line.startswith("fidelity: done")))]
    assert not [line for line in inner if line.startswith("report")]


def test_nobody_listens_for_silences_where_no_lines_are_written() -> None:
    with Progress("none").stage("train"):
        assert "augment-silence" not in {thread.name for thread in threading.enumerate()}
    with Progress("log").stage("train"):
        assert "augment-silence" in {thread.name for thread in threading.enumerate()}
    assert "augment-silence" not in {thread.name for thread in threading.enumerate()}


def test_a_limit_runs_on_between_two_reports(monkeypatch: pytest.MonkeyPatch) -> None:
    now = [0.0]
    monkeypatch.setattr(progress_module.time, "monotonic", lambda: now[0])
    with Progress("none").stage("train", total=10_000, unit="steps") as stage:
        assert stage.limit_left_s is None
        stage.advance_to(10, limit_left_s=60.0)
        now[0] = 20.0
        eta = stage.eta()
        assert stage.limit_left_s == 40.0
        assert eta is not None
        assert eta.left_s == 40.0
        now[0] = 90.0
        assert stage.limit_left_s == 0.0


def test_the_run_id_is_on_every_line_once_it_is_known(capsys: pytest.CaptureFixture[str]) -> None:
    shown = Progress("json")
    log.info("before")
    shown.run_id = "0123456789abcdef"
    log.info("after")

    before, after = map(json.loads, capsys.readouterr().err.splitlines())
    assert "run_id" not in before
    assert after["run_id"] == "0123456789abcdef"


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0.2, "0 s left"), (89, "89 s left"), (90, "2 min left"), (5_399, "90 min left"), (5_400, "1.5 h left")],
)
def test_time_left_is_no_more_precise_than_an_estimate(seconds: float, text: str) -> None:
    assert time_left(seconds) == text

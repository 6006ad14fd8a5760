"""SIGTERM in this very process: what it interrupts, what it lets end, what it waits for, and for how long."""

from __future__ import annotations

import os
import signal
import time
from collections.abc import Iterator
from contextlib import suppress

import pytest

from pipelines import stopping
from pipelines.progress import log
from pipelines.stopping import heeding_sigterm, in_order, keeping_handler, leave_if_asked, was_asked


@pytest.fixture(autouse=True)
def heeding() -> Iterator[None]:
    """As in the command; what pytest had is put back."""
    before = signal.getsignal(signal.SIGTERM)
    with heeding_sigterm():
        yield
    assert signal.getsignal(signal.SIGTERM) is before


def ask() -> None:
    os.kill(os.getpid(), signal.SIGTERM)
    time.sleep(0.01)  # Python runs the handler between two of these instructions


def test_what_no_stage_is_in_the_middle_of_is_left_at_once() -> None:
    with pytest.raises(KeyboardInterrupt):
        ask()
    assert was_asked()


def test_cleaning_up_is_not_interrupted_a_second_time() -> None:
    with pytest.raises(KeyboardInterrupt):
        ask()
    ask()
    leave_if_asked()


def test_a_stage_is_told_and_left_once_it_has_ended_by_itself(caplog: pytest.LogCaptureFixture) -> None:
    told: list[str] = []

    @in_order("a snapshot is taken", lambda: told.append("told"))
    def stage() -> None:
        ask()
        while not told:
            time.sleep(0.01)
        told.append("ended")

    log.addHandler(caplog.handler)
    try:
        with pytest.raises(KeyboardInterrupt):
            stage()
    finally:
        log.removeHandler(caplog.handler)
    assert told == ["told", "ended"]
    assert set(caplog.messages) == {"SIGTERM: a snapshot is taken, for at most 22 s"}


def test_a_stage_that_takes_too_long_is_left(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(stopping, "WITHIN_S", 0.2)

    @in_order("nothing", lambda: None)
    def stage() -> None:
        ask()
        time.sleep(60)

    with pytest.raises(KeyboardInterrupt):
        stage()


def test_a_second_signal_leaves_the_stage_at_once() -> None:
    @in_order("nothing", lambda: None)
    def stage() -> None:
        ask()
        ask()
        raise AssertionError("it went on")

    with pytest.raises(KeyboardInterrupt):
        stage()


def test_what_fails_since_it_was_told_to_end_too_is_no_failure() -> None:
    @in_order("nothing", lambda: None)
    def stage() -> None:
        ask()
        raise ConnectionError("Ray has gone")

    with pytest.raises(KeyboardInterrupt) as left:
        stage()
    assert isinstance(left.value.__context__, ConnectionError)


def test_without_a_signal_a_stage_is_itself() -> None:
    with in_order("nothing", lambda: pytest.fail("nobody asked")):
        pass
    with pytest.raises(ValueError, match="its own"), in_order("nothing", lambda: None):
        raise ValueError("its own")
    leave_if_asked()
    assert not was_asked()


def test_a_signal_after_the_stage_interrupts_again() -> None:
    with in_order("nothing", lambda: None):
        pass
    with pytest.raises(KeyboardInterrupt):
        ask()


def test_a_library_that_takes_the_signal_gives_it_back() -> None:
    with keeping_handler():
        signal.signal(signal.SIGTERM, signal.SIG_IGN)
    with pytest.raises(KeyboardInterrupt):
        ask()


def test_a_handler_that_is_not_ours_is_left_as_it_is_put() -> None:
    ours = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with keeping_handler():
            signal.signal(signal.SIGTERM, signal.SIG_IGN)
        assert signal.getsignal(signal.SIGTERM) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGTERM, ours)


def test_what_runs_after_a_command_that_was_asked_to_end_is_not_asked_itself() -> None:
    with pytest.raises(KeyboardInterrupt), heeding_sigterm() as came:
        ask()
    assert came.is_set()
    assert not was_asked()


def test_where_the_interrupt_was_lost_the_next_stage_is_not_begun() -> None:
    with suppress(KeyboardInterrupt):  # as Python does with what is raised while a finaliser runs
        ask()
    with pytest.raises(KeyboardInterrupt), in_order("nothing", lambda: None):
        pytest.fail("the stage was begun")

"""Log lines as machines read them, and as people do."""

from __future__ import annotations

import json
import logging
import sys
from collections.abc import Iterator
from datetime import datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.errors import ConfigError
from pipelines.log_lines import JsonLines, TextLines, format_of_environment, say_error
from pipelines.progress import Progress, log

SECRET = "s3://bob:hunter2@example.org/bucket"


def record(message: str, *arguments: object, **fields: object) -> logging.LogRecord:
    return log.makeRecord(
        "augment", logging.WARNING, __file__, 1, message, arguments, None, extra={"fields": fields}
    )


@pytest.fixture(autouse=True)
def _log_as_it_was(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.delenv("AUGMENT_LOG_FORMAT", raising=False)
    handlers, level, propagate = log.handlers[:], log.level, log.propagate
    yield
    log.handlers[:], log.propagate = handlers, propagate
    log.setLevel(level)


def lines(said: str) -> list[dict[str, object]]:
    return [json.loads(line) for line in said.splitlines()]


def test_a_line_is_an_object_with_time_level_message_and_fields() -> None:
    formatter = JsonLines(lambda: {"run_id": "ab", "stage": "train"})

    document = json.loads(formatter.format(record("step %d", 400, step=400, stage="judge")))

    moment = datetime.strptime(document.pop("time"), "%Y-%m-%dT%H:%M:%S.%fZ")
    assert moment.year >= 2026
    assert document == {
        "level": "warning", "message": "step 400", "run_id": "ab", "stage": "judge", "step": 400,
    }  # fmt: skip


@given(message=st.text(), value=st.text() | st.integers() | st.none())
def test_whatever_is_said_is_one_line_of_json(message: str, value: object) -> None:
    line = JsonLines().format(record("%s", message, value=value))

    assert len(line.encode("utf-8", "surrogatepass").split(b"\n")) == 1
    assert {"time", "level", "message", "value"} <= json.loads(line).keys()


def test_neither_format_repeats_a_password() -> None:
    for formatter in (JsonLines(), TextLines()):
        line = formatter.format(record("no answer from %s, q@z", SECRET, where=SECRET))
        assert "hunter2" not in line
        assert "***@example.org/bucket" in line


def test_an_exception_is_a_field() -> None:
    try:
        raise ValueError(f"at {SECRET}")
    except ValueError:
        raised = log.makeRecord("augment", logging.ERROR, __file__, 1, "failed", (), sys.exc_info())

    document = json.loads(JsonLines().format(raised))

    assert document["message"] == "failed"
    assert "ValueError: at s3://***@example.org" in document["exception"]


def test_text_is_the_default_and_json_is_asked_for_by_the_environment_or_the_option(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    for mode, asked, is_json in (
        ("auto", "", False), ("log", "text", False), ("log", "json", True), ("auto", "JSON", True), ("json", "text", True),
    ):  # fmt: skip
        monkeypatch.setenv("AUGMENT_LOG_FORMAT", asked)
        with Progress(mode).stage("decode", total=9, unit="images"):  # type: ignore[arg-type]
            log.warning("skipped")
        said = capsys.readouterr().err
        assert said.startswith("{") is is_json, (mode, asked)
        if is_json:
            skipped, done = lines(said)
            assert (skipped["stage"], skipped["message"]) == ("decode", "skipped")
            assert (done["stage"], done["level"]) == ("decode", "info")


def test_quiet_says_warnings_alone_in_json_too(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setenv("AUGMENT_LOG_FORMAT", "json")

    with Progress("log", quiet=True).stage("decode"):
        log.warning("skipped")

    assert [line["message"] for line in lines(capsys.readouterr().err)] == ["skipped"]


def test_a_format_that_is_none_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("AUGMENT_LOG_FORMAT", "yaml")

    with pytest.raises(ConfigError, match=r"AUGMENT_LOG_FORMAT=yaml .*text, json"):
        format_of_environment()


def test_the_error_that_ends_a_command_is_a_line_of_the_log_s_own_format(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    log.handlers.clear()
    say_error("shard 7 is missing", 5)
    assert capsys.readouterr().err == "error: shard 7 is missing\n"

    for set_up in (lambda: monkeypatch.setenv("AUGMENT_LOG_FORMAT", "json"), lambda: Progress("json")):
        set_up()
        say_error("shard 7 is missing", 5)
        (line,) = lines(capsys.readouterr().err)
        assert (line["level"], line["message"], line["exit_code"]) == ("error", "shard 7 is missing", 5)

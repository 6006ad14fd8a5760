"""What a log line looks like: text for people, a JSON object a line for machines that collect logs.

    {"time": "2026-11-23T04:19:06.123Z", "level": "info", "message": "train: 400 of 1000 steps", "stage": "train", …}

Owns both formats, the choice between them, and the line that an error ends a command with. Knows nothing of what is
logged: fields come with a record (`extra={"fields": {…}}`), or from whoever set the log up. Neither format repeats what
stands before `@` in a URI.
"""

from __future__ import annotations

import json
import logging
import os
import sys
from collections.abc import Callable, Mapping
from datetime import datetime, timezone
from typing import Literal

from augment.errors import ConfigError
from augment.redaction import redact

__all__ = ["FORMAT_VARIABLE", "JsonLines", "LogFormat", "TextLines", "format_of_environment", "say_error"]

LogFormat = Literal["text", "json"]

FORMAT_VARIABLE = "AUGMENT_LOG_FORMAT"

_LOG = logging.getLogger("augment")


def format_of_environment() -> LogFormat:
    """What AUGMENT_LOG_FORMAT asks for, `text` without it; ConfigError where it is neither."""
    asked = os.environ.get(FORMAT_VARIABLE, "").strip().lower()
    if asked in ("", "text"):
        return "text"
    if asked != "json":
        raise ConfigError(f"{FORMAT_VARIABLE}={asked} in the environment is not one of text, json")
    return "json"


class TextLines(logging.Formatter):
    """`2026-11-23 04:19:06,123 INFO train: 400 of 1000 steps`."""

    def __init__(self) -> None:
        super().__init__("%(asctime)s %(levelname)s %(message)s")

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter."""
        return redact(super().format(record))


class JsonLines(logging.Formatter):
    """One JSON object a line: time (UTC), level, message, then what `context` knows and what the record brings."""

    def __init__(self, context: Callable[[], Mapping[str, object]] = dict) -> None:
        super().__init__()
        self._context = context

    def format(self, record: logging.LogRecord) -> str:
        """See logging.Formatter. A traceback is the field `exception`."""
        time = datetime.fromtimestamp(record.created, timezone.utc).isoformat(timespec="milliseconds")
        document: dict[str, object] = {
            "time": time.replace("+00:00", "Z"),
            "level": record.levelname.lower(),
            "message": record.getMessage(),
            **self._context(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info:
            document["exception"] = self.formatException(record.exc_info)
        clean = {name: redact(value) if isinstance(value, str) else value for name, value in document.items()}
        return json.dumps(clean, ensure_ascii=False, default=str)


def say_error(text: str, exit_code: int) -> None:
    """The last line of a command that failed, on standard error: `error: …`, or JSON where the log is JSON."""
    formatter = _json_formatter()
    if formatter is None:
        print(f"error: {text}", file=sys.stderr)
        return
    record = _LOG.makeRecord(
        _LOG.name, logging.ERROR, __file__, 0, "%s", (text,), None,
        extra={"fields": {"exit_code": exit_code}},
    )  # fmt: skip
    print(formatter.format(record), file=sys.stderr)


def _json_formatter() -> JsonLines | None:
    """As the command has set its log up; before it has, as the environment asks where nobody looks on."""
    if _LOG.handlers:
        formatters = (handler.formatter for handler in _LOG.handlers)
        return next((formatter for formatter in formatters if isinstance(formatter, JsonLines)), None)
    asked = os.environ.get(FORMAT_VARIABLE, "").strip().lower()
    return JsonLines() if asked == "json" and not sys.stderr.isatty() else None

"""A log that is a file is read to its end, and as it grows."""

from __future__ import annotations

from pathlib import Path

from pipelines.submit.log_file import text_of


def test_a_log_is_read_as_it_grows_and_to_its_end(tmp_path: Path) -> None:
    """What is written between the last question and the last read is not missed."""
    path = tmp_path / "log"
    path.write_bytes(b"begun\n\xff")
    more = iter(["one\n", "", "last\n"])

    def is_written() -> bool:
        added = next(more)
        with path.open("a") as file:
            file.write(added)
        return added != "last\n"

    assert "".join(text_of(path, is_written, every_s=0.001)) == "begun\n\ufffdone\nlast\n"


def test_a_log_that_nobody_follows_is_its_text_now(tmp_path: Path) -> None:
    path = tmp_path / "log"
    path.write_text("all\n")
    asked = []
    assert list(text_of(path, lambda: bool(asked.append(1)), every_s=60)) == ["all\n"]
    assert len(asked) == 1

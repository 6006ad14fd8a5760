"""`python -m tests.data.hostile` writes the page."""

from tests.data.hostile.page import PAGE, markdown

PAGE.parent.mkdir(exist_ok=True)
PAGE.write_text(markdown(), encoding="utf-8")

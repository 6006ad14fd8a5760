"""A real browser opens the page without a word on its console: nothing was fetched, refused or broken."""

from __future__ import annotations

import shutil
import subprocess
from pathlib import Path

import pytest

from augment.report.html.page import render_page
from tests.report.html import factory

pytestmark = pytest.mark.slow

CHROMIUM = shutil.which("chromium") or shutil.which("google-chrome")


def console(page: Path, folder: Path) -> str:
    """What the browser wrote to its console; it can reach no host, not even for itself."""
    assert CHROMIUM is not None
    done = subprocess.run(
        [
            CHROMIUM, "--headless", "--no-sandbox", "--disable-gpu", "--no-first-run",
            "--disable-background-networking", "--host-resolver-rules=MAP * ~NOTFOUND", "--enable-logging=stderr",
            f"--user-data-dir={folder / 'profile'}", "--dump-dom", page.as_uri(),
        ],
        capture_output=True, text=True, timeout=120, check=True,
    )  # fmt: skip
    assert "</html>" in done.stdout
    return "\n".join(line for line in done.stderr.splitlines() if "CONSOLE" in line)


@pytest.mark.skipif(CHROMIUM is None, reason="needs chromium on the PATH")
@pytest.mark.parametrize("kind", ["full", "hostile", "spoilt"])
def test_the_page_opens_without_a_console_message(kind: str, tmp_path: Path) -> None:
    names = factory.HOSTILE_NAMES if kind == "hostile" else ("Sandal", "Bag")
    html = render_page(factory.document(names, sheets=factory.sheets(range(len(names)), size=16, each=2)))
    if kind == "spoilt":  # what must not be there would be noticed
        html = html.replace("</main>", '<img src="http://127.0.0.1:9/x.png" alt="x"></main>')
    page = tmp_path / "report.html"
    page.write_text(html, encoding="utf-8")
    said = console(page, tmp_path)
    assert ("Content Security Policy" in said) if kind == "spoilt" else (said == "")

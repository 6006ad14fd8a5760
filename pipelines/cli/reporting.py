"""The verb that shows a committed dataset to people: one self-contained page, and its figures as JSON."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer

from augment.errors import ConfigError
from pipelines.cli.shared import AsJson, DatasetUri, Mode, Quiet, Version, print_json, progress_of

if TYPE_CHECKING:
    from augment.report.html.document import ReportDocument

__all__ = ["report"]

_SUFFIXES = (".html", ".htm")

Out = Annotated[
    Path,
    typer.Option("--out", help="Where the page goes, an .html file; its figures go beside it, as .json."),
]


def report(
    uri: DatasetUri,
    version: Version = None,
    out: Out = Path("report.html"),
    title: Annotated[str, typer.Option(help="The page's heading.")] = "Synthetic images for rare classes",
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Write one HTML page of a version: recommendation, balance, lift, gates, pictures, fidelity, near copies."""
    from augment.report.html.page import render_page
    from augment.store.reading import open_dataset
    from pipelines.reporting import report_of

    if out.suffix.lower() not in _SUFFIXES:
        raise ConfigError(f"--out={out} must end in .html: the page's figures are written beside it as .json")
    shown = progress_of(progress, quiet)
    dataset = open_dataset(uri, version)
    with shown.stage("report"):
        document = report_of(dataset, title=title)
        html = render_page(document).encode()
    figures = out.with_suffix(".json")
    _write(out, html)
    _write(figures, document.to_json())
    if as_json:
        where = {"uri": dataset.uri, "version": dataset.version, "html": str(out), "json": str(figures)}
        print_json(where | {"report": _without_pictures(document)})
        return
    typer.echo(
        f"{out}: version {dataset.version} of {dataset.uri}, {len(html) / 1e6:.1f} MB; its figures: {figures}"
    )


def _write(path: Path, data: bytes) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(data)
    except OSError as error:
        raise ConfigError(f"can't write {path}: {error.strerror}") from error


def _without_pictures(document: "ReportDocument") -> dict[str, Any]:
    """The document as JSON values; pictures are in the file."""
    return document.model_dump(mode="json", exclude={"sheets"})

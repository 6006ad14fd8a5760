"""Verbs that take the URI of a committed dataset and read it."""

import dataclasses
from typing import Annotated

import typer

from pipelines.cli.shared import AsJson, DatasetUri, Mode, Quiet, Version, print_json, progress_of

__all__ = ["files", "verify"]


def verify(
    uri: DatasetUri,
    version: Version = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read every byte: digests, ids, pixels.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Check that a dataset holds exactly what its manifests say."""
    from augment.store.verification import verify as verify_dataset

    with progress_of(progress, quiet).stage("verify"):
        report = verify_dataset(uri, version, deep=deep)
    if as_json:
        print_json(dataclasses.asdict(report))
    else:
        for problem in report.problems:
            typer.echo(f"problem: {problem}")
        state = "ok" if report.ok else f"{len(report.problems)} problem(s)"
        typer.echo(f"{state}: version {report.version}, {report.rows} rows, {report.files} files")
    if not report.ok:
        raise typer.Exit(1)


def files(
    uri: DatasetUri,
    version: Version = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Print the committed shards, one a line."""
    from augment.store.reading import open_dataset, refuse_collected

    progress_of(progress, quiet)
    dataset = open_dataset(uri, version)
    refuse_collected(dataset)  # whoever is handed these paths opens them
    if as_json:
        print_json({"uri": dataset.uri, "version": dataset.version, "files": list(dataset.files)})
    else:
        for path in dataset.files:
            typer.echo(path)

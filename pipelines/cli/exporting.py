"""The verb that copies a dataset version into another layout."""

import dataclasses
from typing import Annotated

import typer

from pipelines.cli.shared import AsJson, DatasetUri, Mode, Quiet, Version, print_json, progress_of

__all__ = ["export"]


def export(
    uri: DatasetUri,
    target: Annotated[str, typer.Argument(help="Where to: an empty folder or s3://bucket/prefix.")],
    layout: Annotated[str, typer.Option(help="hf, hive, webdataset or folder.")],
    version: Version = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Make a static copy of one version, for tools that want their own layout. Run again to resume."""
    from augment.objects import open_store
    from augment.report.describing import export as export_dataset
    from augment.store.reading import open_dataset

    shown = progress_of(progress, quiet)
    dataset = open_dataset(uri, version)
    with shown.stage("export", total=dataset.rows, unit="rows") as stage:
        exported = export_dataset(dataset, target, layout, stage.advance_to)
    where = open_store(target).uri
    if as_json:
        document = dataclasses.asdict(exported) | {"record": exported.record.model_dump(mode="json")}
        print_json({"uri": dataset.uri, "target": where} | document)
        return
    state = "" if exported.made else " (was there already)"
    typer.echo(
        f"{where}: version {dataset.version} as {layout}, {exported.rows} rows, {exported.files} files{state}"
    )

"""Verbs that take a config: what a job would do, a part of it, all of it."""

import dataclasses
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from augment.errors import ConfigError, GateError
from pipelines.cli.shared import (
    AsJson,
    ConfigPath,
    Mode,
    Overrides,
    Quiet,
    load,
    print_json,
    progress_of,
    standard_output,
)

if TYPE_CHECKING:
    from augment.config import Config
    from augment.data.census import Census
    from pipelines.progress import Progress
    from pipelines.run import RunResult

__all__ = ["Deep", "census_of", "demo", "generate", "init", "inspect", "run", "train"]

Deep = Annotated[bool, typer.Option("--deep", help="Look into every image, not only at labels.")]
Budget = Annotated[
    list[str] | None,
    typer.Option(
        "--budget",
        help="The most that all commands of this job may use: hours=2, or usd=5 (with cost.prices).",
    ),
]


def init(path: Annotated[Path, typer.Argument(help="Where to write it.")] = Path("augment.yaml")) -> None:
    """Write a config with every field, its default and its meaning."""
    from augment.config_reference import config_template

    try:
        with path.open("x", encoding="utf-8") as file:
            file.write(config_template())
    except FileExistsError:
        raise ConfigError(f"{path} exists; name another file, or remove it first") from None
    except OSError as error:
        raise ConfigError(f"can't write {path}: {error.strerror}") from error
    typer.echo(path)


def inspect(
    config: ConfigPath,
    set_: Overrides = None,
    deep: Deep = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Count the classes; with --deep also name every image that can't be read, and those that are there twice."""
    from augment.report.duplicates import duplicates_table
    from augment.report.tables import census_table, set_aside

    loaded = load(config, set_)
    census = census_of(loaded, deep, progress_of(progress, quiet))
    if as_json:
        print_json(census.model_dump(mode="json"))
    else:
        standard_output().print(census_table(census.counts, census.bad))
        if census.held_out or census.held_out_unlabelled or census.dropped:
            standard_output().print(set_aside(census.held_out, census.dropped, census.held_out_unlabelled))
        if census.duplicates is not None:
            standard_output().print(duplicates_table(census.duplicates))


def train(
    config: ConfigPath,
    set_: Overrides = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Fit the GAN only; a killed training goes on from its last snapshot."""
    from pipelines.heartbeat import beating
    from pipelines.run import train as train_job

    loaded, shown = load(config, set_), progress_of(progress, quiet)
    with beating(loaded, shown, "train"):
        model, uri = train_job(loaded, shown)
    if as_json:
        print_json({"model": uri, "sha256": model.sha256, "steps": model.steps, "seconds": shown.seconds})
    else:
        typer.echo(uri)


def generate(
    config: ConfigPath,
    set_: Overrides = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Generate and commit from the model that `train` made."""
    from pipelines.heartbeat import beating
    from pipelines.lineage import lineage_of
    from pipelines.run import generate as generate_job

    loaded, shown = load(config, set_), progress_of(progress, quiet)
    with beating(loaded, shown, "generate"):
        with lineage_of(loaded, "generate") as made:
            result = made(generate_job(loaded, shown))
        _print_result(result, as_json)


def run(
    config: ConfigPath,
    set_: Overrides = None,
    budget: Budget = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Do the whole job: count, plan, train, generate, commit, look. Run again to resume."""
    from pipelines.heartbeat import beating
    from pipelines.lineage import lineage_of
    from pipelines.run import run as run_job

    loaded = load(config, [*(set_ or []), *(f"budget.{each}" for each in budget or [])])
    shown = progress_of(progress, quiet)
    with beating(loaded, shown, "run"):
        with lineage_of(loaded, "run") as made:
            result = made(run_job(loaded, shown))
        _print_result(result, as_json)


def demo(
    out: Annotated[Path, typer.Option("--out", help="Where the dataset and the picture go.")] = Path(
        "augment-demo"
    ),
    set_: Overrides = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Run the whole job on a long-tailed Fashion-MNIST that comes with the package."""
    from pipelines.demo import run_demo

    result = run_demo(out, set_ or [], progress_of(progress, quiet))
    _print_result(result, as_json)


def census_of(config: "Config", deep: bool, progress: "Progress") -> "Census":
    """The classes, counted; with `deep` every image is looked into."""
    from augment.data.census import images_to_open, take_census
    from augment.data.sources import open_source

    source = open_source(config.source)
    total = images_to_open(source) if deep else 1
    with progress.stage("census", total=total, unit="images") as stage:
        return take_census(
            source, image=config.image, deep=deep, progress=lambda done, total: stage.advance_to(done)
        )


def _print_result(result: "RunResult", as_json: bool) -> None:
    if as_json:
        ledger = [one.model_dump(mode="json") for one in result.ledger]
        print_json(dataclasses.asdict(result) | {"ledger": ledger})
    elif result.version is None:
        typer.echo(f"{result.uri}: {result.why_nothing}, nothing was made")
    else:
        typer.echo(f"dataset        {result.uri} version {result.version}")
        typer.echo(f"run            {result.run_id}, {sum(result.rows.values())} synthetic samples")
        typer.echo(f"contact sheet  {result.contact_sheet}")
        typer.echo(f"report         {result.report}")
    if result.missing:  # committed, and short of what was asked for
        typer.echo(f"{result.missing} samples are missing: no candidate for them passed the gates", err=True)
        raise typer.Exit(GateError.exit_code)

"""Verbs that take a config: what a job would do, a part of it, all of it."""

import dataclasses
import os
from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer
from rich.console import Console

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
)

if TYPE_CHECKING:
    from augment.config import Config
    from augment.data.census import Census
    from pipelines.progress import Progress
    from pipelines.run import RunResult

__all__ = ["demo", "generate", "init", "inspect", "plan", "run", "train"]

Deep = Annotated[bool, typer.Option("--deep", help="Look into every image, not only at labels.")]


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
    census = _census(loaded, deep, progress_of(progress, quiet))
    if as_json:
        print_json(census.model_dump(mode="json"))
    else:
        Console().print(census_table(census.counts, census.bad))
        if census.held_out or census.held_out_unlabelled or census.dropped:
            Console().print(set_aside(census.held_out, census.dropped, census.held_out_unlabelled))
        if census.duplicates is not None:
            Console().print(duplicates_table(census.duplicates))


def plan(
    config: ConfigPath,
    set_: Overrides = None,
    deep: Deep = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Say how many samples each class needs, what the preset chooses, and what it all costs. Makes nothing."""
    from augment.report.tables import chosen_table, plan_chart, plan_summary
    from pipelines.planning import cost_of, existing_for, plan_for, why_nothing
    from pipelines.presets import choices_document, local_hardware, settled

    loaded = load(config, set_)
    census = _census(loaded, deep, progress_of(progress, quiet))
    planned = plan_for(loaded, census.counts, existing_for(loaded))
    hardware = local_hardware(loaded.ray)
    preset = settled(loaded, census.counts, hardware)
    cost = cost_of(planned, preset.config, hardware)
    if as_json:
        document = planned.model_dump(mode="json")
        document |= {"plan_id": planned.plan_id, "rows": planned.rows, "shards": planned.num_shards}
        document |= {"estimate": cost.model_dump(mode="json"), "bad": len(census.bad), "deep": deep}
        document |= {"preset": choices_document(preset, hardware)}
        print_json(document)
    else:
        console = Console()
        console.print(plan_chart(planned))
        console.print(plan_summary(planned, cost))
        if not planned.rows:
            console.print(f"nothing to make: {why_nothing(loaded)}")
        console.print(chosen_table(preset.chosen, hardware, preset.warnings))
        if preset.chosen and (loaded.ray.address or os.environ.get("RAY_ADDRESS")) not in (None, "local"):
            console.print("the Ray cluster was not asked: on it, the choice may differ", style="dim")
        if not deep:
            left_out = f"{len(census.bad)} bad file(s) are left out; " if census.bad else ""
            console.print(
                f"{left_out}no image was opened: --deep counts those that can't be read", style="dim"
            )


def train(
    config: ConfigPath,
    set_: Overrides = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Fit the GAN only; a killed training goes on from its last snapshot."""
    from pipelines.run import train as train_job

    shown = progress_of(progress, quiet)
    model, uri = train_job(load(config, set_), shown)
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
    from pipelines.run import generate as generate_job

    _print_result(generate_job(load(config, set_), progress_of(progress, quiet)), as_json)


def run(
    config: ConfigPath,
    set_: Overrides = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Do the whole job: count, plan, train, generate, commit, look. Run again to resume."""
    from pipelines.run import run as run_job

    _print_result(run_job(load(config, set_), progress_of(progress, quiet)), as_json)


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


def _census(config: "Config", deep: bool, progress: "Progress") -> "Census":
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

"""The `augment` command: verbs, flags, exit codes and what is printed.

Owns the contract that scripts and schedulers depend on: results on standard output, everything else on
standard error; `--json` prints one JSON document; exit codes are those of augment.errors. Each verb
imports what it needs when it runs, so `--help` and `plan` answer at once, without torch or Ray.
"""

import dataclasses
import json
import os
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any, NoReturn

import typer
from rich.console import Console

from augment.errors import AugmentError, ConfigError

if TYPE_CHECKING:
    from augment.config import Config
    from augment.data.census import Census
    from pipelines.progress import Progress
    from pipelines.run import RunResult

__all__ = ["app", "main"]

INTERRUPTED = 130  # as a shell reports Ctrl-C

app = typer.Typer(
    name="augment",
    help="Balance the rare classes of an image data set with a conditional GAN, on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks print local variables, and those may hold secrets
)

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The config, a YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override a field: --set train.steps=2000.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and the result.")]
Mode = Annotated[str, typer.Option("--progress", help="auto, tty (bars), log (lines) or none.")]
Deep = Annotated[bool, typer.Option("--deep", help="Look into every image, not only at labels.")]


@app.command()
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


@app.command()
def inspect(
    config: ConfigPath,
    set_: Overrides = None,
    deep: Deep = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Count the classes; with --deep also name every image that can't be read."""
    from augment.report.tables import census_table

    loaded = _load(config, set_)
    census = _census(loaded, deep, _progress(progress, quiet))
    if as_json:
        _print_json(census.model_dump(mode="json"))
    else:
        Console().print(census_table(census.counts, census.bad))


@app.command()
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
    from pipelines.planning import cost_of, plan_for
    from pipelines.presets import choices_document, local_hardware, settled

    loaded = _load(config, set_)
    census = _census(loaded, deep, _progress(progress, quiet))
    planned = plan_for(loaded, census.counts)
    hardware = local_hardware(loaded.ray)
    preset = settled(loaded, census.counts, hardware)
    cost = cost_of(planned, preset.config, hardware)
    if as_json:
        document = planned.model_dump(mode="json")
        document |= {"plan_id": planned.plan_id, "rows": planned.rows, "shards": planned.num_shards}
        document |= {"estimate": cost.model_dump(mode="json"), "bad": len(census.bad), "deep": deep}
        document |= {"preset": choices_document(preset, hardware)}
        _print_json(document)
    else:
        console = Console()
        console.print(plan_chart(planned))
        console.print(plan_summary(planned, cost))
        console.print(chosen_table(preset.chosen, hardware, preset.warnings))
        if preset.chosen and (loaded.ray.address or os.environ.get("RAY_ADDRESS")) not in (None, "local"):
            console.print("the Ray cluster was not asked: on it, the choice may differ", style="dim")
        if not deep:
            left_out = f"{len(census.bad)} bad file(s) are left out; " if census.bad else ""
            console.print(
                f"{left_out}no image was opened: --deep counts those that can't be read", style="dim"
            )


@app.command()
def train(
    config: ConfigPath,
    set_: Overrides = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Fit the GAN only; a killed training goes on from its last snapshot."""
    from pipelines.run import train as train_job

    shown = _progress(progress, quiet)
    model, uri = train_job(_load(config, set_), shown)
    if as_json:
        _print_json({"model": uri, "sha256": model.sha256, "steps": model.steps, "seconds": shown.seconds})
    else:
        typer.echo(uri)


@app.command()
def generate(
    config: ConfigPath,
    set_: Overrides = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Generate and commit from the model that `train` made."""
    from pipelines.run import generate as generate_job

    _print_result(generate_job(_load(config, set_), _progress(progress, quiet)), as_json)


@app.command()
def run(
    config: ConfigPath,
    set_: Overrides = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Do the whole job: count, plan, train, generate, commit, look. Run again to resume."""
    from pipelines.run import run as run_job

    _print_result(run_job(_load(config, set_), _progress(progress, quiet)), as_json)


@app.command()
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

    result = run_demo(out, set_ or [], _progress(progress, quiet))
    _print_result(result, as_json)


@app.command()
def verify(
    uri: Annotated[str, typer.Argument(help="The dataset: a folder or s3://bucket/prefix.")],
    version: Annotated[int | None, typer.Option(help="A version; the newest by default.")] = None,
    deep: Annotated[bool, typer.Option("--deep", help="Read every byte: digests, ids, pixels.")] = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Check that a dataset holds exactly what its manifests say."""
    from augment.store.verification import verify as verify_dataset

    with _progress(progress, quiet).stage("verify"):
        report = verify_dataset(uri, version, deep=deep)
    if as_json:
        _print_json(dataclasses.asdict(report))
    else:
        for problem in report.problems:
            typer.echo(f"problem: {problem}")
        state = "ok" if report.ok else f"{len(report.problems)} problem(s)"
        typer.echo(f"{state}: version {report.version}, {report.rows} rows, {report.files} files")
    if not report.ok:
        raise typer.Exit(1)


@app.command()
def files(
    uri: Annotated[str, typer.Argument(help="The dataset: a folder or s3://bucket/prefix.")],
    version: Annotated[int | None, typer.Option(help="A version; the newest by default.")] = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Print the committed shards, one a line."""
    from augment.store.reading import open_dataset

    _progress(progress, quiet)
    dataset = open_dataset(uri, version)
    if as_json:
        _print_json({"uri": dataset.uri, "version": dataset.version, "files": list(dataset.files)})
    else:
        for path in dataset.files:
            typer.echo(path)


def main() -> NoReturn:
    """Run the command; every AugmentError becomes a line on standard error and its exit code."""
    try:
        app()
    except AugmentError as error:
        Console(stderr=True, soft_wrap=True).print(f"error: {error}", markup=False, highlight=False)
        if "--json" in sys.argv:
            _print_json({"ok": False, "error": str(error), "exit_code": error.exit_code})
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == INTERRUPTED:
            typer.echo("stopped; what is stored is kept, the same command goes on from there", err=True)
        raise
    raise AssertionError("typer ends the process itself")


def _load(path: Path, overrides: list[str] | None) -> "Config":
    from augment.config import load_config

    return load_config(path, overrides or [])


def _progress(mode: str, quiet: bool) -> "Progress":
    from pipelines.progress import PROGRESS_MODES, Progress

    if mode not in PROGRESS_MODES:
        raise ConfigError(f"--progress={mode} is not one of {', '.join(PROGRESS_MODES)}")
    return Progress(mode, quiet=quiet)


def _census(config: "Config", deep: bool, progress: "Progress") -> "Census":
    from augment.data.census import take_census
    from augment.data.sources import open_source

    source = open_source(config.source)
    total = len(source.listing().labels_B) if deep else 1
    with progress.stage("census", total=total, unit="images") as stage:
        return take_census(
            source, image=config.image, deep=deep, progress=lambda done, total: stage.advance_to(done)
        )


def _print_result(result: "RunResult", as_json: bool) -> None:
    if as_json:
        _print_json(dataclasses.asdict(result))
        return
    if result.version is None:
        typer.echo(f"{result.uri}: every class is full already, nothing was made")
        return
    typer.echo(f"dataset        {result.uri} version {result.version}")
    typer.echo(f"run            {result.run_id}, {sum(result.rows.values())} synthetic samples")
    typer.echo(f"contact sheet  {result.contact_sheet}")


def _print_json(document: Any) -> None:
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


if __name__ == "__main__":
    main()

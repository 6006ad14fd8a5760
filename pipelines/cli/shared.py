"""What verbs share: their options, the config, the progress, and JSON on standard output."""

import json
from pathlib import Path
from typing import TYPE_CHECKING, Annotated, Any

import typer
from rich.console import Console

from augment.errors import ConfigError

if TYPE_CHECKING:
    from augment.config import Config
    from pipelines.progress import Progress

__all__ = [
    "AsJson",
    "ConfigPath",
    "DatasetUri",
    "Mode",
    "Overrides",
    "Quiet",
    "Version",
    "load",
    "print_json",
    "progress_of",
    "standard_output",
]

OFF_TERMINAL_COLUMNS = 240

ConfigPath = Annotated[Path, typer.Option("--config", "-c", help="The config, a YAML file.")]
Overrides = Annotated[
    list[str] | None, typer.Option("--set", help="Override a field: --set train.steps=2000.")
]
AsJson = Annotated[bool, typer.Option("--json", help="Print one JSON document on standard output.")]
Quiet = Annotated[bool, typer.Option("--quiet", "-q", help="Print only warnings and the result.")]
Mode = Annotated[
    str, typer.Option("--progress", help="auto, tty (bars), log (lines), json (lines of JSON) or none.")
]
DatasetUri = Annotated[str, typer.Argument(help="The dataset: a folder or s3://bucket/prefix.")]
Version = Annotated[int | None, typer.Option(help="A version; the newest by default.")]


def load(path: Path, overrides: list[str] | None) -> "Config":
    """The config at `path`, with `--set` applied."""
    from augment.config import load_config

    return load_config(path, overrides or [])


def progress_of(mode: str, quiet: bool) -> "Progress":
    """Progress as `--progress` and `--quiet` ask for it; ConfigError for an unknown mode."""
    from pipelines.progress import PROGRESS_MODES, Progress

    if mode not in PROGRESS_MODES:
        raise ConfigError(f"--progress={mode} is not one of {', '.join(PROGRESS_MODES)}")
    return Progress(mode, quiet=quiet)


def print_json(document: Any) -> None:
    """Print one document."""
    typer.echo(json.dumps(document, ensure_ascii=False, indent=2))


def standard_output() -> Console:
    """For tables: as wide as the terminal; in a file or a pipe wide enough that digests, keys and most names stay in a line."""
    console = Console()
    return console if console.is_terminal else Console(width=OFF_TERMINAL_COLUMNS)

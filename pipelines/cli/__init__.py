"""The `augment` command: its verbs, exit codes and what is printed.

Owns the contract that scripts and schedulers depend on: results on standard output, everything else on
standard error; `--json` prints one JSON document; exit codes are those of augment.errors. Each verb
imports what it needs when it runs, so `--help` and `plan` answer at once, without torch or Ray.
"""

import signal
import sys
import threading
from typing import Annotated, NoReturn

import typer

from augment.errors import AugmentError, PartialError
from pipelines.cli import (
    datasets,
    exporting,
    history,
    jobs,
    lifting,
    planning,
    reporting,
    status,
    submitting,
    upkeep,
)
from pipelines.cli.shared import print_json
from pipelines.log_lines import say_error
from pipelines.stopping import heeding_sigterm

__all__ = ["app", "main"]

INTERRUPTED = 130  # as a shell reports Ctrl-C

VERBS = (
    jobs.init,
    jobs.inspect,
    planning.plan,
    jobs.train,
    jobs.generate,
    jobs.run,
    jobs.demo,
    lifting.lift,
    submitting.submit,
    status.status,
    submitting.logs,
    submitting.cancel,
    submitting.render,
    datasets.verify,
    datasets.files,
    exporting.export,
    reporting.report,
    history.log,
    history.diff,
    history.explain,
    history.revoke,
    upkeep.gc,
    upkeep.doctor,
)
"""In the order of `--help`."""

app = typer.Typer(
    name="augment",
    help="Balance the rare classes of an image data set with a conditional GAN, on Ray.",
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,  # its tracebacks print local variables, and those may hold secrets
)
for verb in VERBS:
    app.command()(verb)


def _say_version(asked: bool) -> None:
    if asked:
        from importlib.metadata import version

        typer.echo(f"augment {version('ray-augment')}")
        raise typer.Exit


@app.callback()
def _options(
    show_version: Annotated[
        bool,
        typer.Option("--version", help="Print the version and end.", callback=_say_version, is_eager=True),
    ] = False,
) -> None:
    """What `augment` takes before a verb; its help is the app's."""


def main() -> NoReturn:
    """Run the command; every AugmentError becomes a line on standard error and its exit code."""
    terminated = threading.Event()
    try:
        with heeding_sigterm() as terminated:
            app()
    except AugmentError as error:
        say_error(str(error), error.exit_code)
        if "--json" in sys.argv:
            print_json({"ok": False, "error": str(error), "exit_code": error.exit_code})
        sys.exit(error.exit_code)
    except SystemExit as ended:
        if ended.code == signal.SIGTERM or (terminated.is_set() and ended.code == INTERRUPTED):
            _end_terminated()
        if ended.code == INTERRUPTED:
            typer.echo("stopped; what is stored is kept, the same command goes on from there", err=True)
        raise
    raise AssertionError("typer ends the process itself")


def _end_terminated() -> NoReturn:
    """As any job that is stopped before its end: whoever retries what is partly done retries this."""
    said = "stopped by SIGTERM; what is stored is kept, the same command goes on from there"
    say_error(said, PartialError.exit_code)
    if "--json" in sys.argv:
        print_json({"ok": False, "error": said, "exit_code": PartialError.exit_code})
    sys.exit(PartialError.exit_code)

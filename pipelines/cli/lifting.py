"""The verb that asks whether samples help, and what it shows: a line an arm, a line a class, and what to do."""

from typing import TYPE_CHECKING, Annotated

import typer
from rich.table import Table

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
    from augment.lift.verdict import LiftResult, Verdict
    from augment.quality.intervals import Interval

__all__ = ["lift"]

Arms = Annotated[
    str | None, typer.Option("--arms", help="What is compared: real,gan-gated (default: lift.arms).")
]
Seeds = Annotated[int | None, typer.Option("--seeds", help="Trainings of every arm (default: lift.seeds).")]


def lift(
    config: ConfigPath,
    arms: Arms = None,
    seeds: Seeds = None,
    set_: Overrides = None,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Measure whether samples help: classifiers with and without them, judged on held-out real images."""
    from pipelines.heartbeat import beating
    from pipelines.lift_job import lift as lift_job

    named = [name.strip() for name in arms.split(",") if name.strip()] if arms is not None else []
    loaded, shown = load(config, set_), progress_of(progress, quiet)
    with beating(loaded, shown, "lift"):
        outcome = lift_job(loaded, shown, arms=named, seeds=seeds)
    if as_json:
        document = outcome.result.model_dump(mode="json")
        print_json({"uri": outcome.uri} | document | {"seconds": outcome.seconds})
        return
    console = standard_output()
    console.print(_arm_table(outcome.result.verdict))
    console.print(_class_table(outcome.result.verdict))
    for line in _lines(outcome.result):
        typer.echo(line)
    typer.echo(f"all figures     {outcome.uri}")


def _arm_table(answer: "Verdict") -> Table:
    """A line an arm, on test images, in percent; the difference with its 95% interval in points."""
    table = Table(box=None, padding=(0, 1), header_style="bold", pad_edge=False)
    table.add_column("Arm", no_wrap=True)
    for header in ("Bal. acc.", "Less control", "p (Holm)", "Tail", "Macro F1", "Worst", "ECE"):
        table.add_column(header, justify="right", no_wrap=header == "Less control")
    for one in answer.arms:
        test, difference = one.test, one.difference
        table.add_row(
            one.arm.name,
            f"{100 * test.balanced_accuracy:.1f}",
            _interval(difference.difference) if difference else "control",
            f"{difference.adjusted_p:.3f}" if difference else "",
            f"{100 * test.tail_recall:.1f}",
            f"{100 * test.macro_f1:.1f}",
            f"{100 * test.worst_class_recall:.1f}",
            f"{test.calibration_error:.3f}",
            style=None if one.arm.is_control else "cyan",
        )
    return table


def _class_table(answer: "Verdict") -> Table:
    """A line a class: test recall of the control and of the best generated arm, and the advice."""
    advice = answer.recommendation
    recalls = {one.arm.name: one.test.recall_K for one in answer.arms}
    table = Table(box=None, padding=(0, 1), header_style="bold", pad_edge=False)
    table.add_column("Class", overflow="fold")
    shown = [answer.control, *([advice.chosen] if advice.chosen else [])]
    for header in ("Real", *(f"Recall, {name}" for name in shown)):
        table.add_column(header, justify="right")
    table.add_column("Advice")
    for index, one in enumerate(advice.classes):
        table.add_row(
            one.name,
            f"{answer.training_counts[index]:,}",
            *(f"{100 * recalls[name][index]:.1f}" for name in shown),
            f"{one.samples:,} samples by {one.recipe}" if one.samples else "none",
        )
    return table


def _lines(result: "LiftResult") -> list[str]:
    """What stands below the tables: what was compared, what was not, and what to do."""
    answer, advice = result.verdict, result.verdict.recommendation
    seeds, tested = len(answer.seeds), sum(answer.test_counts)
    lines = [
        f"control         {answer.control}, the best of the controls on {sum(answer.validation_counts):,} validation "
        f"images; {seeds} seed(s), {tested:,} test images"
    ]
    lines += [f"narrowed        {one.arm.name}: {one.narrowed}" for one in answer.arms if one.narrowed]
    lines += [f"not tried       {one.arm}: {one.reason}" for one in answer.untried]
    if advice.tail_on_test is not None:
        lines.append(
            f"rarest classes  {advice.chosen} less {answer.control}: {_interval(advice.tail_on_test)} points"
        )
    lines += [f"warning         {warning}" for warning in result.warnings]
    if advice.augment:
        lines.append(f"recommendation  augment, and train by {advice.train}: {advice.reason}")
    else:
        lines.append(f"recommendation  do not augment; train by {advice.train}: {advice.reason}")
    if advice.makes_samples:
        lines.append("to follow it    augment run … --set recipe=auto")
    return lines


def _interval(found: "Interval") -> str:
    return f"{100 * found.estimate:+.1f} ({100 * found.low:+.1f} … {100 * found.high:+.1f})"

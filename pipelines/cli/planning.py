"""The verb `plan`: what a job would make and what it would take, by formulas or by a probe."""

import os
import re
from typing import TYPE_CHECKING, Annotated

import typer

from augment.errors import ConfigError
from pipelines.cli.jobs import Deep, census_of
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
    from augment.gan.hardware import Hardware
    from augment.types import AugmentPlan
    from pipelines.presets import Settled
    from pipelines.sizing import MeasuredPlan

__all__ = ["plan"]

_LEAST_PROBE_S = 3.0  # three trials; in less, none has a slice to compare with

Probe = Annotated[
    str | None,
    typer.Option("--probe", help="Measure this model on this hardware for so long, such as 30s or 2m."),
]
Prices = Annotated[
    list[str] | None, typer.Option("--price", help="USD an hour: gpu=2.5, cpu=0.04 or machine=3.1.")
]


def plan(
    config: ConfigPath,
    set_: Overrides = None,
    probe: Probe = None,
    price: Prices = None,
    deep: Deep = False,
    as_json: AsJson = False,
    quiet: Quiet = False,
    progress: Mode = "auto",
) -> None:
    """Say how many samples each class needs, what the preset chooses, and what it all costs. Makes nothing."""
    from augment.config import unused_sections
    from pipelines.planning import census_for, existing_for, plan_for
    from pipelines.presets import local_hardware, settled
    from pipelines.progress import log

    seconds = None if probe is None else _seconds(probe)
    loaded = load(config, [*(set_ or []), *(f"cost.prices.{each}" for each in price or [])])
    shown = progress_of(progress, quiet)
    for line in unused_sections(loaded):
        log.warning("%s", line)
    labelled = census_of(loaded, deep, shown)
    census = census_for(loaded, labelled)
    planned = plan_for(loaded, census.counts, existing_for(loaded))
    measured = None
    if seconds is None or not planned.rows:
        hardware = local_hardware(loaded.ray)
        preset = settled(loaded, census.counts, hardware)
    else:
        from pipelines.sizing import measured_plan

        measured = measured_plan(loaded, planned, census.counts, seconds, shown)
        hardware, preset = measured.hardware, measured.preset
    if as_json:
        print_json(_document(planned, census, preset, hardware, measured) | {"deep": deep})
    else:
        _print(loaded, planned, preset, hardware, measured)
        left_out = f"{len(census.bad)} bad file(s) are left out; " if census.bad else ""
        if census is not labelled:
            standard_output().print(f"{left_out}images are counted as the last run decoded them", style="dim")
        elif not deep:
            standard_output().print(
                f"{left_out}no image was opened{' but by the probe' if measured else ''}: --deep counts those that "
                "can't be read",
                style="dim",
            )


def _document(
    planned: "AugmentPlan",
    census: "Census",
    preset: "Settled",
    hardware: "Hardware",
    measured: "MeasuredPlan | None",
) -> dict[str, object]:
    """The plan as JSON; with a probe, what it measured and what follows from it instead of the estimate."""
    from pipelines.planning import cost_of
    from pipelines.presets import choices_document

    document = planned.model_dump(mode="json")
    document |= {"plan_id": planned.plan_id, "rows": planned.rows, "shards": planned.num_shards}
    if measured is None:
        document |= {"estimate": cost_of(planned, preset.config, hardware).model_dump(mode="json")}
    else:
        trials = measured.probed.trials()
        document |= {"forecast": measured.forecast.model_dump(mode="json"), "probe": trials}
    return document | {"bad": len(census.bad), "preset": choices_document(preset, hardware)}


def _print(
    loaded: "Config",
    planned: "AugmentPlan",
    preset: "Settled",
    hardware: "Hardware",
    measured: "MeasuredPlan | None",
) -> None:
    from augment.report.forecast_table import forecast_table
    from augment.report.tables import chosen_table, plan_chart, plan_summary
    from pipelines.planning import cost_of, why_nothing

    console = standard_output()
    console.print(plan_chart(planned))
    if not planned.rows:  # neither a model nor a sample: what they would be made with says nothing
        console.print(plan_summary(planned, None))
        console.print(f"nothing to make: {why_nothing(loaded)}")
        return
    cost = cost_of(planned, preset.config, hardware) if measured is None else None
    console.print(plan_summary(planned, cost))
    if measured is not None:
        console.print(forecast_table(measured.forecast))
    if not planned.trains:
        return
    console.print(chosen_table(preset.chosen, hardware, preset.warnings))
    asked = measured is not None or not preset.chosen
    if not asked and (loaded.ray.address or os.environ.get("RAY_ADDRESS")) not in (None, "local"):
        console.print("the Ray cluster was not asked: on it, the choice may differ", style="dim")


def _seconds(text: str) -> float:
    """The seconds that `--probe` asks for; ConfigError where it is no duration, or too short."""
    found = re.fullmatch(r"(\d+(?:\.\d+)?)(s|m)", text)
    if found is None:
        raise ConfigError(f"--probe={text} is no time; write it as 30s or 2m")
    seconds = float(found[1]) * (60 if found[2] == "m" else 1)
    if seconds < _LEAST_PROBE_S:
        raise ConfigError(
            f"--probe={text} is too short for three trials; give it {_LEAST_PROBE_S:g}s or more"
        )
    return seconds

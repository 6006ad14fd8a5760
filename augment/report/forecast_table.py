"""What a run is foretold to take, for the terminal: stage by stage, in all, and how sure each figure is.

Owns how a forecast looks in text. Pure: a rich renderable, and nothing is printed.
"""

from rich.console import Group, RenderableType
from rich.table import Table
from rich.text import Text

from augment.planning.forecast import Forecast
from augment.planning.interval import Interval
from augment.report.tables import human_bytes, human_duration

__all__ = ["forecast_table"]


def forecast_table(forecast: Forecast) -> RenderableType:
    """Stages with their wall time, and below them the whole run: time, hours, price, bytes and memory."""
    stages = Table(box=None, padding=(0, 1), header_style="bold")
    for header in ("Stage", "Time", "Between", "Rests on"):
        stages.add_column(header, no_wrap=header != "Rests on")
    for stage in forecast.stages:
        note = f"{stage.basis}: {stage.note}" if stage.note else stage.basis
        stages.add_row(stage.name, *_times(stage.seconds), Text(note, style="dim"))
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    for name, text in _lines(forecast):
        grid.add_row(name, text)
    notes = [Text(f"  {note}", style="dim") for note in forecast.notes]
    return Group(stages, grid, *notes)


def _lines(forecast: Forecast) -> list[tuple[str, str]]:
    memory = forecast.memory
    middle, between = _times(forecast.wall_s)
    lines = [("Wall time", f"{middle} ({between})")]
    if forecast.gpu_hours.high:
        lines.append(("GPU-hours", _number(forecast.gpu_hours)))
    lines.append(("CPU-hours", f"{_number(forecast.cpu_hours)}, of all CPUs that are held"))
    if forecast.usd is None:
        lines.append(("Price", 'unknown: set cost.prices, or --price "gpu=2.5"'))
    else:
        lines.append(("Price", f"{_number(forecast.usd)} USD"))
    shards = f"{forecast.shards:,} shard{'' if forecast.shards == 1 else 's'}"
    lines.append(("Output", f"{shards}, {_bytes(forecast.total_bytes)}"))
    lines.append(("An image", _bytes(forecast.bytes_per_image)))
    lines.append(("Driver", f"{_bytes(memory.driver)} of memory"))
    if memory.training_worker is not None:
        lines.append(("Training worker", f"{_bytes(memory.training_worker)} of memory each"))
    lines.append(("Generator", f"{_bytes(memory.generator)} of memory each"))
    lines.append(("Object store", f"{_bytes(memory.object_store)} of shared memory"))
    return lines


def _times(seconds: Interval) -> tuple[str, str]:
    low, high = human_duration(seconds.low), human_duration(seconds.high)
    return human_duration(seconds.middle), low if low == high else f"{low} to {high}"


def _bytes(size: Interval) -> str:
    return f"{human_bytes(size.middle)} ({human_bytes(size.low)} to {human_bytes(size.high)})"


def _number(figure: Interval) -> str:
    return f"{figure.middle:.3g} ({figure.low:.3g} to {figure.high:.3g})"

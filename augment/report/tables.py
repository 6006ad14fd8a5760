"""Tables and bars for the terminal: the census, and the plan before and after.

Owns how counts look in text. Pure: every function returns a rich renderable and prints nothing. Whatever
colour shows, a character shows too, so that a pipe, a log or a colour-blind reader loses nothing.
"""

from collections.abc import Mapping, Sequence

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.measure import Measurement
from rich.table import Table
from rich.text import Text

from augment.gan.hardware import Hardware
from augment.gan.presets import ChosenField
from augment.planning.cost import CostEstimate
from augment.types import AugmentPlan, BadImage, ClassCounts

__all__ = [
    "StackedBar",
    "bad_images",
    "census_table",
    "chosen_table",
    "human_bytes",
    "human_duration",
    "plan_chart",
    "plan_summary",
    "safe_text",
    "set_aside",
]

REAL_MARK = "█"
SYNTHETIC_MARK = "░"
REAL_STYLE = "cyan"
SYNTHETIC_STYLE = "magenta"

_MAX_CLASSES = 40  # more are shown by their head and their tail
_MAX_LINES = 20  # of bad images, and of notes


class StackedBar:
    """A bar of `real` full and `synthetic` light blocks; `longest` fills the width that there is.

    A part above zero is never shorter than one block, so a tail class stays visible.
    """

    def __init__(self, real: int, synthetic: int, longest: int) -> None:
        self.real = real
        self.synthetic = synthetic
        self.longest = max(longest, 1)

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        real, synthetic = self.blocks(options.max_width)
        yield Text.assemble((REAL_MARK * real, REAL_STYLE), (SYNTHETIC_MARK * synthetic, SYNTHETIC_STYLE))

    def __rich_measure__(self, console: Console, options: ConsoleOptions) -> Measurement:
        return Measurement(min(4, options.max_width), options.max_width)

    def blocks(self, width: int) -> tuple[int, int]:
        """Blocks of the real and of the synthetic part in a bar of `width` characters."""
        total = self.real + self.synthetic
        filled = min(width, max(round(width * total / self.longest), bool(self.real) + bool(self.synthetic)))
        synthetic = round(filled * self.synthetic / total) if total else 0
        if self.synthetic:
            synthetic = max(synthetic, 1)
        if self.real:
            synthetic = min(synthetic, max(filled - 1, 0))
        return filled - synthetic, synthetic


def census_table(counts: ClassCounts, bad: Sequence[BadImage] = ()) -> RenderableType:
    """Every class with its images, largest first, the imbalance ratio, and the images left out."""
    order = sorted(range(len(counts.classes)), key=lambda position: (-counts.counts[position], position))
    largest = max(counts.counts, default=0)
    table = _table("Class", "Label", "Images", "Share", "")
    for position in _head_and_tail(order):
        if position is None:
            _gap_row(table, len(order) - _MAX_CLASSES, columns=5)
            continue
        info, images = counts.classes[position], counts.counts[position]
        share = images / counts.total if counts.total else 0.0
        bar = StackedBar(images, 0, largest)
        table.add_row(safe_text(info.name), str(info.label), f"{images:,}", f"{share:.2%}", bar)
    parts: list[RenderableType] = [table, _census_line(counts)]
    if bad:
        parts.append(bad_images(bad))
    return Group(*parts)


def set_aside(
    held_out: Mapping[str, ClassCounts],
    dropped: Mapping[str, int],
    unlabelled: Mapping[str, int] | None = None,
) -> RenderableType:
    """A line a held-out split and a line of classes left out by source.labels; nothing where there are none.

    `unlabelled`: held-out images by split, beside those counted, without a label that a class is learned for.
    """
    lines = []
    for split, counts in held_out.items():
        line = f"{split}: {counts.total:,} {_plural(counts.total, 'image')} held out, never trained on"
        more = (unlabelled or {}).get(split, 0)
        lines.append(line + (f"; and {more:,} of no class that is learned" if more else ""))
    if dropped:
        named = ", ".join(f"{name} ({images:,})" for name, images in dropped.items())
        lines.append(f"left out by source.labels: {named}")
    return Group(*_first_lines(lines))


def bad_images(bad: Sequence[BadImage]) -> RenderableType:
    """What could not be used, counted, and the first of it by name with the reason.

    Mostly images; a truncated tar or a hidden folder is one line for all of its own, so none is called an image.
    """
    heading = Text(f"{len(bad):,} left out:", style="yellow")
    return Group(heading, *_first_lines([f"{image.name}: {image.reason}" for image in bad]))


def plan_chart(plan: AugmentPlan) -> RenderableType:
    """Each class before and after: real images as full blocks, synthetic samples as light ones.

    Of a top-up, a column says how many synthetic rows the dataset holds already; where a class is not made by the
    generator, another how each is made.
    """
    targets = plan.classes
    order = sorted(range(len(targets)), key=lambda position: (-targets[position].real, position))
    longest = max((target.target for target in targets), default=0)
    tops_up = any(target.existing for target in targets)
    by_recipe = any(target.recipe != "gan" for target in targets)
    headers = [
        "Class", "Real", *(["Existing"] if tops_up else []), "Synthetic", *(["By"] if by_recipe else []), "Total", "",
    ]  # fmt: skip
    table = _table(*headers)
    for position in _head_and_tail(order):
        if position is None:
            _gap_row(table, len(order) - _MAX_CLASSES, columns=len(headers))
            continue
        target = targets[position]
        made = f"+{target.synthetic:,}" if target.synthetic else "0"
        bar = StackedBar(target.real, target.existing + target.synthetic, longest)
        existing = [f"{target.existing:,}"] if tops_up else []
        recipe = [target.recipe if target.synthetic else ""] if by_recipe else []
        total = f"{target.target:,}"
        table.add_row(safe_text(target.name), f"{target.real:,}", *existing, made, *recipe, total, bar)
    legend = Text.assemble(
        (REAL_MARK, REAL_STYLE), " real   ", (SYNTHETIC_MARK, SYNTHETIC_STYLE), " synthetic"
    )
    notes = [
        f"{targets[position].name}: {targets[position].note}" for position in order if targets[position].note
    ]
    return Group(table, legend, *_first_lines(notes))


def plan_summary(plan: AugmentPlan, cost: CostEstimate | None) -> RenderableType:
    """The plan in a few lines: id, samples, classes, and the guessed size and time, where nothing was measured."""
    filled = sum(1 for target in plan.classes if target.synthetic)
    real = sum(target.real for target in plan.classes)
    before = _ratio([target.real for target in plan.classes])
    after = _ratio([target.target for target in plan.classes])
    grid = Table.grid(padding=(0, 2))
    grid.add_column(style="bold", no_wrap=True)
    grid.add_column(overflow="fold")
    grid.add_row("Plan", plan.plan_id)
    grid.add_row("Synthetic", f"{plan.rows:,} samples in {filled:,} of {len(plan.classes):,} classes")
    grid.add_row("Dataset", f"{real:,} real images; imbalance ratio {before:,.1f} before, {after:,.1f} after")
    shards = f"{plan.num_shards:,} {_plural(plan.num_shards, 'shard')} of up to {plan.shard_rows:,} rows"
    if cost is None:
        return grid
    grid.add_row("Output", f"{shards}, about {human_bytes(cost.total_bytes)}")
    if cost.train_s is not None:
        grid.add_row("Training", _about(cost.train_s))
    grid.add_row("Generating", _about(cost.generate_s))
    grid.add_row("Encoding", f"{_about(cost.encode_core_s)} of one CPU core")
    for index, assumption in enumerate(cost.assumptions):
        grid.add_row("" if index else "Guessing", Text(assumption, style="dim"))
    grid.add_row("", Text("good to about a factor of two; --probe 30s measures this model here", style="dim"))
    return grid


def chosen_table(
    chosen: Sequence[ChosenField], hardware: Hardware, warnings: Sequence[str] = ()
) -> RenderableType:
    """What the preset fills in on this machine: field, value and why, and below it what it warns of."""
    gpus = f" and {hardware.gpus} {_plural(hardware.gpus, 'GPU')}" if hardware.gpus else ""
    there = f"{hardware.cpus:g} {_plural(round(hardware.cpus), 'CPU')}{gpus}"
    parts: list[RenderableType] = []
    if chosen:
        heading = Text(f"Chosen for you, for this machine's {there} (a field that you set stays as it is):")
        grid = Table.grid(padding=(0, 2))
        grid.add_column(style="bold", no_wrap=True)
        grid.add_column(overflow="fold")
        grid.add_column(style="dim", overflow="fold", ratio=1)
        for field in chosen:
            grid.add_row(f"  {field.name}", safe_text(field.text), safe_text(field.why))
        parts += [heading, grid]
    parts += [Text(f"Warning: {warning}", style="yellow") for warning in warnings]
    return Group(*parts)


def human_bytes(size: float) -> str:
    """`1.3 GB`, in powers of 1000."""
    for unit in ("B", "kB", "MB", "GB", "TB"):
        if size < 999.5:
            return f"{size:.0f} {unit}" if unit == "B" else f"{size:.3g} {unit}"
        size /= 1000
    return f"{size:,.1f} PB"


def _about(seconds: float) -> str:
    return human_duration(seconds) if seconds < 1 else f"about {human_duration(seconds)}"


def human_duration(seconds: float) -> str:
    """`45 s`, `12 min`, `3.5 h` or `11 days`."""
    if seconds < 1:
        return "less than 1 s"
    if seconds < 90:
        return f"{seconds:.0f} s"
    if seconds < 90 * 60:
        return f"{seconds / 60:.0f} min"
    if seconds < 48 * 3600:
        return f"{seconds / 3600:.1f} h"
    return f"{seconds / 86_400:,.0f} days"


# ---- parts --------------------------------------------------------------------------------------------


def _table(*headers: str) -> Table:
    """Names to the left, numbers to the right, and the bar takes what width is left."""
    table = Table(box=None, expand=True, padding=(0, 1), header_style="bold")
    for header in headers:
        if header == "Class":
            table.add_column(header, overflow="ellipsis", no_wrap=True, max_width=32)
        elif header:
            table.add_column(header, justify="right", no_wrap=True)
        else:
            table.add_column("", ratio=1, no_wrap=True)
    return table


def _gap_row(table: Table, hidden: int, columns: int) -> None:
    line = Text(f"… {hidden:,} more {_plural(hidden, 'class')} …", style="dim")
    table.add_row(line, *[""] * (columns - 1))


def _head_and_tail(order: Sequence[int]) -> list[int | None]:
    """All positions, or the first and last with None where others are left out."""
    if len(order) <= _MAX_CLASSES:
        return list(order)
    half = _MAX_CLASSES // 2
    return [*order[:half], None, *order[-half:]]


def _census_line(counts: ClassCounts) -> Text:
    classes = len(counts.classes)
    text = f"{counts.total:,} images in {classes:,} {_plural(classes, 'class')}"
    if counts.total:
        present = [
            (images, info.name) for images, info in zip(counts.counts, counts.classes, strict=True) if images
        ]
        head, tail = max(present, key=lambda entry: entry[0]), min(present, key=lambda entry: entry[0])
        text += f"; imbalance ratio {counts.imbalance_ratio:,.1f} (head {head[1]!r}, tail {tail[1]!r})"
    empty = sum(1 for images in counts.counts if not images)
    return safe_text(text + (f"; {empty:,} without images" if empty else ""))


def _first_lines(lines: Sequence[str]) -> list[Text]:
    """The first lines, indented, and how many more there are."""
    shown = [safe_text(f"  {line}") for line in lines[:_MAX_LINES]]
    hidden = len(lines) - len(shown)
    return [*shown, Text(f"  … and {hidden:,} more")] if hidden else shown


def safe_text(text: str) -> Text:
    """Text without markup or control characters: names come from the data, and go to a terminal."""
    return Text("".join(character if character.isprintable() else "�" for character in text))


def _ratio(sizes: Sequence[int]) -> float:
    present = [size for size in sizes if size]
    return max(present) / min(present) if present else 1.0


def _plural(count: int, word: str) -> str:
    if count == 1:
        return word
    return f"{word}es" if word.endswith("s") else f"{word}s"

"""The config in writing: the template that `augment init` writes, and the reference in configs/README.md.

Both are made from the config classes, so they can't fall behind. `python -m augment.config_reference` brings
configs/README.md up to date; `--check` fails where it is not.
"""

import argparse
import json
import sys
import textwrap
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from augment.config import Config
from augment.config_fields import Field, fields_of, section_of
from augment.errors import AugmentError, ConfigError
from augment.gan.presets import RULES

__all__ = ["config_template", "main", "reference_markdown", "update_readme"]

START = "<!-- config-reference:start -->"
END = "<!-- config-reference:end -->"

_EXAMPLES = {"source.uri": "data/train", "output.uri": "out/dataset"}
"""What the template has for the fields without a default."""

_COMMENT_WIDTH = 100


def config_template() -> str:
    """A YAML config with every field, its meaning, its range and its default; it loads as it is.

    Fields that the preset chooses are commented out: a default that is written down counts as the user's.
    """
    parts = [
        "# A run of `augment`. Only source.uri and output.uri are required; every other line shows its\n"
        "# default and can go. Lines that are commented out are chosen by model.preset, unless you set them.\n"
    ]
    for section, doc, fields in _sections():
        lines = [f"# {doc}", f"{section}:"] if section else []
        opened: tuple[str, ...] = (section,) if section else ()  # the sections that the last line lies in
        for field in fields:
            indent = "  " * (len(field.path) - 1)
            if field.path[:-1] != opened and len(field.path) > 2:
                lines.append(f"{indent[2:]}{field.path[-2]}:")
            opened = field.path[:-1]
            lines += [f"{indent}# {line}" for line in _comment(field)]
            line = f"{field.path[-1]}: {_yaml(_EXAMPLES.get(field.name, field.default))}"
            begin = f"{indent}# " if field.name in RULES else indent
            lines.append(
                textwrap.fill(
                    line,
                    _COMMENT_WIDTH,
                    initial_indent=begin,
                    subsequent_indent=f"{begin}  ",
                    break_long_words=False,
                    break_on_hyphens=False,
                )
            )
        parts.append("\n".join(lines) + "\n")
    return "\n".join(parts)


def reference_markdown() -> str:
    """A heading and a Markdown table a section: field, type and range, default, meaning."""
    parts = []
    for section, doc, fields in _sections():
        heading = f"## {section}\n\n{doc}" if section else "## At the top"
        rows = [
            f"| `{field.name}` | {_cell(field.type)} | {_default(field)} | {_cell(field.doc)} |"
            for field in fields
        ]
        table = ["| Field | Type and range | Default | Meaning |", "|---|---|---|---|", *rows]
        parts.append(f"{heading}\n\n" + "\n".join(table) + "\n")
    return "\n".join(parts)


def update_readme(path: Path, *, check: bool = False) -> bool:
    """Put the reference between the markers of `path`; True if it was up to date. `check` writes nothing.

    Raises ConfigError where the file or a marker is missing.
    """
    try:
        text = path.read_text(encoding="utf-8")
    except OSError as error:
        raise ConfigError(f"{path}: cannot be read: {error.strerror}") from error
    before, start, rest = text.partition(START)
    _, end, after = rest.partition(END)
    if not (start and end):
        raise ConfigError(f"{path}: put the lines {START} and {END} where the reference belongs")
    updated = f"{before}{START}\n{reference_markdown()}{END}{after}"
    if updated != text and not check:
        path.write_text(updated, encoding="utf-8")
    return updated == text


def main(arguments: Sequence[str] | None = None) -> int:
    """The command line: 0 done, 1 `--check` found an old reference, 2 the call is wrong."""
    parser = argparse.ArgumentParser(prog="python -m augment.config_reference", description=__doc__)
    parser.add_argument("readme", nargs="?", type=Path, default=Path("configs", "README.md"))
    parser.add_argument("--check", action="store_true", help="write nothing; exit 1 if the reference is old")
    options = parser.parse_args(arguments)
    try:
        current = update_readme(options.readme, check=options.check)
    except AugmentError as error:
        print(error, file=sys.stderr)
        return error.exit_code
    if options.check and not current:
        print(
            f"{options.readme}: the config reference is old; run python -m augment.config_reference",
            file=sys.stderr,
        )
        return 1
    return 0


def _sections() -> Iterable[tuple[str, str, list[Field]]]:
    """Name, description and fields of each section; the first, nameless, has the fields at the top."""
    leaves = list(fields_of(Config))
    yield "", "", [field for field in leaves if len(field.path) == 1]
    for name, info in Config.model_fields.items():
        if section := section_of(info):
            doc = (section.__doc__ or "").strip().splitlines()[0]
            yield name, doc, [field for field in leaves if field.path[0] == name and len(field.path) > 1]


def _comment(field: Field) -> list[str]:
    kind = "required" if field.required else f"default {_yaml(field.default)}"
    if field.name in RULES:
        kind = f"chosen; with preset none {_yaml(field.default)}"
    texts = (_one_line(field.doc), f"({field.type}; {kind})")
    return [line for text in texts for line in textwrap.wrap(text, _COMMENT_WIDTH, break_on_hyphens=False)]


def _default(field: Field) -> str:
    if field.required:
        return "required"
    value = f"`{_cell(_yaml(field.default))}`"
    return f"chosen; with preset none {value}" if field.name in RULES else value


def _yaml(value: Any) -> str:
    """A default on one line: words plain, everything else as JSON, which YAML reads too."""
    if isinstance(value, str) and value.replace("-", "").replace("/", "").isalnum():
        return value
    if isinstance(value, list):
        return f"[{', '.join(_yaml(item) for item in value)}]"
    return json.dumps(value)


def _cell(text: str) -> str:
    return _one_line(text).replace("|", r"\|")


def _one_line(text: str) -> str:
    return " ".join(text.split())


if __name__ == "__main__":
    sys.exit(main())

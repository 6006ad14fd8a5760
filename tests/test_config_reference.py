"""augment.config_reference: the template loads as it is, and the reference keeps up with the classes."""

from pathlib import Path

import pytest

from augment.config import Config, load_config
from augment.config_fields import fields_of
from augment.config_reference import config_template, main, reference_markdown, update_readme
from augment.data.config import SourceConfig
from augment.errors import ConfigError
from augment.gan.presets import RULES
from augment.store.config import OutputConfig

README = "# Title\n\nbefore\n<!-- config-reference:start -->\nold\n<!-- config-reference:end -->\nafter\n"


def test_the_template_loads_back_as_the_defaults(tmp_path: Path) -> None:
    path = tmp_path / "augment.yaml"
    path.write_text(config_template(), encoding="utf-8")
    defaults = Config(source=SourceConfig(uri="data/train"), output=OutputConfig(uri="out/dataset"))
    assert load_config(path) == defaults


def test_the_template_has_every_field_with_its_range_and_default() -> None:
    template = config_template()
    for field in fields_of(Config):
        assert f"{field.path[-1]}: " in template
    assert "  # (whole number ≥ 0; default 200)\n  warm_up_steps: 200\n" in template
    assert "  # (text, or a list of text; required)\n  uri: data/train\n" in template
    assert max(map(len, template.splitlines())) <= 110


def test_the_template_leaves_open_what_the_preset_chooses(tmp_path: Path) -> None:
    path = tmp_path / "augment.yaml"
    path.write_text(config_template(), encoding="utf-8")
    loaded = load_config(path)
    written = {f"model.{name}" for name in loaded.model.model_fields_set}
    written |= {f"train.{name}" for name in loaded.train.model_fields_set}
    assert written
    assert not written & set(RULES)
    assert "  # (whole number ≥ 1; chosen; with preset none 5000)\n  # steps: 5000\n" in config_template()


def test_every_field_has_a_meaning_and_a_row() -> None:
    rows = [line for line in reference_markdown().splitlines() if line.startswith("| `")]
    fields = list(fields_of(Config))
    assert [row.split("`")[1] for row in rows] == [field.name for field in fields]
    assert all(field.doc for field in fields)
    for row in rows:
        assert row.replace(r"\|", "").count("|") == 5


@pytest.mark.parametrize(
    "row",
    [
        "| `source.uri` | text, or a list of text | required | A folder or files",
        "| `source.split.by` | auto, none, folder, file or column | `auto` |",
        "| `seed` | whole number ≥ 0 and < 2^63 | `0` |",
        "| `image.background` | whole number 0 to 255 | `0` |",
        "| `balance.max_total` | whole number ≥ 1 or null | `null` |",
        "| `train.horizontal_flip` | true or false | `false` |",
        "| `train.beta2` | number > 0 and < 1 | `0.95` |",
        "| `train.steps` | whole number ≥ 1 | chosen; with preset none `5000` |",
    ],
)
def test_a_row_says_type_range_and_default(row: str) -> None:
    assert row in reference_markdown()


def test_only_what_lies_between_the_markers_is_replaced(tmp_path: Path) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(README)
    assert not update_readme(readme)
    text = readme.read_text()
    assert text.startswith("# Title\n\nbefore\n<!-- config-reference:start -->\n## At the top\n")
    assert text.endswith("<!-- config-reference:end -->\nafter\n")
    assert "old" not in text.split("start -->")[1][:20]
    assert update_readme(readme)
    assert readme.read_text() == text


def test_check_writes_nothing_and_fails_on_an_old_reference(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text(README)
    assert main(["--check", str(readme)]) == 1
    assert "run python -m augment.config_reference" in capsys.readouterr().err
    assert readme.read_text() == README
    assert main([str(readme)]) == 0
    assert main(["--check", str(readme)]) == 0


def test_a_readme_without_markers_is_a_config_error(
    tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    readme = tmp_path / "README.md"
    readme.write_text("# Title\n")
    with pytest.raises(ConfigError, match="config-reference:start"):
        update_readme(readme)
    with pytest.raises(ConfigError, match="cannot be read"):
        update_readme(tmp_path / "nowhere.md")
    assert main([str(readme)]) == 2
    assert "config-reference:end" in capsys.readouterr().err

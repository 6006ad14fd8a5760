"""The command line as scripts meet it: a process, its exit code, its two streams."""

from __future__ import annotations

import json
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest

from augment.errors import (
    AugmentError,
    ConfigError,
    DivergenceError,
    GateError,
    InputError,
    IntegrityError,
    PartialError,
    RetryLaterError,
)
from pipelines import cli
from tests.conftest import set_aws
from tests.pipelines.imports import imported_by
from tests.servers import client_env


def augment(*arguments: object, cwd: Path | None = None) -> subprocess.CompletedProcess[str]:
    """Run `augment` with these arguments."""
    command = [sys.executable, "-W", "error", "-m", "pipelines.cli", *map(str, arguments)]
    return subprocess.run(command, capture_output=True, text=True, cwd=cwd, timeout=120)


def test_help_and_plan_import_neither_torch_nor_ray(config_file: Path) -> None:
    heavy = {"torch", "ray", "torchvision", "albumentations", "cv2"}

    assert not imported_by("--help") & heavy
    planned = imported_by("plan", "-c", config_file)
    assert not planned & heavy
    assert "pyarrow" not in imported_by("--help")


def test_the_version_is_told_without_a_verb() -> None:
    done = augment("--version")

    assert (done.returncode, done.stdout) == (0, f"augment {version('ray-augment')}\n")
    assert not imported_by("--version") & {"torch", "ray", "numpy", "pyarrow"}
    assert "Balance the rare classes" in augment("--help").stdout


def test_init_writes_a_config_that_plan_takes(tmp_path: Path, source_folder: Path) -> None:
    path = tmp_path / "new.yaml"

    assert augment("init", path).returncode == 0
    again = augment("init", path)
    planned = augment(
        "plan", "-c", path, "--set", f"source.uri={source_folder}", "--set", f"output.uri={tmp_path / 'o'}",
        "--set", "balance.min_real=4",
    )  # fmt: skip

    assert again.returncode == 2
    assert str(path) in again.stderr
    assert planned.returncode == 0, planned.stderr


def test_plan_json_is_one_document_with_targets_shards_and_cost(config_file: Path) -> None:
    done = augment("plan", "-c", config_file, "--json")

    document = json.loads(done.stdout)
    assert {row["name"]: (row["real"], row["target"]) for row in document["classes"]} == {
        "bars": (24, 24), "dots": (9, 24), "rings": (6, 24),
    }  # fmt: skip
    assert (document["rows"], document["shards"]) == (33, 4)
    assert document["estimate"]["total_bytes"] > 0
    assert augment("plan", "-c", config_file, "--json").stdout == done.stdout


def test_plan_prints_a_chart_of_before_and_after(config_file: Path) -> None:
    done = augment("plan", "-c", config_file)

    assert done.returncode == 0
    assert all(name in done.stdout for name in ("bars", "dots", "rings"))


def test_plan_says_what_the_preset_chooses_and_leaves_out_what_is_set(config_file: Path) -> None:
    printed = augment("plan", "-c", config_file)
    document = json.loads(augment("plan", "-c", config_file, "--json", "--set", "train.gamma=3").stdout)
    none = json.loads(augment("plan", "-c", config_file, "--json", "--set", "model.preset=none").stdout)

    assert "train.gamma" in printed.stdout
    assert "Warning: 2 classes have fewer than 20 real images" in printed.stdout
    chosen = {field["name"]: field for field in document["preset"]["chosen"]}
    assert {"model.backbone", "train.learning_rate"} <= set(chosen)
    assert not {"train.gamma", "train.steps", "model.width"} & set(chosen)  # the user's
    assert all(field["why"] for field in chosen.values())
    assert document["preset"]["hardware"]["cpus"] >= 1
    assert document["estimate"]["train_s"] > 0
    assert none["preset"]["chosen"] == []


def test_plan_says_that_nothing_is_to_be_made_and_shows_no_choice_of_a_model(config_file: Path) -> None:
    """Neither where classes are full already, nor, beside samples, where no class is made by a generator."""
    full = augment("plan", "-c", config_file, "--set", "balance.strategy={bars: 24, dots: 9, rings: 6}")
    copied = augment("plan", "-c", config_file, "--set", "recipe=duplicate")

    assert full.returncode == copied.returncode == 0, full.stderr + copied.stderr
    assert "nothing to make: every class is full already" in full.stdout
    assert not [word for word in ("train.gamma", "Guessing", "Generating") if word in full.stdout]
    assert "Generating" in copied.stdout
    assert "train.gamma" not in copied.stdout


def test_plan_names_a_section_whose_recipe_no_class_has(config_file: Path) -> None:
    done = augment(
        "plan", "-c", config_file, "--set", "recipe=duplicate", "--set", "classic.preset=textures", "--json"
    )

    assert done.returncode == 0, done.stderr
    assert {row["recipe"] for row in json.loads(done.stdout)["classes"]} == {"duplicate"}
    assert "WARNING classic: no class has the recipe classic, so this section has no effect" in done.stderr


def test_inspect_deep_names_the_bad_files(config_file: Path, source_folder: Path) -> None:
    (source_folder / "bars/000.png").write_bytes(b"no image at all")

    shallow = json.loads(augment("inspect", "-c", config_file, "--json").stdout)
    deep = json.loads(augment("inspect", "-c", config_file, "--json", "--deep").stdout)

    assert (shallow["counts"]["counts"], shallow["bad"]) == ([24, 9, 6], [])
    assert deep["counts"]["counts"] == [23, 9, 6]
    assert [bad["name"] for bad in deep["bad"]] == ["bars/000.png"]


@pytest.mark.parametrize(
    ("arguments", "code", "named"),
    [
        (["run", "-c", "nowhere.yaml"], 2, "nowhere.yaml"),
        (["plan", "-c", "{config}", "--set", "train.batch_sze=3"], 2, "batch_size"),
        (["plan", "-c", "{config}", "--set", "image.size=17"], 2, "17"),
        (["plan", "-c", "{config}", "--set", "balance.min_real=7"], 3, "rings"),
        (["plan", "-c", "{config}", "--set", "balance.strategy={{stars: 9}}"], 2, "stars"),
        (["inspect", "-c", "{config}", "--set", "source.uri=/nowhere/at/all"], 3, "/nowhere/at/all"),
        (["plan", "-c", "{config}", "--progress", "loud"], 2, "loud"),
        (["verify", "/nowhere/at/all"], 3, "/nowhere/at/all"),
        (["files", "/nowhere/at/all"], 3, "/nowhere/at/all"),
        (["frobnicate"], 2, "frobnicate"),
        (["run"], 2, "config"),
    ],
)
def test_a_wrong_call_names_its_fault_and_has_its_exit_code(
    config_file: Path, arguments: list[str], code: int, named: str
) -> None:
    done = augment(*[argument.format(config=config_file) for argument in arguments])

    assert done.returncode == code, done.stderr
    assert named in done.stderr
    assert "Traceback" not in done.stderr
    assert done.stdout == ""


def test_json_errors_are_one_document_on_standard_output(config_file: Path) -> None:
    done = augment("plan", "-c", config_file, "--set", "balance.min_real=7", "--json")

    document = json.loads(done.stdout)
    assert (done.returncode, document["exit_code"], document["ok"]) == (3, 3, False)
    assert "rings" in document["error"]


def test_a_store_that_does_not_answer_is_exit_code_75(monkeypatch: pytest.MonkeyPatch) -> None:
    set_aws(monkeypatch, client_env("http://127.0.0.1:9", "nobody", "nothing"))

    done = augment("files", "s3://bucket/dataset")

    assert done.returncode == 75, done.stderr
    assert "s3://bucket/dataset" in done.stderr
    assert "Traceback" not in done.stderr


def test_every_error_leaves_with_the_exit_code_of_the_contract(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    contract = {
        AugmentError: 1, DivergenceError: 1, IntegrityError: 1, ConfigError: 2, InputError: 3,
        GateError: 4, PartialError: 5, RetryLaterError: 75,
    }  # fmt: skip
    for kind, code in contract.items():

        def fail(error: type[AugmentError] = kind) -> None:
            raise error("shard 7 is missing")

        monkeypatch.setattr(cli, "app", fail)
        with pytest.raises(SystemExit) as ended:
            cli.main()
        assert ended.value.code == code
        assert capsys.readouterr().err == "error: shard 7 is missing\n"

"""Suite `gan`: its contenders are configs a user could write, and what is finished is not done again."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from augment.config import Config
from augment.errors import ConfigError
from augment.types import canonical_json
from tests.benchmarks.__main__ import main
from tests.benchmarks.contenders import CONTENDERS, Parts, contenders, merged

REST: Parts = {"source": {"uri": "images"}, "output": {"uri": "out"}, "image": {"size": 32, "channels": 1}}


def config_of(parts: Parts) -> Config:
    return Config.model_validate_json(canonical_json(merged(REST, parts)))


@pytest.mark.parametrize("name", CONTENDERS)
def test_every_contender_is_a_config(name: str) -> None:
    config = config_of(CONTENDERS[name])
    assert config.model.preset == ("none" if name == "prototype" else "auto")
    assert not config.train.lecam_weight or config.train.loss != "relativistic"


def test_merged_sections_keep_what_only_one_sets_and_take_the_last_of_what_both_set() -> None:
    assert merged({"a": {"x": 1, "y": 2}, "b": 3}, {"a": {"y": 4}}) == {"a": {"x": 1, "y": 4}, "b": 3}


def test_contenders_are_chosen_by_name_and_kept_in_order() -> None:
    assert list(contenders(("preset", "prototype"))) == ["prototype", "preset"]
    assert contenders(()) == CONTENDERS
    with pytest.raises(ConfigError, match="there is no 'best' among prototype, preset"):
        contenders(("best",))


def test_missing_data_ends_with_a_users_error(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    assert main(["--out", str(tmp_path), "--idx", str(tmp_path), "gan"]) != 0
    assert "train-images-idx3-ubyte.gz is not there" in capsys.readouterr().err


@pytest.mark.slow
@pytest.mark.skipif("RAY_ADDRESS" in os.environ, reason="a cluster of its own is started")
def test_a_small_run_is_judged_and_found_again(tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> None:
    arguments = ["--small", "--only", "preset", "--seeds", "0", "--out", str(tmp_path), "gan"]
    assert main(arguments) == 0
    (place,) = (tmp_path / "gan").iterdir()
    assert {path.name.partition("-")[0] for path in place.iterdir()} == {
        "generator.safetensors",
        "samples.png",
        "score",
        "spec.json",
        "training.json",
    }
    first = (tmp_path / "bench-gan.json").read_bytes()
    capsys.readouterr()
    assert main(arguments) == 0
    assert "training preset" not in capsys.readouterr().err
    again = (tmp_path / "bench-gan.json").read_bytes()
    assert json.loads(first)["data"] == json.loads(again)["data"]
    (entry,) = json.loads(first)["data"][0]["contenders"]
    assert entry["training"]["steps"] == 4
    assert len(entry["fidelity"]["classes"]) == 10

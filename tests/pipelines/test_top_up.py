"""A dataset that is topped up as its source grows: only the difference is made, and no noise comes again."""

from __future__ import annotations

import json
import logging
import shutil
from dataclasses import dataclass
from pathlib import Path

import pytest

from augment.config import Config, load_config
from augment.errors import ConfigError
from augment.objects import open_store
from augment.store.models import ModelFolder
from augment.store.reading import open_dataset
from augment.store.revoke import revoke_classes, revoke_model
from augment.store.verification import verify
from pipelines.progress import Progress
from pipelines.run import generate, run
from tests.pipelines.conftest import Finished, write_folder
from tests.pipelines.test_cli import augment, imported_by

pytestmark = pytest.mark.usefixtures("ray_and_s3")


@dataclass(frozen=True)
class Copied:
    """The finished job with a source and a dataset of its own."""

    config_file: Path
    source: Path
    uri: str

    @property
    def overrides(self) -> list[str]:
        return [f"source.uri={self.source}", f"output.uri={self.uri}", "output.on_existing=top-up"]

    def config(self, *changes: str) -> Config:
        return load_config(self.config_file, [*self.overrides, *changes])

    @property
    def planning(self) -> list[str]:
        """`augment plan` of this job."""
        return [
            "plan",
            "-c",
            str(self.config_file),
            *(part for one in self.overrides for part in ("--set", one)),
        ]

    def grow(self, name: str, to: int) -> None:
        """More images of one class, each a copy of the first under a new name."""
        folder = self.source / name
        for index in range(len(list(folder.iterdir())), to):
            shutil.copy(folder / "000.png", folder / f"{index:03d}.png")


@pytest.fixture
def copied(finished: Finished, pictures: dict[str, bytes], tmp_path: Path) -> Copied:
    shutil.copytree(finished.result.uri, tmp_path / "out")
    return Copied(finished.config_file, write_folder(pictures, tmp_path / "train"), str(tmp_path / "out"))


def indices(uri: str, version: int | None = None) -> dict[str, list[int]]:
    found: dict[str, list[int]] = {}
    for table in open_dataset(uri, version).tables(["label_name", "sample_index"]):
        for row in table.to_pylist():
            found.setdefault(row["label_name"], []).append(row["sample_index"])
    return found


def test_only_the_difference_to_the_new_targets_is_made(
    copied: Copied, quiet: Progress, caplog: pytest.LogCaptureFixture
) -> None:
    assert run(copied.config(), quiet).version is None  # nothing has changed yet
    model = ModelFolder(open_store(copied.uri), "small").finished()
    copied.grow("bars", 28)
    copied.grow("rings", 9)
    (copied.source / "rings/008.png").write_bytes(b"no image")

    with caplog.at_level(logging.WARNING):
        result = run(copied.config(), quiet)

    assert (result.version, result.rows, result.bad_images) == (2, {"bars": 0, "dots": 4, "rings": 2}, 1)
    assert "the model is used as it is" in caplog.text
    dataset = open_dataset(copied.uri)
    assert [(row.name, row.real, row.synthetic) for row in dataset.balance()] == [
        ("bars", 28, 0), ("dots", 9, 19), ("rings", 8, 20),
    ]  # fmt: skip
    assert indices(copied.uri) == {"dots": list(range(19)), "rings": list(range(20))}
    first, second = (committed.plan for committed in dataset.runs)
    assert first.source_fingerprint != second.source_fingerprint
    assert first.generator_sha256 == second.generator_sha256
    assert ModelFolder(open_store(copied.uri), "small").finished() == model
    assert verify(copied.uri, deep=True).ok
    again = run(copied.config(), quiet)
    assert (again.version, again.rows) == (None, {})
    assert open_dataset(copied.uri).version == 2
    planned = json.loads(augment(*copied.planning, "--json").stdout)
    assert (planned["rows"], planned["bad"]) == (0, 1), (
        "the plan counts as the run did: without the damaged image"
    )
    assert "1 bad file(s) are left out; images are counted as the last run decoded them" in " ".join(
        augment(*copied.planning).stdout.split()
    )
    assert not imported_by(*copied.planning) & {"torch", "ray"}


def test_generate_tops_up_too_and_a_revoked_class_comes_again_with_other_noise(
    copied: Copied, quiet: Progress
) -> None:
    revoke_classes(open_store(copied.uri), ["rings"], "wrong scanner")
    result = generate(copied.config(), quiet)
    assert result.rows == {"bars": 0, "dots": 0, "rings": 18}
    assert indices(copied.uri) == {"dots": list(range(15)), "rings": list(range(18, 36))}
    assert verify(copied.uri, deep=True).ok


def test_a_lower_ratio_makes_nothing_and_takes_nothing_away(copied: Copied, quiet: Progress) -> None:
    assert run(copied.config("balance.ratio=0.5"), quiet).version is None
    assert open_dataset(copied.uri).rows == 33


def test_a_card_that_a_killed_driver_did_not_write_is_written(copied: Copied, quiet: Progress) -> None:
    store = open_store(copied.uri)
    card = store.get("README.md")
    store.put("README.md", b"of another version")
    run(copied.config(), quiet)
    assert store.get("README.md") == card


def test_a_model_of_other_classes_is_not_used(copied: Copied, quiet: Progress) -> None:
    shutil.copytree(copied.source / "rings", copied.source / "stars")  # the last label
    with pytest.raises(ConfigError, match=r"new are \[\(3, 'stars'\)\], gone are none; set `name`"):
        run(copied.config(), quiet)
    (copied.source / "stars").rename(copied.source / "circles")  # and with it, the labels after it
    with pytest.raises(ConfigError, match="label 1 are of class 'dots', and here it is 'circles'"):
        run(copied.config(), quiet)


def test_a_config_that_differs_otherwise_is_refused_as_ever(copied: Copied, quiet: Progress) -> None:
    copied.grow("bars", 26)
    with pytest.raises(ConfigError, match=r"train\.gamma"):
        run(copied.config("train.gamma=0.7"), quiet)
    with pytest.raises(ConfigError, match=r"decoded|has changed|counts"):
        run(copied.config("output.on_existing=append"), quiet)


def test_a_revoked_model_is_not_topped_up_with(copied: Copied, quiet: Progress) -> None:
    generator = open_dataset(copied.uri).runs[0].plan.generator_sha256
    revoke_model(open_store(copied.uri), generator, "trained on a leak")
    with pytest.raises(ConfigError, match=r"trained on a leak.*a new `name`"):
        run(copied.config(), quiet)


def test_plan_shows_what_is_there_already(copied: Copied) -> None:
    copied.grow("bars", 28)
    document = json.loads(augment(*copied.planning, "--json").stdout)
    assert [(row["name"], row["existing"], row["first"]) for row in document["classes"]] == [
        ("bars", 0, 0), ("dots", 15, 15), ("rings", 18, 18),
    ]  # fmt: skip
    assert document["rows"] == 8
    assert "Existing" in augment(*copied.planning).stdout

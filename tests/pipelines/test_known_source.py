"""What decoding found is believed of that very source and those very settings, and of no other."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import pytest

from augment.config import Config, load_config
from augment.data.census import Census, take_census
from augment.data.sources import open_source
from augment.errors import InputError
from augment.objects import open_store
from augment.store.models import ModelFolder, SourceRecord
from augment.types import BadImage, ClassCounts
from pipelines.cluster import Cluster
from pipelines.job_source import JobSource
from pipelines.known_source import as_decoded, decoded_fingerprint, known_source
from pipelines.planning import census_for
from pipelines.progress import Progress
from tests.pipelines.test_cli import augment, imported_by

DAMAGED = BadImage(name="rings/000.png", reason="is damaged")


def census_of(config: Config) -> Census:
    return take_census(open_source(config.source), image=config.image)


def decoded(config: Config, census: Census) -> SourceRecord:
    """As a run leaves it that found the first image of `rings` damaged."""
    counts = ClassCounts(classes=census.counts.classes, counts=(24, 9, 5))
    return SourceRecord(
        fingerprint=decoded_fingerprint(config.source, config.image, census), counts=counts, bad=(DAMAGED,),
        decoded_sha256="ab" * 32, etags=census.etags,
    )  # fmt: skip


@pytest.fixture
def topping_up(config_file: Path) -> Config:
    return load_config(config_file, ["output.on_existing=top-up", "source.on_bad=skip"])


@pytest.fixture
def folder(topping_up: Config) -> ModelFolder:
    """With what a run found."""
    found = ModelFolder(open_store(topping_up.output.uri), topping_up.name)
    found.put_source(decoded(topping_up, census_of(topping_up)))
    return found


def test_a_run_goes_by_the_same_fingerprint(topping_up: Config, folder: ModelFolder, quiet: Progress) -> None:
    def no_cluster() -> Cluster:
        raise AssertionError("nothing is decoded")

    source = JobSource(topping_up, folder, quiet, no_cluster)

    census = census_of(topping_up)
    assert source.fingerprint() == decoded_fingerprint(topping_up.source, topping_up.image, census)
    assert source.known() == known_source(topping_up.source, topping_up.image, folder, census)


def test_the_plan_of_a_top_up_counts_as_decoding_did(topping_up: Config, folder: ModelFolder) -> None:
    found = census_for(topping_up, census_of(topping_up))

    assert found.counts.counts == (24, 9, 5)
    assert found.bad == (DAMAGED,)


def grown(source: Path) -> None:
    (source / "rings/new.png").write_bytes((source / "rings/001.png").read_bytes())


def written_anew(source: Path) -> None:
    path = source / "rings/001.png"
    data = path.read_bytes()
    path.unlink()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))


@pytest.mark.parametrize("change", [grown, written_anew])
def test_a_source_that_has_changed_is_counted_by_its_labels(
    topping_up: Config, folder: ModelFolder, source_folder: Path, change: Callable[[Path], None]
) -> None:
    change(source_folder)
    census = census_of(topping_up)

    assert as_decoded(topping_up, folder, census) is census


@pytest.mark.parametrize(
    "setting", ["image.size=32", "source.duplicates.exact=drop", "output.on_existing=append"]
)
def test_under_other_settings_labels_are_counted(
    config_file: Path, topping_up: Config, folder: ModelFolder, setting: str
) -> None:
    other = load_config(config_file, ["output.on_existing=top-up", "source.on_bad=skip", setting])
    census = census_of(other)

    assert census_for(other, census) is census


def test_bad_images_that_a_run_would_refuse_are_refused(
    config_file: Path, topping_up: Config, folder: ModelFolder
) -> None:
    failing = load_config(config_file, ["output.on_existing=top-up", "source.on_bad=fail"])

    with pytest.raises(InputError, match=r"rings/000\.png is damaged"):
        census_for(failing, census_of(failing))


def test_the_command_plans_by_what_decoding_found_and_imports_neither_torch_nor_ray(
    topping_up: Config, folder: ModelFolder, config_file: Path
) -> None:
    top_up = ["--set", "output.on_existing=top-up", "--set", "source.on_bad=skip"]
    planned, labelled = (
        json.loads(augment("plan", "-c", config_file, *changes, "--json").stdout) for changes in (top_up, [])
    )

    assert [row["real"] for row in planned["classes"]] == [24, 9, 5]
    assert (planned["rows"], planned["bad"]) == (15 + 19, 1)
    assert [row["real"] for row in labelled["classes"]] == [24, 9, 6]
    said = " ".join(augment("plan", "-c", config_file, *top_up).stdout.split())
    assert "1 bad file(s) are left out; images are counted as the last run decoded them" in said
    assert not imported_by("plan", "-c", config_file, *top_up) & {"torch", "ray"}

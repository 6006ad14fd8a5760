"""Samples made of real images: what rows call these, how they are found again, and what if they are overwritten."""

from __future__ import annotations

import io
import json
import logging
from collections.abc import Mapping
from pathlib import Path

import numpy as np
import pytest
from PIL import Image

from augment.config import load_config
from augment.errors import InputError
from augment.store.models import ModelRecord
from augment.store.reading import open_dataset
from pipelines.explain import explain, find_source_images
from pipelines.job import Job
from pipelines.job_source import OverwrittenError
from pipelines.progress import Progress
from pipelines.run import run
from tests.pipelines.conftest import SMALL_JOB, png, write_folder
from tests.pipelines.test_cli import augment

pytestmark = pytest.mark.usefixtures("ray_and_s3")

REPEATED = ["recipe=duplicate"]


def pixels_in(data: bytes) -> np.ndarray:
    with Image.open(io.BytesIO(data)) as picture:
        return np.asarray(picture)


def job_file(folder: Path, source: object) -> Path:
    """The small job over `source`, any value that YAML takes from JSON."""
    path = folder / "job.yaml"
    text = SMALL_JOB.format(source="-", output=folder / "out").replace(
        'uri: "-"', f"uri: {json.dumps(source)}"
    )
    path.write_text(text)
    return path


def listed(pictures: Mapping[str, bytes], folder: Path) -> str:
    """The pictures below `folder`, and a CSV of them: `dots` by relative places, all others by absolute ones."""
    write_folder(pictures, folder / "secret")
    lines = ["path,label"]
    for name in pictures:
        place = f"here/{name}" if name.startswith("dots") else str(folder / "secret" / name)
        lines.append(f"{place},{name.partition('/')[0]}")
    write_folder({f"here/{name}": data for name, data in pictures.items()}, folder / "list")
    (folder / "list" / "rows.csv").write_text("\n".join(lines) + "\n")
    return str(folder / "list" / "rows.csv")


# ---- what rows call them ------------------------------------------------------------------------------


def test_rows_name_no_place_and_whoever_has_the_config_finds_the_very_image(
    pictures: dict[str, bytes], quiet: Progress, tmp_path: Path
) -> None:
    in_folder = {name: data for name, data in pictures.items() if name.startswith("bars")}
    in_list = {name: data for name, data in pictures.items() if not name.startswith("bars")}
    uris = [str(write_folder(in_folder, tmp_path / "ann")), listed(in_list, tmp_path / "zoe")]
    config_file = job_file(tmp_path, uris)
    result = run(load_config(config_file, REPEATED), quiet)
    assert result.rows == {"bars": 0, "dots": 15, "rings": 18}

    rows = open_dataset(result.uri).to_pandas()
    text = rows.drop(columns="image").to_json(orient="records")
    assert not [word for word in (str(tmp_path), "ann", "zoe", "secret") if word in text]
    names = [name for (name,) in rows["source_images"]]
    assert all(name.startswith("uri[1]/") for name in names)
    assert {
        name.count("@") for name, row in zip(names, rows["label_name"], strict=True) if row == "rings"
    } == {1}

    found = find_source_images(load_config(config_file).source, sorted(set(names)))
    for name, image in zip(names, rows["image"], strict=True):
        place, _, uri = found[name].partition(" of ")
        assert uri == uris[1]
        path = Path(place) if place.startswith("/") else Path(uris[1]).parent / place
        assert np.array_equal(pixels_in(path.read_bytes()), pixels_in(image["bytes"]))

    identity = rows["sample_id"][0]
    assert explain(result.uri, identity).provenance.source_images == tuple(rows["source_images"][0])
    told = augment("explain", result.uri, identity, "-c", config_file, "--json", "--quiet")
    assert told.returncode == 0, told.stderr
    assert json.loads(told.stdout)["source_images_at"] == {names[0]: found[names[0]]}


def test_an_image_that_the_source_does_not_have_is_said_not_to_be_there(source_folder: Path) -> None:
    config = load_config(job_file(source_folder.parent, str(source_folder)))
    assert find_source_images(config.source, ["dots/001.png"]) == {
        "dots/001.png": f"dots/001.png of {source_folder}"
    }
    with pytest.raises(
        InputError, match=r"holds no image 'dots/gone.png'.*the config that the run was made with"
    ):
        find_source_images(config.source, ["dots/001.png", "dots/gone.png"])


# ---- images that are overwritten under the same names ---------------------------------------------------


def test_a_job_without_a_model_goes_on_with_images_that_were_overwritten(
    pictures: dict[str, bytes], quiet: Progress, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    config_file = job_file(tmp_path, listed(pictures, tmp_path))
    first = run(load_config(config_file, REPEATED), quiet)
    assert first.version == 1
    name = "rings/000.png"
    other = png(255 - pixels_in(pictures[name]))
    (tmp_path / "secret" / name).write_bytes(other)

    changed = [*REPEATED, "seed=9", "output.on_existing=append"]
    with caplog.at_level(logging.WARNING):
        second = run(load_config(config_file, changed), quiet)
    assert second.version == 2
    assert "were overwritten under the same names: going on with what they are now" in caplog.text
    again = run(load_config(config_file, changed), quiet)
    assert (again.version, again.run_id) == (2, second.run_id)

    old, new = (
        {pixels_in(row["bytes"]).tobytes() for row in open_dataset(f"{first.uri}@1").to_pandas()["image"]},
        {pixels_in(row["bytes"]).tobytes() for row in open_dataset(first.uri).to_pandas()["image"]},
    )
    assert pixels_in(pictures[name]).tobytes() in old
    assert pixels_in(other).tobytes() in new - old


def test_a_job_with_a_model_says_what_to_do_about_images_that_were_overwritten(
    pictures: dict[str, bytes], quiet: Progress, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_config(job_file(tmp_path, listed(pictures, tmp_path)))
    with Job.opened(config, quiet) as job:
        record = job.source.believe_decoded()
        assert job.source.images_of(record)().sha256 == record.decoded_sha256
    (tmp_path / "secret" / "rings" / "000.png").write_bytes(pictures["rings/001.png"])
    model = ModelRecord.model_construct(sha256="a" * 64)
    for _ in range(2):
        with Job.opened(config, quiet) as job:
            assert job.source.known() == record  # no listing shows it
            monkeypatch.setattr(job, "_generated", lambda model, job=job: job.source.images_of(record)())
            with pytest.raises(OverwrittenError, match=r"put these back, or set `name` to something new"):
                job.generated(model)
    (tmp_path / "secret" / "rings" / "000.png").write_bytes(pictures["rings/000.png"])
    with Job.opened(config, quiet) as job:
        assert job.source.images_of(record)().sha256 == record.decoded_sha256

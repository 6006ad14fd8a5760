"""Every input format through the command line: inspect and plan, and what a change of the source is told as."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner

from augment.config import Config
from augment.data.config import SourceConfig
from augment.data.sources import open_source
from augment.errors import InputError
from augment.store.models import SourceRecord
from pipelines.cli import app
from pipelines.job import Job
from pipelines.progress import Progress
from tests.data.factory import encoded, picture
from tests.data.layouts import LAYOUTS, Row, put_all

ROWS = [
    Row(encoded(picture(seed=index)), "cat" if index < 6 else "dog", "test" if index in (0, 7) else "train")
    for index in range(9)
]


def told(tmp_path: Path, verb: str, source: dict[str, Any], *arguments: str) -> dict[str, Any]:
    config = tmp_path / "job.yaml"
    document = {"source": source, "image": {"size": 16}, "balance": {"min_real": 1}}
    config.write_text(json.dumps(document | {"output": {"uri": str(tmp_path / "out")}}))
    result = CliRunner().invoke(app, [verb, "-c", str(config), "--quiet", "--json", *arguments])
    assert result.exit_code == 0, result.exception
    answer: dict[str, Any] = json.loads(result.stdout)
    return answer


@pytest.mark.parametrize("layout", LAYOUTS)
def test_inspect_and_plan_take_every_layout_without_being_told_its_format(
    tmp_path: Path, layout: str
) -> None:
    root = put_all(str(tmp_path / "source"), LAYOUTS[layout](ROWS))
    uri = {"csv": f"{root}/lists/rows.csv", "jsonl": f"{root}/rows.jsonl"}.get(layout, root)
    census = told(tmp_path, "inspect", {"uri": uri}, "--deep")
    assert census["counts"]["counts"] == [5, 2]
    assert census["held_out"]["test"]["counts"] == [1, 1]
    assert census["bad"] == []
    plan = told(tmp_path, "plan", {"uri": uri})
    assert [(each["name"], each["real"], each["target"]) for each in plan["classes"]] == [
        ("cat", 5, 5), ("dog", 2, 5),
    ]  # fmt: skip


def test_several_uris_globs_and_a_label_map_are_written_as_yaml_has_them(tmp_path: Path) -> None:
    root = put_all(str(tmp_path / "source"), LAYOUTS["parquet-files"](ROWS))
    other = put_all(
        str(tmp_path / "other" / "train"), LAYOUTS["webdataset-fields"]([Row(ROWS[0].data, "dog", "")])
    )
    source = {"uri": [f"{root}/data/train-*.parquet", other], "labels": {"cat": "pet", "0": None}}
    with pytest.raises(AssertionError):  # class 0 is the cat: mapped twice
        told(tmp_path, "inspect", source)
    census = told(tmp_path, "inspect", source | {"labels": {"cat": None, "dog": "pet"}})
    assert census["counts"] == {"classes": [{"label": 1, "name": "pet"}], "counts": [3]}
    assert census["dropped"] == {"cat": 5}


def test_what_is_held_out_and_dropped_is_shown(tmp_path: Path) -> None:
    uri = put_all(str(tmp_path / "source"), LAYOUTS["folder"](ROWS))
    config = tmp_path / "job.yaml"
    config.write_text(f"source: {{uri: {uri}, labels: {{dog: null}}}}\noutput: {{uri: {tmp_path / 'out'}}}\n")
    shown = CliRunner().invoke(app, ["inspect", "-c", str(config), "--quiet"]).stdout
    assert "test: 1 image held out, never trained on" in shown
    assert "left out by source.labels: dog (2)" in shown


def test_a_source_written_anew_with_the_same_sizes_is_decoded_again_before_it_is_believed(
    tmp_path: Path,
) -> None:
    uri = put_all(str(tmp_path / "source"), LAYOUTS["folder"](ROWS))
    config = Config.model_validate(
        {"source": {"uri": uri}, "image": {"size": 16}, "output": {"uri": str(tmp_path / "out")}}
    )

    def known() -> SourceRecord | None:
        with Job.opened(config, Progress("none", quiet=True)) as job:
            return job.source.known()

    with Job.opened(config, Progress("none", quiet=True)) as job:
        census = job.source.census()
        record = SourceRecord(
            fingerprint=job.source.fingerprint(),
            counts=census.counts,
            bad=(),
            decoded_sha256="",
            etags=census.etags,
        )
        job.folder.put_source(record)
    assert known() == record
    fingerprint = open_source(SourceConfig(uri=uri)).counts().fingerprint
    image = next(Path(uri).glob("train/cat/*.png"))
    image.write_bytes(image.read_bytes()[::-1])
    assert open_source(SourceConfig(uri=uri)).counts().fingerprint == fingerprint
    assert known() is None
    message = r"written anew since.*run `augment train` again"
    with Job.opened(config, Progress("none", quiet=True)) as job, pytest.raises(InputError, match=message):
        job.source.record()

"""The id of a submission: the same for the same job, another for anything that changes it."""

from __future__ import annotations

import json
import os
import re
import subprocess
import sys
from importlib.metadata import version
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from augment.config import Config, load_config
from augment.errors import ConfigError, InputError
from pipelines.submit.run_id import _id_of, code_version, source_fingerprint, submission_of


def test_the_same_job_has_the_same_id_and_everything_that_decides_it_changes_the_id(
    config_file: Path, config: Config, source_folder: Path
) -> None:
    first = submission_of(config)

    again = submission_of(load_config(config_file))
    others = [
        submission_of(load_config(config_file, ["train.steps=5"])),
        submission_of(load_config(config_file, ["seed=1"])),
        submission_of(config, tick="2026-11-23"),
        submission_of(config, tick="2026-11-24"),
    ]
    (source_folder / "bars/000.png").unlink()
    others.append(submission_of(config))

    assert again == first
    ids = [first.run_id, *(other.run_id for other in others)]
    assert len(set(ids)) == len(ids)
    assert re.fullmatch(r"small-[0-9a-f]{12}", first.run_id)


def test_a_file_written_anew_with_the_same_size_is_another_source(
    config: Config, source_folder: Path
) -> None:
    before = source_fingerprint(config)
    path = source_folder / "bars/000.png"
    data = path.read_bytes()
    path.write_bytes(data[:-1] + bytes([data[-1] ^ 1]))
    os.utime(path, ns=(1, 1))

    assert source_fingerprint(config) != before


def test_an_id_that_is_given_is_taken_and_nothing_is_read(config_file: Path) -> None:
    nowhere = load_config(config_file, ["source.uri=s3://no-such-bucket/at/all"])

    given_id = submission_of(nowhere, run_id="nightly", tick="1")

    assert (given_id.run_id, given_id.source_fingerprint, given_id.tick) == ("nightly", None, "1")
    assert given_id.config["source"]["uri"] == "s3://no-such-bucket/at/all"


def test_a_job_s_config_leaves_open_what_the_user_left_to_the_preset(config_file: Path) -> None:
    config = load_config(config_file)
    there = Config.model_validate_json(submission_of(config).config_json)

    assert there == config
    assert there.train.model_fields_set == config.train.model_fields_set
    assert there.model.model_fields_set == config.model.model_fields_set


def test_a_source_that_is_not_there_and_an_id_that_names_no_job_are_the_user_s_errors(
    config_file: Path,
) -> None:
    with pytest.raises(InputError, match="/nowhere"):
        submission_of(load_config(config_file, ["source.uri=/nowhere"]))
    with pytest.raises(ConfigError, match="Nightly Run"):
        submission_of(load_config(config_file), run_id="Nightly Run")


@given(name=st.from_regex(r"[a-z0-9][a-z0-9-]{0,46}", fullmatch=True))
def test_every_name_that_a_config_may_have_makes_an_id(name: str) -> None:
    assert _id_of(name, {"a": 1}) != _id_of(name, {"a": 2})


def test_the_code_s_version_is_the_package_s_with_a_digest_of_its_sources() -> None:
    assert re.fullmatch(re.escape(version("ray-augment")) + r"\+[0-9a-f]{8}", code_version())
    assert code_version() == code_version()


def test_neither_torch_nor_ray_is_imported_for_an_id(config_file: Path) -> None:
    code = (
        "import sys, json\n"
        "from augment.config import load_config\n"
        "from pipelines.submit.run_id import submission_of\n"
        "from pipelines.submit import backends, desk\n"
        f"submission_of(load_config({str(config_file)!r}))\n"
        "print(json.dumps(sorted({name.partition('.')[0] for name in sys.modules})))\n"
    )
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True)

    assert not set(json.loads(done.stdout)) & {"torch", "ray", "kubernetes", "cv2", "albumentations"}

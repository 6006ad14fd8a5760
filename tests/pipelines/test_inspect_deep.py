"""`augment inspect --deep` on hostile images and on duplicates: what a terminal and a script are told."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path

from tests.data.hostile import images, names
from tests.data.hostile.case import LeftOut, Refused
from tests.data.test_deep_look import SPLITS
from tests.pipelines.conftest import write_folder


def inspect(tmp_path: Path, source: Path, *arguments: str) -> subprocess.CompletedProcess[str]:
    config = tmp_path / "job.yaml"
    config.write_text(
        f"source: {{uri: {source}}}\nimage: {{size: 16}}\noutput: {{uri: {tmp_path / 'out'}}}\n"
    )
    command = [sys.executable, "-m", "pipelines.cli", "inspect", "-c", str(config), "--deep", *arguments]
    return subprocess.run(command, capture_output=True, text=True, encoding="utf-8", timeout=120)


def test_all_hostile_images_and_names_together_are_counted_and_named(tmp_path: Path) -> None:
    """Every image case in one folder: none takes another one with it."""
    left_out = 0
    for number, case in enumerate((*images.CASES, *names.CASES)):
        if isinstance(case.outcome, Refused):
            continue
        left_out += isinstance(case.outcome, LeftOut)
        for path, data in case.files().items():
            folder, _, rest = path.partition(b"/")
            target = os.path.join(os.fsencode(tmp_path / "source"), folder, b"%03d" % number, rest)
            os.makedirs(os.path.dirname(target), exist_ok=True)
            with open(target, "wb") as file:
                file.write(data)

    shown = inspect(tmp_path, tmp_path / "source", "--quiet")
    told = inspect(tmp_path, tmp_path / "source", "--quiet", "--json")

    assert (shown.returncode, told.returncode) == (0, 0), shown.stderr + told.stderr
    assert not any(ord(character) < 32 and character != "\n" for character in shown.stdout)
    assert f"{left_out} left out:" in shown.stdout
    assert len(json.loads(told.stdout)["bad"]) == left_out


def test_duplicates_and_leaks_are_shown_by_file_name_and_in_json(tmp_path: Path) -> None:
    write_folder(SPLITS, tmp_path / "source")

    shown = inspect(tmp_path, tmp_path / "source", "--quiet")
    told = inspect(tmp_path, tmp_path / "source", "--quiet", "--json")

    assert shown.returncode == 0, shown.stderr
    assert "Leakage: 2 training images are in a held-out split too" in shown.stdout
    assert "train/ape/1.png (ape) = test/bee/9.tif (test, bee)" in " ".join(shown.stdout.split())
    report = json.loads(told.stdout)["duplicates"]
    assert report["found"] == {"across_splits": 2, "across_labels": 2, "exact": 1}
    assert report["pairs"][0] | {"distance": 0} == {
        "kind": "across_splits", "name": "train/ape/1.png", "class_name": "ape", "other": "test/bee/9.tif",
        "other_class": "bee", "other_split": "test", "same": "pixels", "distance": 0,
    }  # fmt: skip

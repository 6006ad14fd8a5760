"""The kustomize base and overlays are what `augment render` prints, and what KubeRay's schema and our rules take."""

from __future__ import annotations

import copy
import json
import os
import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import jsonpatch
import jsonschema
import pytest
import yaml
from typer.testing import CliRunner

from augment.config import Config, load_config
from pipelines.cli import app
from pipelines.submit.backends import read_settings
from pipelines.submit.rayjob import CONFIG_ANNOTATION
from pipelines.submit.rayjob_rules import complaints
from tests.deploy.files import KUBERAY, ROOT, documents, tool

OVERLAYS = ("queue", "autoscale")
FOLDERS = ("namespace", "base", "overlays/queue", "overlays/autoscale", "schedule")


@cache
def rendered(cluster: str) -> dict[str, Any]:
    """The RayJob that our command prints with one of the cluster files; `make manifests` writes the plain one."""
    arguments = ["--config", "configs/gpu-s3.yaml", "--cluster", f"deploy/kuberay/clusters/{cluster}.yaml"]
    printed = CliRunner().invoke(
        app, ["render", "--backend", "kuberay", "--run-id", "defects-v1", *arguments], catch_exceptions=False
    )
    (found,) = yaml.safe_load_all(printed.stdout)
    return found


def base() -> dict[str, Any]:
    (found,) = documents(KUBERAY / "base" / "rayjob.yaml")
    return found


def overlaid(overlay: str) -> dict[str, Any]:
    """The base with an overlay's JSON 6902 patch: raises where a path of it is not in the base."""
    (patch,) = documents(KUBERAY / "overlays" / overlay / "rayjob.patch.yaml")
    patched: dict[str, Any] = jsonpatch.apply_patch(base(), patch)
    return patched


def head_annotations(job: dict[str, Any]) -> dict[str, str]:
    found: dict[str, str] = job["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["metadata"][
        "annotations"
    ]
    return found


def without_config(job: dict[str, Any]) -> dict[str, Any]:
    """A RayJob but for the run's config, which grows a line whenever `augment` learns a new field."""
    without = copy.deepcopy(job)
    del head_annotations(without)[CONFIG_ANNOTATION]
    return without


def job_of(name: str) -> dict[str, Any]:
    return base() if name == "base" else overlaid(name)


@pytest.fixture(autouse=True)
def from_the_root(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(ROOT)


def test_the_base_is_what_our_command_prints() -> None:
    assert without_config(base()) == without_config(rendered("plain")), "run make manifests"


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_is_what_our_command_prints_with_that_profile(overlay: str) -> None:
    assert without_config(overlaid(overlay)) == without_config(rendered(overlay))


def test_the_bases_config_is_the_examples() -> None:
    (annotation,) = [text for key, text in head_annotations(base()).items() if key == CONFIG_ANNOTATION]
    assert Config.model_validate_json(annotation) == load_config(ROOT / "configs" / "gpu-s3.yaml")


@pytest.mark.parametrize("overlay", OVERLAYS)
def test_an_overlay_replaces_and_adds_only_what_the_base_has_room_for(overlay: str) -> None:
    (patch,) = documents(KUBERAY / "overlays" / overlay / "rayjob.patch.yaml")
    assert {operation["op"] for operation in patch} <= {"add", "replace"}
    for operation in patch:
        if operation["op"] == "replace":
            assert jsonpatch.JsonPointer(operation["path"]).resolve(base()) != operation["value"]


@pytest.mark.parametrize("name", ["base", *OVERLAYS])
def test_no_rayjob_breaks_a_rule(name: str) -> None:
    assert complaints(job_of(name)) == []


@pytest.mark.parametrize("name", ["base", *OVERLAYS])
def test_kuberays_schema_takes_every_rayjob(name: str) -> None:
    schema = os.environ.get("AUGMENT_RAYJOB_SCHEMA")
    if schema is None:
        pytest.skip("AUGMENT_RAYJOB_SCHEMA names no copy of KubeRay's schema")
    validator = jsonschema.Draft202012Validator(json.loads(Path(schema).read_text()))
    problems = [error.json_path + ": " + error.message for error in validator.iter_errors(job_of(name))]
    assert problems == []


@pytest.mark.parametrize("folder", FOLDERS)
def test_every_file_of_a_folder_is_named_by_its_kustomization(folder: str) -> None:
    (kustomization,) = documents(KUBERAY / folder / "kustomization.yaml")
    named = {
        *kustomization["resources"],
        *(patch["path"] for patch in kustomization.get("patches", ())),
        *(name for each in kustomization.get("configMapGenerator", ()) for name in each["files"]),
    }
    there = {path.name for path in (KUBERAY / folder).iterdir()} - {"kustomization.yaml"}
    assert there == {name for name in named if not name.startswith("../")}
    assert all((KUBERAY / folder / name).exists() for name in named)


@pytest.mark.parametrize("folder", FOLDERS)
def test_kustomize_itself_builds_the_same(folder: str) -> None:
    ran = subprocess.run(
        [tool("kubectl"), "kustomize", KUBERAY / folder], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stderr
    built = list(yaml.safe_load_all(ran.stdout))
    assert built
    assert all(each["metadata"].get("namespace", "augment") == "augment" for each in built)
    if folder.startswith("overlays/"):
        assert built == [overlaid(Path(folder).name)]


def test_the_schedules_cluster_file_is_the_queues() -> None:
    paths = (KUBERAY / "clusters" / "queue.yaml", KUBERAY / "schedule" / "cluster.yaml")
    queue, schedule = (read_settings("kuberay", path) for path in paths)
    assert queue == schedule


def test_the_schedules_job_can_run_night_after_night() -> None:
    job = load_config(KUBERAY / "schedule" / "job.yaml")
    assert job.output.on_existing in ("top-up", "append"), "the second night would be refused"


def test_every_image_is_the_one_that_the_overlays_rename() -> None:
    used = {
        image
        for path in KUBERAY.rglob("*.yaml")
        for image in re.findall(r"(?m)^[ -]*image: (\S+)$", path.read_text())
    }
    assert used == {"registry.example.com/augment:0.1.0"}

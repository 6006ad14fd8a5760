"""The table of backends, and their cluster files."""

from __future__ import annotations

from pathlib import Path

import pytest

from augment.config_fields import fields_of
from augment.errors import ConfigError
from pipelines.submit.backends import BACKENDS, open_backend, read_settings, recorded_settings
from pipelines.submit.contract import Job
from pipelines.submit.kuberay_config import KubeRaySettings

SMALLEST = {
    "local": "",
    "ray": "",
    "kuberay": "image: r.example.com/augment:1.0\n",
    "slurm": "log_dir: /logs\n",
}


@pytest.fixture(params=sorted(BACKENDS))
def name(request: pytest.FixtureRequest) -> str:
    """Every backend, one after another."""
    return str(request.param)


@pytest.fixture
def file(name: str, tmp_path: Path) -> Path:
    """Its smallest cluster file."""
    path = tmp_path / "cluster.yaml"
    path.write_text(SMALLEST[name])
    return path


def test_there_are_these_backends() -> None:
    assert list(BACKENDS) == ["local", "ray", "kuberay", "slurm"]


def test_settings_survive_being_recorded(name: str, file: Path) -> None:
    settings = read_settings(name, file)

    assert recorded_settings(name, settings.model_dump(mode="json"), "job") == settings


def test_every_setting_says_what_it_does(name: str) -> None:
    assert [field.name for field in fields_of(BACKENDS[name].settings) if not field.doc] == []


def test_what_would_be_sent_can_be_rendered_and_holds_the_config(name: str, file: Path, job: Job) -> None:
    backend = open_backend(name, read_settings(name, file))

    assert backend.render(job) == backend.render(job)
    assert "s3://bucket/out" in backend.render(job)


def test_an_unknown_key_is_named_with_its_line(name: str, file: Path) -> None:
    file.write_text(SMALLEST[name] + "imagine: 1\n")

    with pytest.raises(ConfigError, match=r"cluster\.yaml:\d: imagine: unknown key"):
        read_settings(name, file)


def test_a_file_that_is_needed_is_asked_for() -> None:
    with pytest.raises(ConfigError, match=r"--backend kuberay needs --cluster FILE.* image"):
        read_settings("kuberay", None)
    with pytest.raises(ConfigError, match=r"--backend=kubernetes is not one of local, ray, kuberay, slurm"):
        read_settings("kubernetes", None)


def test_settings_of_another_version_are_an_error_that_names_them() -> None:
    with pytest.raises(ConfigError, match=r"run-1 was submitted with settings .*\(colour\)"):
        recorded_settings("ray", {"colour": "red"}, "run-1")


@pytest.mark.parametrize(
    ("name", "line", "named"),
    [
        ("ray", "address: http://user:hunter2@head:8265", "credentials"),
        ("ray", "address: head:6379", "http://HEAD:8265"),
        ("ray", "auth: none", "auth"),
        ("ray", "env: {AWS_SECRET_ACCESS_KEY: hunter2}", "AWS_SECRET_ACCESS_KEY looks like a secret"),
        ("ray", "command: []", "command"),
        ("kuberay", "env: {HF_TOKEN: hunter2}", "HF_TOKEN looks like a secret"),
        ("kuberay", "env: {'A B': hunter2}", "is no name of an environment variable"),
        ("kuberay", "trainer: {cpus: 0}", "trainer.cpus"),
        ("kuberay", "cpu: {gpus: 1}", "cpu.gpus"),
        ("kuberay", "profile: autoscale\nqueue: gpus", "profile=queue"),
        ("kuberay", "generate: {spot: azure}", "generate.spot"),
        ("slurm", "options: [--nodes=9]", "--nodes is set"),
        ("slurm", "options: ['rm -rf /']", "is no option of sbatch"),
        ("slurm", "time: tomorrow", "time"),
        ("slurm", "env: {PASSWORD: hunter2}", "PASSWORD looks like a secret"),
    ],
)
def test_a_wrong_setting_is_named_and_no_secret_is_repeated(
    tmp_path: Path, name: str, line: str, named: str
) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text(SMALLEST[name] + line + "\n")

    with pytest.raises(ConfigError) as caught:
        read_settings(name, path)

    assert named in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_a_log_folder_of_slurm_is_absolute(tmp_path: Path) -> None:
    path = tmp_path / "cluster.yaml"
    path.write_text("log_dir: logs\n")

    with pytest.raises(ConfigError, match="absolute path"):
        read_settings("slurm", path)


def test_variables_that_name_a_file_are_no_secrets() -> None:
    env = {"RAY_AUTH_TOKEN_PATH": "/var/run/token", "AWS_REGION": "eu-west-1"}

    assert KubeRaySettings(image="a:1", env=env).env == env

"""What a cluster file gives a job to read holds no secret, in a name, in a URI or in free text."""

from __future__ import annotations

import pytest
from pydantic import ValidationError

from pipelines.submit.environment import refuse_secrets, refuse_secrets_in
from pipelines.submit.kuberay_config import KubeRaySettings
from pipelines.submit.ray_jobs import RayJobsSettings
from pipelines.submit.slurm import SlurmSettings


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("AWS_SECRET_ACCESS_KEY", "hunter2"),
        ("AZURE_STORAGE_KEY", "hunter2"),
        ("AZURE_STORAGE_CONNECTION_STRING", "AccountKey=hunter2"),
        ("WANDB_API_KEY", "hunter2"),
        ("GITHUB_PAT", "hunter2"),
        ("REDIS_PWD", "hunter2"),
        ("HTTPS_PROXY", "http://user:hunter2@proxy:3128"),
        ("MLFLOW_TRACKING_URI", "https://user:hunter2@mlflow.example.com"),
        ("A B", "hunter2"),
    ],
)
def test_a_secret_is_refused_and_not_repeated(name: str, value: str) -> None:
    with pytest.raises(ValueError, match=name.split("=")[0]) as caught:
        refuse_secrets({name: value})

    assert "hunter2" not in str(caught.value)


@pytest.mark.parametrize("name", ["PATH", "PATTERN", "KEYBOARD", "AWS_REGION", "AWS_WEB_IDENTITY_TOKEN_FILE"])
def test_what_only_sounds_alike_is_taken(name: str) -> None:
    assert refuse_secrets({name: "https://a.b/c@d"}) == {name: "https://a.b/c@d"}


@pytest.mark.parametrize(
    "text",
    [
        "export AWS_SECRET_ACCESS_KEY=hunter2",
        "export A=b STORAGE_KEY='hunter2'",
        "augment --api-key=hunter2",
        "export HTTPS_PROXY=http://user:hunter2@proxy:3128",
    ],
)
def test_a_secret_in_free_text_is_refused_wherever_a_cluster_file_takes_text(text: str) -> None:
    for settings in (
        lambda: SlurmSettings(log_dir="/shared", setup=("module load cuda", text)),
        lambda: SlurmSettings(log_dir="/shared", command=("bash", "-c", text)),
        lambda: RayJobsSettings(command=("bash", "-c", text)),
        lambda: KubeRaySettings(image="a:1", command=("bash", "-c", text)),
        lambda: KubeRaySettings(image="a:1", merge_patch={"spec": {"a": [{"command": [text]}]}}),
    ):
        with pytest.raises(ValidationError, match="stored and shown"):
            settings()


@pytest.mark.parametrize(
    "text",
    [
        "module load cuda",
        'export HF_TOKEN="$(cat ~/.token)"',
        "export WANDB_API_KEY=$MY_KEY",
        "source /a/b",
        "A=b",
        "export API_KEY=",
    ],
)
def test_text_that_holds_no_secret_is_taken(text: str) -> None:
    assert refuse_secrets_in((text,)) == (text,)

"""What a config may not say where another machine runs it."""

from __future__ import annotations

from pathlib import Path

import pytest

from augment.config import load_config
from augment.errors import ConfigError
from pipelines.submit.fitness import refuse_immobile, refuse_memory


@pytest.mark.parametrize(
    ("override", "named"),
    [
        ("source.uri=images", "source.uri=images is relative"),
        ("source.uri=[s3://a/b, ./more]", "source.uri=./more is relative"),
        ("output.uri=../out", "output.uri=../out is relative"),
        ("train.start_from=old/_models/a", "train.start_from=old/_models/a is relative"),
        ("report.tensorboard=runs/tb", "report.tensorboard=runs/tb is relative"),
        ("report.mlflow=sqlite:///mlflow.db", "report.mlflow=mlflow.db is relative"),
        ("report.mlflow=./mlruns", "report.mlflow=./mlruns is relative"),
        ("ray.address=local", "ray.address=local is not the cluster"),
        ("ray.address=10.0.0.1:6379", "ray.address=10.0.0.1:6379 is not the cluster"),
        ("ray.num_cpus=4", "ray.num_cpus=4 is for a cluster"),
    ],
)
def test_each_field_that_means_something_else_there_is_named(
    gpu_config: Path, override: str, named: str
) -> None:
    with pytest.raises(ConfigError) as caught:
        refuse_immobile(load_config(gpu_config, [override]), "ray")

    assert named in str(caught.value)
    assert str(caught.value).startswith("--backend ray: ")


@pytest.mark.parametrize(
    "override",
    [
        "source.uri=/shared/images",
        "source.uri=demo://fashion-mnist-lt",
        "ray.address=auto",
        "report.tensorboard=/shared/tb",
        "report.mlflow=https://mlflow.example.com",
        "report.mlflow=sqlite:////shared/mlflow.db",
    ],
)
def test_shared_paths_and_stores_are_the_same_everywhere(gpu_config: Path, override: str) -> None:
    refuse_immobile(load_config(gpu_config, [override]), "slurm")
    refuse_memory(load_config(gpu_config, [override]))


def test_all_problems_are_listed_at_once(gpu_config: Path) -> None:
    config = load_config(gpu_config, ["source.uri=a", "output.uri=b", "ray.address=local"])

    with pytest.raises(ConfigError) as caught:
        refuse_immobile(config, "kuberay")

    assert len(str(caught.value).splitlines()) == 3


def test_a_store_in_memory_is_no_place_for_a_job(gpu_config: Path) -> None:
    with pytest.raises(ConfigError, match=r"output\.uri=memory://out"):
        refuse_memory(load_config(gpu_config, ["output.uri=memory://out"]))

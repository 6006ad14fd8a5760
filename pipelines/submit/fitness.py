"""What a config may not say where another machine runs it. Knows no backend; contacts nothing."""

from __future__ import annotations

import os
from collections.abc import Iterator

from augment.config import Config
from augment.errors import ConfigError

__all__ = ["places", "refuse_immobile", "refuse_memory"]

_JOINED = (None, "auto")  # values of ray.address with which a job joins the cluster that it runs on


def refuse_immobile(config: Config, backend: str) -> None:
    """ConfigError, naming every field, where the config means something else on another machine.

    Relative paths do, and so does a Ray cluster that is named by its address or started anew.
    """
    problems = [
        f"{field}={uri} is relative to this folder, and the job runs elsewhere; give "
        f"{'' if field.startswith('report.') else 's3://bucket/prefix, or '}the absolute path of a shared file system"
        for field, uri in places(config)
        if "://" not in uri and not os.path.isabs(os.path.expanduser(uri))
    ]
    if config.ray.address not in _JOINED:
        problems.append(
            f"ray.address={config.ray.address} is not the cluster that the job runs on; remove it (or set it to auto)"
        )
    for name in ("num_cpus", "object_store_gb"):
        if (value := getattr(config.ray, name)) is not None:
            problems.append(f"ray.{name}={value} is for a cluster that the job starts itself; remove it")
    _refuse([f"--backend {backend}: {problem}" for problem in problems])


def refuse_memory(config: Config) -> None:
    """ConfigError for a store that only this process has."""
    _refuse(
        [
            f"{field}={uri} lives in one process, and the job is another; give a path or s3://bucket/prefix"
            for field, uri in places(config)
            if uri.startswith("memory://")
        ]
    )


def places(config: Config) -> Iterator[tuple[str, str]]:
    """Every field that names a place, with each URI that it names."""
    for uri in config.source.uris:
        yield "source.uri", uri
    yield "output.uri", config.output.uri
    if config.train.start_from is not None:
        yield "train.start_from", config.train.start_from
    if config.report.tensorboard is not None:
        yield "report.tensorboard", config.report.tensorboard
    if config.report.mlflow is not None and (path := _file_of(config.report.mlflow)) is not None:
        yield "report.mlflow", path


def _file_of(tracking_uri: str) -> str | None:
    """The path that a tracking URI of MLflow's names; None for one of a service."""
    if tracking_uri.startswith("sqlite:"):
        return tracking_uri.removeprefix("sqlite:").removeprefix("///")
    if tracking_uri.startswith("file:"):
        return tracking_uri.removeprefix("file:").removeprefix("//")
    return None if "://" in tracking_uri or tracking_uri.startswith("databricks") else tracking_uri


def _refuse(problems: list[str]) -> None:
    if problems:
        raise ConfigError("\n".join(problems))

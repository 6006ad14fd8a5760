"""The table of backends, and a backend from its cluster file. To add one: a file, and an entry here."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from pydantic import ValidationError

from augment.config_file import read_config
from augment.errors import ConfigError
from augment.types import ConfigModel
from pipelines.submit.contract import Backend
from pipelines.submit.kuberay import KubeRayBackend
from pipelines.submit.kuberay_config import KubeRaySettings
from pipelines.submit.local import LocalBackend, LocalSettings
from pipelines.submit.ray_jobs import RayJobsBackend, RayJobsSettings
from pipelines.submit.slurm import SlurmBackend, SlurmSettings

__all__ = ["BACKENDS", "BackendKind", "open_backend", "read_settings", "recorded_settings"]


@dataclass(frozen=True)
class BackendKind:
    """What a backend is called with, and how it is made."""

    settings: type[ConfigModel]
    make: Callable[[Any], Backend]


BACKENDS: dict[str, BackendKind] = {
    "local": BackendKind(LocalSettings, LocalBackend),
    "ray": BackendKind(RayJobsSettings, RayJobsBackend),
    "kuberay": BackendKind(KubeRaySettings, KubeRayBackend),
    "slurm": BackendKind(SlurmSettings, SlurmBackend),
}


def read_settings(name: str, file: Path | None) -> ConfigModel:
    """A backend's settings from its cluster file, strict YAML as the config is, or its defaults without one.

    Raises ConfigError for a backend there is none of, and for whatever is wrong with the file.
    """
    kind = _kind(name)
    if file is not None:
        return read_config(kind.settings, file)
    required = [field for field, info in kind.settings.model_fields.items() if info.is_required()]
    if required:
        raise ConfigError(
            f"--backend {name} needs --cluster FILE, a YAML file that gives {', '.join(required)}"
        )
    return kind.settings()


def recorded_settings(name: str, settings: dict[str, Any], where: str) -> ConfigModel:
    """Settings as an attempt has recorded them; ConfigError where this version doesn't know them."""
    try:
        return _kind(name).settings.model_validate(settings, strict=False)
    except ValidationError as error:
        fields = ", ".join(".".join(map(str, each["loc"])) for each in error.errors(include_url=False))
        raise ConfigError(
            f"{where} was submitted with settings that this version does not take ({fields}); give --cluster FILE"
        ) from error


def open_backend(name: str, settings: ConfigModel) -> Backend:
    """The backend; nothing is contacted."""
    return _kind(name).make(settings)


def _kind(name: str) -> BackendKind:
    if name not in BACKENDS:
        raise ConfigError(f"--backend={name} is not one of {', '.join(BACKENDS)}")
    return BACKENDS[name]

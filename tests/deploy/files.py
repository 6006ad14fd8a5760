"""What tests of deploy/ share: where things lie, documents of a YAML file, and tools that a machine may lack."""

from __future__ import annotations

import shutil
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import yaml

ROOT = Path(__file__).resolve().parents[2]
DEPLOY = ROOT / "deploy"
KUBERAY = DEPLOY / "kuberay"

CUSTOM_KINDS = {"RayJob", "WorkflowTemplate", "PodMonitor", "Kustomization", "Component"}


def documents(path: Path) -> list[dict[str, Any]]:
    """Every document of a YAML file."""
    return [document for document in yaml.safe_load_all(path.read_text()) if document is not None]


def manifests() -> Iterator[tuple[str, dict[str, Any]]]:
    """Every Kubernetes object in deploy/, with the file that it lies in; patches and tests of alerts are none."""
    for path in sorted(DEPLOY.rglob("*.yaml")):
        for document in documents(path):
            if isinstance(document, dict) and "kind" in document and "apiVersion" in document:
                yield str(path.relative_to(DEPLOY)), document


def tool(name: str) -> str:
    """A command that comes with the `dev` extra, or that the machine may have; skips with the reason where not."""
    beside_python = Path(sys.executable).parent / name
    found = str(beside_python) if beside_python.exists() else shutil.which(name)
    if found is None:
        pytest.skip(f"{name} is not on this machine")
    return found

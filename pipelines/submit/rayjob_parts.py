"""The parts of a RayJob's manifest that rules read, with their paths as complaints write them. Holds no rule.

A manifest comes here once its shape was found right (rayjob_rules.complaints): what is required is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

__all__ = [
    "CLUSTER",
    "GROUPS",
    "HEAD",
    "Complaint",
    "Manifest",
    "cluster_of",
    "containers_of",
    "groups_of",
    "limits_of",
    "pods_of",
    "ray_pods",
    "value_at",
]

Manifest = dict[str, Any]
Complaint = tuple[str, str]  # the field's path, and what is wrong with it and how to mend it

CLUSTER = "spec.rayClusterSpec"
GROUPS = f"{CLUSTER}.workerGroupSpecs"
HEAD = f"{CLUSTER}.headGroupSpec"


def value_at(values: Any, path: str) -> Any:
    """What lies at a dotted path, if anything does."""
    for part in path.split("."):
        values = values.get(part) if isinstance(values, dict) else None
    return values


def cluster_of(manifest: Manifest) -> dict[str, Any]:
    """The RayCluster's spec."""
    found: dict[str, Any] = manifest["spec"]["rayClusterSpec"]
    return found


def groups_of(manifest: Manifest) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and spec of every worker group."""
    for index, group in enumerate(cluster_of(manifest)["workerGroupSpecs"]):
        yield f"{GROUPS}[{index}]", group


def ray_pods(manifest: Manifest) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and spec of the pods that are Ray's nodes; the head's is the first."""
    yield f"{HEAD}.template.spec", cluster_of(manifest)["headGroupSpec"]["template"]["spec"]
    for path, group in groups_of(manifest):
        yield f"{path}.template.spec", group["template"]["spec"]


def pods_of(manifest: Manifest) -> Iterator[tuple[str, dict[str, Any]]]:
    """Path and spec of every pod, the submitter's last."""
    yield from ray_pods(manifest)
    yield "spec.submitterPodTemplate.spec", manifest["spec"]["submitterPodTemplate"]["spec"]


def containers_of(manifest: Manifest) -> Iterator[tuple[str, dict[str, Any], dict[str, Any]]]:
    """Path and spec of every container, with its pod's spec."""
    for path, pod in pods_of(manifest):
        for kind in ("initContainers", "containers"):
            for index, container in enumerate(pod.get(kind) or []):
                yield f"{path}.{kind}[{index}]", container, pod


def limits_of(pod: dict[str, Any]) -> dict[str, Any]:
    """What the pod's Ray container may use."""
    found: dict[str, Any] = (pod["containers"][0].get("resources") or {}).get("limits") or {}
    return found

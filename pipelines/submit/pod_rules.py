"""What the pods of a RayJob must keep: nothing runs as root, holds a static key or shows a dashboard, and every mount has
its volume. Rules on plain data, as in rayjob_rules, which applies them.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

from pipelines.submit.environment import refuse_secrets
from pipelines.submit.rayjob_parts import (
    CLUSTER,
    HEAD,
    Complaint,
    Manifest,
    cluster_of,
    containers_of,
    limits_of,
    pods_of,
    ray_pods,
)

__all__ = ["POD_RULES"]

LEAST_GRACE_S = 60


def mounts(manifest: Manifest) -> Iterator[Complaint]:
    """Every mount has its volume, and what is written to is writable."""
    for path, container, pod in containers_of(manifest):
        volumes = {volume.get("name") for volume in pod.get("volumes") or []}
        paths: list[str] = []
        for index, mount in enumerate(container.get("volumeMounts") or []):
            if mount.get("name") not in volumes:
                yield f"{path}.volumeMounts[{index}].name", f"{mount.get('name')!r} is no volume of this pod"
            if mount.get("mountPath") in paths:
                yield f"{path}.volumeMounts[{index}].mountPath", f"{mount['mountPath']} is mounted twice"
            paths.append(str(mount.get("mountPath")))
        read_only = (container.get("securityContext") or {}).get("readOnlyRootFilesystem")
        if read_only and "/tmp" not in paths:  # noqa: S108 - where Ray keeps its sessions
            yield (
                f"{path}.volumeMounts",
                "the root is read-only, and Ray writes to /tmp; mount an emptyDir there",
            )
    for path, pod in pods_of(manifest):
        for index, volume in enumerate(pod.get("volumes") or []):
            if "hostPath" in volume:
                yield (
                    f"{path}.volumes[{index}].hostPath",
                    "the node's own disk is no place of a pod; use an emptyDir",
                )


def security(manifest: Manifest) -> Iterator[Complaint]:
    """The strictest of Kubernetes' pod security standards, and a root that nobody writes to."""
    for path, container, pod in containers_of(manifest):
        where, context = f"{path}.securityContext", container.get("securityContext") or {}
        whole = {**(pod.get("securityContext") or {}), **context}
        if whole.get("runAsNonRoot") is not True or whole.get("runAsUser") == 0:
            yield f"{where}.runAsNonRoot", "must be true, with a user other than 0"
        if (whole.get("seccompProfile") or {}).get("type") not in ("RuntimeDefault", "Localhost"):
            yield f"{where}.seccompProfile", "must be RuntimeDefault"
        if context.get("allowPrivilegeEscalation") is not False or context.get("privileged"):
            yield f"{where}.allowPrivilegeEscalation", "must be false, and privileged must not be set"
        if "ALL" not in ((context.get("capabilities") or {}).get("drop") or []):
            yield f"{where}.capabilities.drop", "must hold ALL"
        if context.get("readOnlyRootFilesystem") is not True:
            yield f"{where}.readOnlyRootFilesystem", "must be true"
    for path, pod in pods_of(manifest):
        for field in ("hostNetwork", "hostPID", "hostIPC"):
            if pod.get(field):
                yield f"{path}.{field}", "must not be set: it is the node's"


def identity(manifest: Manifest) -> Iterator[Complaint]:
    """Who pods are: by workload identity, head and workers apart, and never by a key in the manifest."""
    (head_path, head), *workers = ray_pods(manifest)
    accounts = {str(pod.get("serviceAccountName") or "default") for _, pod in workers}
    for path, pod in ((head_path, head), *workers):
        if pod.get("serviceAccountName") in (None, "", "default"):
            yield f"{path}.serviceAccountName", "is missing: `default` is everybody's; give one of its own"
    if str(head.get("serviceAccountName")) in accounts:
        yield f"{head_path}.serviceAccountName", "is the workers' too; the head may do more than they need"
    for path, container, _ in containers_of(manifest):
        for index, variable in enumerate(container.get("env") or []):
            if "value" not in variable:
                continue
            name = str(variable.get("name"))
            for field, value in (("name", ""), ("value", str(variable["value"]))):
                try:
                    refuse_secrets({name: value})
                except ValueError as error:
                    yield f"{path}.env[{index}].{field}", str(error)
                    break


def exposure(manifest: Manifest) -> Iterator[Complaint]:
    """A dashboard runs any command it is sent: it asks for a token, and nobody outside reaches it."""
    cluster = cluster_of(manifest)
    if (cluster.get("authOptions") or {}).get("mode") != "token":
        yield (
            f"{CLUSTER}.authOptions.mode",
            "must be token: without it whoever reaches the head runs commands",
        )
    head = cluster["headGroupSpec"]
    if head.get("serviceType", "ClusterIP") != "ClusterIP":
        yield f"{HEAD}.serviceType", f"{head['serviceType']} shows the dashboard to the world; set ClusterIP"
    if head.get("enableIngress"):
        yield f"{HEAD}.enableIngress", "shows the dashboard to the world; remove it"


def resources(manifest: Manifest) -> Iterator[Complaint]:
    """Limits that Ray can take for what it has, and time to leave."""
    for path, pod in ray_pods(manifest):
        for name in ("cpu", "memory"):
            if name not in limits_of(pod):
                yield (
                    f"{path}.containers[0].resources.limits.{name}",
                    "is missing: Ray takes the limits for its own",
                )
        grace_s = pod.get("terminationGracePeriodSeconds")
        if not isinstance(grace_s, int) or grace_s < LEAST_GRACE_S:
            yield (
                f"{path}.terminationGracePeriodSeconds",
                f"{grace_s!r} is short: Ray drains a node for 30 s; set 90",
            )


POD_RULES: tuple[Callable[[Manifest], Iterator[Complaint]], ...] = (
    mounts,
    security,
    identity,
    exposure,
    resources,
)

"""A KubeRay RayJob as plain data: what is asked of Kubernetes for one job. Contacts nothing, checks nothing.

The config is an annotation of the head's pod, mounted as a file by the downward API: one object holds all, and no
shell comes near it (KubeRay passes the entrypoint through two).
"""

from __future__ import annotations

import copy
import importlib.metadata
import json
from typing import Any

from augment.config import Config
from pipelines.submit.contract import Job, job_environment, run_command
from pipelines.submit.kuberay_config import GenerateGroup, KubeRaySettings, WorkerGroup

__all__ = ["API_VERSION", "CONFIG_ANNOTATION", "CONFIG_PATH", "NONCE_ANNOTATION", "rayjob"]

API_VERSION = "ray.io/v1"
CONFIG_ANNOTATION = "augment/config"
NONCE_ANNOTATION = "augment/nonce"  # of the RayJob itself: which attempt it is
CONFIG_PATH = "/etc/augment/config.json"
GPU = "nvidia.com/gpu"

_SECURITY = {
    "allowPrivilegeEscalation": False,
    "capabilities": {"drop": ["ALL"]},
    "readOnlyRootFilesystem": True,
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
_POD_SECURITY = {
    "fsGroup": 1000,
    "runAsNonRoot": True,
    "runAsUser": 1000,
    "runAsGroup": 1000,
    "seccompProfile": {"type": "RuntimeDefault"},
}
# Of a node pool of spot machines, by cloud: the label that it has, and whether it is tainted with the same.
_SPOT = {
    "eks": ("eks.amazonaws.com/capacityType", "SPOT", False),
    "gke": ("cloud.google.com/gke-spot", "true", True),
    "aks": ("kubernetes.azure.com/scalesetpriority", "spot", True),
    "karpenter": ("karpenter.sh/capacity-type", "spot", False),
}
_SHARED_MEMORY_SHARE = 0.4
_API_ACCESS = "/var/run/secrets/kubernetes.io/serviceaccount"


def rayjob(job: Job, settings: KubeRaySettings) -> dict[str, Any]:
    """The RayJob, `merge_patch` applied."""
    config = Config.model_validate_json(job.submission.config_json)
    manifest = {
        "apiVersion": API_VERSION,
        "kind": "RayJob",
        "metadata": _metadata(job, settings),
        "spec": {
            "entrypoint": " ".join(run_command(settings.command, CONFIG_PATH)),
            "jobId": job.name,
            "submissionMode": "K8sJobMode",
            "backoffLimit": settings.retries,
            "activeDeadlineSeconds": settings.deadline_s,
            "shutdownAfterJobFinishes": True,
            "ttlSecondsAfterFinished": settings.keep_s,
            "submitterPodTemplate": _submitter(job, settings),
            "rayClusterSpec": _cluster(job, config, settings),
        },
    }
    patched: dict[str, Any] = merged(manifest, settings.merge_patch)
    return patched


def merged(target: Any, patch: Any) -> Any:
    """`target` with a merge patch applied (RFC 7386, section 2)."""
    if not isinstance(patch, dict):
        return copy.deepcopy(patch)
    result = dict(target) if isinstance(target, dict) else {}
    for key, value in patch.items():
        if value is None:
            result.pop(key, None)
        else:
            result[key] = merged(result.get(key), value)
    return result


# ---- what the job is ----------------------------------------------------------------------------------


def _labels(job: Job) -> dict[str, str]:
    return {
        "app.kubernetes.io/name": "augment",
        "app.kubernetes.io/instance": job.submission.run_id,
        "app.kubernetes.io/managed-by": "augment-submit",
    }


def _metadata(job: Job, settings: KubeRaySettings) -> dict[str, Any]:
    queue = {"kueue.x-k8s.io/queue-name": settings.queue} if settings.queue else {}
    return {
        "name": job.name,
        "namespace": settings.namespace,
        "labels": {**_labels(job), **queue},
        **({"annotations": {NONCE_ANNOTATION: job.nonce}} if job.nonce else {}),
    }


def _submitter(job: Job, settings: KubeRaySettings) -> dict[str, Any]:
    """Runs `ray job submit` and follows the log. KubeRay's own default has no security context."""
    container = {
        "name": "ray-job-submitter",
        "image": settings.image,
        "securityContext": _SECURITY,
        "resources": _resources(cpus=1, memory_gb=1),
        "volumeMounts": _mounts("tmp", "home"),
    }
    pod = _pod_spec(settings, container, volumes=_volumes("tmp", "home"))
    pod["automountServiceAccountToken"] = False
    return {"metadata": {"labels": _labels(job)}, "spec": pod}


# ---- what it runs on ----------------------------------------------------------------------------------


def _cluster(job: Job, config: Config, settings: KubeRaySettings) -> dict[str, Any]:
    autoscaling = {
        "enableInTreeAutoscaling": True,
        "autoscalerOptions": {
            "version": "v2",
            "idleTimeoutSeconds": settings.idle_s,
            "securityContext": _SECURITY,
            "resources": _resources(cpus=1, memory_gb=1),
            # It alone speaks to Kubernetes, so it alone has the token.
            "volumeMounts": [{"name": "kube-api-access", "mountPath": _API_ACCESS, "readOnly": True}],
        },
    }
    return {
        "rayVersion": settings.ray_version or importlib.metadata.version("ray"),
        "authOptions": {"mode": "token"},
        **(autoscaling if settings.profile == "autoscale" else {"enableInTreeAutoscaling": False}),
        "headGroupSpec": _head(job, settings),
        "workerGroupSpecs": _worker_groups(job, config, settings),
    }


def _head(job: Job, settings: KubeRaySettings) -> dict[str, Any]:
    volumes = [
        *_volumes("tmp", "home", "shm", memory_gb=settings.head.memory_gb),
        {
            "name": "config",
            "downwardAPI": {
                "items": [
                    {
                        "path": CONFIG_PATH.rpartition("/")[2],
                        "fieldRef": {"fieldPath": f"metadata.annotations['{CONFIG_ANNOTATION}']"},
                    }
                ]
            },
        },
    ]
    if settings.profile == "autoscale":
        volumes.append(_api_access())
    container = _ray_container(
        "ray-head", settings, settings.head.cpus, settings.head.memory_gb,
        env=job_environment(job, settings.env),  # the driver runs there
    )  # fmt: skip
    container["volumeMounts"].append(
        {"name": "config", "mountPath": CONFIG_PATH.rpartition("/")[0], "readOnly": True}
    )
    pod = _pod_spec(settings, container, volumes)
    pod["serviceAccountName"] = settings.head_service_account
    pod["automountServiceAccountToken"] = False
    annotations = {
        CONFIG_ANNOTATION: json.dumps(job.submission.config, indent=2, ensure_ascii=False) + "\n",
        # The driver dies with the head, so that no autoscaler of nodes may tidy it away.
        "cluster-autoscaler.kubernetes.io/safe-to-evict": "false",
        "karpenter.sh/do-not-disrupt": "true",
    }
    return {
        "serviceType": "ClusterIP",
        "rayStartParams": {"num-cpus": "0"},  # no task of a stage may starve the driver
        "template": {"metadata": {"labels": _labels(job), "annotations": annotations}, "spec": pod},
    }


def _worker_groups(job: Job, config: Config, settings: KubeRaySettings) -> list[dict[str, Any]]:
    train_gpus = _gpus(settings.trainer, config.train.device)
    trainers = _or(settings.trainer.replicas, -(-config.train.worker_range[1] // max(1, train_gpus)))
    generate_gpus = _gpus(settings.generate, config.generate.device)
    if settings.profile == "queue":
        spare = 0
    else:
        lacking = (config.generate.actors or trainers * max(1, train_gpus)) - trainers * train_gpus
        spare = -(-max(0, lacking) // max(1, generate_gpus))
    wanted = (
        ("trainer", settings.trainer, train_gpus, trainers),
        ("generate-spot", settings.generate, generate_gpus, _or(settings.generate.replicas, spare)),
        ("cpu", settings.cpu, 0, settings.cpu.replicas or 0),
    )
    return [_worker_group(job, settings, *group) for group in wanted if group[-1]]


def _worker_group(
    job: Job, settings: KubeRaySettings, name: str, group: WorkerGroup, gpus: int, replicas: int
) -> dict[str, Any]:
    scaled = settings.profile == "autoscale"
    labels, tolerations = dict(group.node_labels), [dict(each) for each in group.tolerations]
    if gpus:
        tolerations.append({"key": GPU, "operator": "Exists", "effect": "NoSchedule"})
    if isinstance(group, GenerateGroup) and group.spot != "none":
        label, value, tainted = _SPOT[group.spot]
        labels[label] = value
        if tainted:
            tolerations.append({"key": label, "operator": "Equal", "value": value, "effect": "NoSchedule"})
    container = _ray_container("ray-worker", settings, group.cpus, group.memory_gb, gpus)
    pod = _pod_spec(settings, container, _volumes("tmp", "home", "shm", memory_gb=group.memory_gb))
    pod["serviceAccountName"] = settings.worker_service_account
    pod["automountServiceAccountToken"] = False
    pod |= {"nodeSelector": labels} if labels else {}
    pod |= {"tolerations": tolerations} if tolerations else {}
    return {
        "groupName": name,
        "replicas": 0 if scaled else replicas,
        "minReplicas": 0 if scaled else replicas,
        "maxReplicas": replicas,
        **({"idleTimeoutSeconds": settings.idle_s, "priority": group.priority} if scaled else {}),
        "rayStartParams": {},
        "template": {"metadata": {"labels": _labels(job)}, "spec": pod},
    }


def _gpus(group: WorkerGroup, device: str) -> int:
    return _or(group.gpus, 0 if device == "cpu" else 1)


def _or(given: int | None, otherwise: int) -> int:
    return otherwise if given is None else given


# ---- pods ---------------------------------------------------------------------------------------------


def _ray_container(
    name: str,
    settings: KubeRaySettings,
    cpus: int,
    memory_gb: int,
    gpus: int = 0,
    *,
    env: dict[str, str] | None = None,
) -> dict[str, Any]:
    env = settings.env if env is None else env
    return {
        "name": name,
        "image": settings.image,
        **({"env": _env(env)} if env else {}),
        "securityContext": _SECURITY,
        "resources": _resources(cpus, memory_gb, gpus),
        "volumeMounts": _mounts("tmp", "home", "shm"),
    }


def _pod_spec(
    settings: KubeRaySettings, container: dict[str, Any], volumes: list[dict[str, Any]]
) -> dict[str, Any]:
    pulling = [{"name": name} for name in settings.image_pull_secrets]
    return {
        "restartPolicy": "Never",  # the autoscaler's and KubeRay's business, not the kubelet's
        "terminationGracePeriodSeconds": settings.grace_s,
        "securityContext": _POD_SECURITY,
        **({"priorityClassName": settings.priority_class} if settings.priority_class else {}),
        **({"imagePullSecrets": pulling} if pulling else {}),
        "containers": [container],
        "volumes": volumes,
    }


def _env(env: dict[str, str]) -> list[dict[str, str]]:
    # `$(NAME)` would be expanded by Kubernetes; `$$` is its escape.
    return [{"name": name, "value": value.replace("$(", "$$(")} for name, value in sorted(env.items())]


def _resources(cpus: int, memory_gb: int, gpus: int = 0) -> dict[str, Any]:
    """Requests equal limits: Ray takes the limits for what it has."""
    amounts: dict[str, Any] = {"cpu": str(cpus), "memory": f"{memory_gb}Gi"}
    if gpus:
        amounts[GPU] = str(gpus)
    return {"limits": amounts, "requests": amounts}


_PLACES = {"tmp": "/tmp", "home": "/home/ray", "shm": "/dev/shm"}  # noqa: S108 - of the image


def _mounts(*names: str) -> list[dict[str, Any]]:
    return [{"name": name, "mountPath": _PLACES[name]} for name in names]


def _volumes(*names: str, memory_gb: int = 0) -> list[dict[str, Any]]:
    """What is writable under a read-only root; shared memory counts as the pod's memory."""
    limit = max(1, int(memory_gb * _SHARED_MEMORY_SHARE))
    shared = {"medium": "Memory", "sizeLimit": f"{limit}Gi"}
    return [{"name": name, "emptyDir": shared if name == "shm" else {}} for name in names]


def _api_access() -> dict[str, Any]:
    """What Kubernetes mounts into every container by itself, for one container alone."""
    sources = [
        {"serviceAccountToken": {"path": "token", "expirationSeconds": 3600}},
        {"configMap": {"name": "kube-root-ca.crt", "items": [{"key": "ca.crt", "path": "ca.crt"}]}},
        {"downwardAPI": {"items": [{"path": "namespace", "fieldRef": {"fieldPath": "metadata.namespace"}}]}},
    ]
    return {"name": "kube-api-access", "projected": {"sources": sources}}

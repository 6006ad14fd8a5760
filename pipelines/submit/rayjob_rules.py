"""What a RayJob must keep that its schema cannot see: rules on plain data, each naming the field and the mend.

Some are KubeRay's own, which it reports only after the object was made (ray-operator/controllers/ray/utils/
validation.go, 1.7); the others are this project's promises: nothing runs as root, holds a static key, shows a
dashboard, or loses its driver to an autoscaler. A rule is a function from a manifest to complaints, and an entry of
RULES. Knows no settings: a manifest from anywhere can be held against them.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator
from pathlib import PurePosixPath

from pydantic import ValidationError

from augment.config import Config
from augment.errors import ConfigError
from pipelines.submit.contract import MAX_NAME
from pipelines.submit.fitness import places
from pipelines.submit.pod_rules import POD_RULES
from pipelines.submit.rayjob import API_VERSION, CONFIG_ANNOTATION, CONFIG_PATH, GPU
from pipelines.submit.rayjob_parts import (
    CLUSTER,
    GROUPS,
    HEAD,
    Complaint,
    Manifest,
    cluster_of,
    containers_of,
    groups_of,
    limits_of,
    ray_pods,
    value_at,
)

__all__ = ["RULES", "Complaint", "complaints", "refuse_wrong"]

MAX_LABEL = 63
MAX_ANNOTATIONS_BYTES = 262_144
MOST_QUEUED_GROUPS = 7  # Kueue takes eight pod sets, and the head is one
QUEUE_LABEL = "kueue.x-k8s.io/queue-name"
RESERVED_GROUPS = ("head", "headgroup")

_DNS_1035 = re.compile(r"[a-z]([-a-z0-9]*[a-z0-9])?")
_INERT = re.compile(r"[A-Za-z0-9_./=:@%+,-]+( [A-Za-z0-9_./=:@%+,-]+)*")


def refuse_wrong(manifest: Manifest) -> None:
    """ConfigError that lists every complaint, a line each."""
    found = complaints(manifest)
    if found:
        raise ConfigError("\n".join(f"{path}: {message}" for path, message in found))


def complaints(manifest: Manifest) -> list[Complaint]:
    """All that is wrong; where the parts that the rules read are missing or of another kind, that alone."""
    broken = list(_shape(manifest))
    return broken or [complaint for rule in RULES for complaint in rule(manifest)]


def _shape(manifest: Manifest) -> Iterator[Complaint]:
    if (manifest.get("apiVersion"), manifest.get("kind")) != (API_VERSION, "RayJob"):
        yield (
            "kind",
            f"expected a {API_VERSION} RayJob, got {manifest.get('apiVersion')} {manifest.get('kind')}",
        )
        return
    for path, kind in _READ.items():
        found = value_at(manifest, path)
        if not isinstance(found, kind) or not found:
            yield path, f"required: {'a list that is not empty' if kind is list else 'text'}"
    groups = value_at(manifest, GROUPS)
    for index, group in enumerate(groups if isinstance(groups, list) else []):
        if not isinstance(found := value_at(group, "template.spec.containers"), list) or not found:
            yield f"{GROUPS}[{index}].template.spec.containers", "required: a pod has a container"


_READ: dict[str, type] = {
    "metadata.name": str,
    "spec.entrypoint": str,
    f"{HEAD}.template.spec.containers": list,
    "spec.submitterPodTemplate.spec.containers": list,
    GROUPS: list,
}


def _autoscaled(manifest: Manifest) -> bool:
    return bool(cluster_of(manifest).get("enableInTreeAutoscaling"))


# ---- names --------------------------------------------------------------------------------------------


def names(manifest: Manifest) -> Iterator[Complaint]:
    """Names that fit what is made of them: services, labels and pods."""
    name = manifest["metadata"]["name"]
    if len(name) > MAX_NAME or not _DNS_1035.fullmatch(name):
        yield (
            "metadata.name",
            f"{name!r} must be up to {MAX_NAME} of a-z, 0-9 and '-', from a letter on (DNS-1035)",
        )
    seen: set[str] = set()
    for path, group in groups_of(manifest):
        called = str(group.get("groupName", ""))
        if not _DNS_1035.fullmatch(called) or called in RESERVED_GROUPS:
            yield f"{path}.groupName", f"{called!r} must be DNS-1035 and none of {', '.join(RESERVED_GROUPS)}"
        elif called in seen:
            yield f"{path}.groupName", f"{called!r} is there twice; each group needs a name of its own"
        elif len(called) > MAX_LABEL:
            yield f"{path}.groupName", f"{called!r} is a label of its pods, of at most {MAX_LABEL} characters"
        seen.add(called)


def entrypoint(manifest: Manifest) -> Iterator[Complaint]:
    """A command that two shells pass on as it is, and that reads a config which is there."""
    command = manifest["spec"]["entrypoint"]
    if not _INERT.fullmatch(command):
        yield (
            "spec.entrypoint",
            f"{command!r} holds what a shell reads, and two of them will; use plain words",
        )
    head = cluster_of(manifest)["headGroupSpec"]["template"]
    annotations = (head.get("metadata") or {}).get("annotations") or {}
    if CONFIG_PATH in command and CONFIG_ANNOTATION not in annotations:
        yield (
            f"{HEAD}.template.metadata.annotations",
            f"{CONFIG_ANNOTATION} is missing, and the entrypoint reads it",
        )
    size = sum(len(key) + len(str(value).encode()) for key, value in annotations.items())
    if size > MAX_ANNOTATIONS_BYTES:
        yield (
            f"{HEAD}.template.metadata.annotations",
            f"{size} bytes, and Kubernetes takes {MAX_ANNOTATIONS_BYTES}",
        )


# ---- the job's life -----------------------------------------------------------------------------------


def life(manifest: Manifest) -> Iterator[Complaint]:
    """How the job is submitted, retried, ended and tidied away."""
    spec = manifest["spec"]
    mode = spec.get("submissionMode")
    if mode != "K8sJobMode":
        yield "spec.submissionMode", f"{mode!r} has no pod whose log could be followed; set K8sJobMode"
    if spec.get("clusterSelector"):
        yield "spec.clusterSelector", "the job has a cluster of its own (rayClusterSpec); remove it"
    for field, least in (("activeDeadlineSeconds", 1), ("backoffLimit", 0), ("ttlSecondsAfterFinished", 0)):
        value = spec.get(field)
        if not isinstance(value, int) or value < least:
            yield f"spec.{field}", f"{value!r} must be a whole number of at least {least}"
    shutdown = spec.get("shutdownAfterJobFinishes") is True
    if spec.get("ttlSecondsAfterFinished") and not shutdown:
        yield "spec.ttlSecondsAfterFinished", "has no effect without shutdownAfterJobFinishes: true; set it"
    elif not shutdown:
        yield (
            "spec.shutdownAfterJobFinishes",
            "must be true: the cluster's GPUs cost what they cost until it is gone",
        )
    if shutdown and (spec.get("deletionStrategy") or {}).get("deletionRules"):
        yield "spec.deletionStrategy.deletionRules", "excludes shutdownAfterJobFinishes; remove one"


def deletion(manifest: Manifest) -> Iterator[Complaint]:
    """Deletion rules that KubeRay's expressions refuse."""
    strategy = manifest["spec"].get("deletionStrategy")
    if strategy is None:
        return
    where = "spec.deletionStrategy"
    legacy = [name for name in ("onSuccess", "onFailure") if name in strategy]
    if legacy and "deletionRules" in strategy:
        yield where, f"{' and '.join(legacy)} exclude deletionRules; remove one"
    elif len(legacy) == 1:
        yield f"{where}.{legacy[0]}", "onSuccess and onFailure are given both or not at all"
    for index, rule in enumerate(strategy.get("deletionRules") or []):
        condition = rule.get("condition") or {}
        if ("jobStatus" in condition) == ("jobDeploymentStatus" in condition):
            yield f"{where}.deletionRules[{index}].condition", "give one of jobStatus and jobDeploymentStatus"


# ---- the cluster's size -------------------------------------------------------------------------------


def replicas(manifest: Manifest) -> Iterator[Complaint]:
    """Numbers of pods that can be had together."""
    for path, group in groups_of(manifest):
        least, most = group.get("minReplicas", 0), group.get("maxReplicas", 0)
        now = group.get("replicas", least)
        if not all(isinstance(number, int) for number in (least, now, most)):
            yield f"{path}.replicas", "minReplicas, replicas and maxReplicas must be whole numbers"
        elif least < 0 or least > most:
            yield f"{path}.minReplicas", f"{least} must be at least 0 and at most maxReplicas ({most})"
        elif not least <= now <= most:
            yield f"{path}.replicas", f"{now} lies outside minReplicas … maxReplicas ({least} … {most})"
        elif not _autoscaled(manifest) and not least == now == most:
            yield (
                f"{path}.maxReplicas",
                f"{most} is never reached without an autoscaler; set all three to {now}",
            )
        if group.get("suspend"):
            yield f"{path}.suspend", "a suspended group never runs; remove the group"


def scheduling(manifest: Manifest) -> Iterator[Complaint]:
    """A queue's quota and an autoscaler exclude each other; some settings are the autoscaler's (v2) alone."""
    labels = manifest["metadata"].get("labels") or {}
    cluster, autoscaled = cluster_of(manifest), _autoscaled(manifest)
    options = cluster.get("autoscalerOptions") or {}
    if QUEUE_LABEL in labels and autoscaled:
        yield (
            f"{CLUSTER}.enableInTreeAutoscaling",
            f"excludes the label {QUEUE_LABEL}: Kueue counts a job once",
        )
    if QUEUE_LABEL in labels and len(cluster["workerGroupSpecs"]) > MOST_QUEUED_GROUPS:
        yield (
            GROUPS,
            f"{len(cluster['workerGroupSpecs'])} groups, and Kueue takes {MOST_QUEUED_GROUPS}; merge some",
        )
    if autoscaled and options.get("version") != "v2":
        yield f"{CLUSTER}.autoscalerOptions.version", f"{options.get('version')!r} is not supported; set v2"
    if not autoscaled and options:
        yield f"{CLUSTER}.autoscalerOptions", "has no effect without enableInTreeAutoscaling: true"
    for path, group in groups_of(manifest):
        for field in ("idleTimeoutSeconds", "priority"):
            if field in group and not autoscaled:
                yield f"{path}.{field}", "is the autoscaler's (v2), which is not enabled; remove it"
    for path, pod in ray_pods(manifest):
        if autoscaled and pod.get("restartPolicy", "Never") != "Never":
            yield f"{path}.restartPolicy", f"{pod['restartPolicy']} is refused by autoscaler v2; set Never"


def the_config(manifest: Manifest) -> Iterator[Complaint]:
    """A config that the job will take: GPUs for all `train.workers` at once, and no path that no pod has."""
    template = cluster_of(manifest)["headGroupSpec"]["template"]
    text = (value_at(template, "metadata.annotations") or {}).get(CONFIG_ANNOTATION)
    if text is None:
        return  # `entrypoint` tells whether it is missing
    where = f"{HEAD}.template.metadata.annotations.{CONFIG_ANNOTATION}"
    try:
        config = Config.model_validate_json(str(text))
    except ValidationError as error:
        first = error.errors(include_url=False, include_input=False)[0]
        yield where, f"{'.'.join(map(str, first['loc'])) or 'JSON'}: {first['msg']}"
        return
    least, there = config.train.worker_range[0], _most_gpus(manifest)
    if config.train.device == "gpu" and there < least:
        yield (
            GROUPS,
            f"{there} GPU(s) at most, and train.workers={least} need {least} at once; raise trainer.replicas",
        )
    for path, pod in ray_pods(manifest):
        mounted = [str(each.get("mountPath")) for each in pod["containers"][0].get("volumeMounts") or []]
        for field, uri in places(config):
            if "://" not in uri and not any(PurePosixPath(uri).is_relative_to(mount) for mount in mounted):
                yield (
                    f"{path}.containers[0].volumeMounts",
                    f"nothing is mounted where {field}={uri} lies; give s3://…",
                )


def _most_gpus(manifest: Manifest) -> int:
    return sum(
        int(group.get("maxReplicas", 0)) * int(limits_of(group["template"]["spec"]).get(GPU, 0))
        for _, group in groups_of(manifest)
    )


def ray_start(manifest: Manifest) -> Iterator[Complaint]:
    """What `ray start` is told on each node."""
    params = [(f"{HEAD}.rayStartParams", cluster_of(manifest)["headGroupSpec"].get("rayStartParams") or {})]
    params += [
        (f"{path}.rayStartParams", group.get("rayStartParams") or {}) for path, group in groups_of(manifest)
    ]
    for path, given in params:
        for name, value in given.items():
            if not isinstance(value, str):
                yield f"{path}.{name}", f"{value!r} must be text; put it in quotes"
    if params[0][1].get("num-cpus") not in ("0", 0):  # a number is complained of above
        yield f"{HEAD}.rayStartParams.num-cpus", "must be '0': tasks beside the driver may starve it"


def versions(manifest: Manifest) -> Iterator[Complaint]:
    """What KubeRay must know of Ray, and an image that is the same tomorrow."""
    version = str(cluster_of(manifest).get("rayVersion", ""))
    if not re.fullmatch(r"\d+\.\d+\.\d+", version):
        yield (
            f"{CLUSTER}.rayVersion",
            f"{version!r} is no version such as 2.60.0; token authentication needs one",
        )
    elif tuple(map(int, version.split(".")))[:2] < (2, 52):
        yield f"{CLUSTER}.rayVersion", f"{version} has no token authentication; it came with 2.52"
    for path, container, _ in containers_of(manifest):
        name, _, digest = str(container.get("image", "")).partition("@")
        tag = name.rpartition("/")[2].partition(":")[2]
        if not digest and tag in ("", "latest"):
            yield (
                f"{path}.image",
                f"{container.get('image')!r} may be another image tomorrow; give a tag or a digest",
            )


RULES: tuple[Callable[[Manifest], Iterator[Complaint]], ...] = (
    names,
    entrypoint,
    life,
    deletion,
    replicas,
    scheduling,
    the_config,
    ray_start,
    versions,
    *POD_RULES,
)

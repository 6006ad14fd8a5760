"""Each rule refuses what it is there for, and names the field."""

from __future__ import annotations

import copy
import json
from collections.abc import Callable
from typing import Any

import pytest

from augment.errors import ConfigError
from pipelines.submit.contract import Job
from pipelines.submit.kuberay import KubeRayBackend
from pipelines.submit.kuberay_config import KubeRaySettings
from pipelines.submit.rayjob import rayjob
from pipelines.submit.rayjob_rules import RULES, complaints, refuse_wrong

Manifest = dict[str, Any]
CLUSTER = "spec.rayClusterSpec"
HEAD = f"{CLUSTER}.headGroupSpec"
HEAD_POD = f"{HEAD}.template.spec"
GROUP = f"{CLUSTER}.workerGroupSpecs[0]"
POD = f"{GROUP}.template.spec"
SUBMITTER = "spec.submitterPodTemplate.spec"


def at(manifest: Any, path: str) -> Any:
    """The value at a path as complaints write it."""
    for part in filter(None, path.replace("[", ".").replace("]", "").split(".")):
        manifest = manifest[int(part)] if isinstance(manifest, list) else manifest[part]
    return manifest


def put(path: str, value: Any) -> Callable[[Manifest], None]:
    """Sets one value."""
    parent, _, name = path.rpartition(".")
    return lambda manifest: at(manifest, parent).__setitem__(name, value)


def drop(path: str) -> Callable[[Manifest], None]:
    """Removes one."""
    parent, _, name = path.rpartition(".")
    return lambda manifest: at(manifest, parent).pop(name)


def more(path: str, *items: Any) -> Callable[[Manifest], None]:
    """Lengthens a list."""
    return lambda manifest: at(manifest, path).extend(copy.deepcopy(list(items)))


def more_groups(number: int) -> Callable[[Manifest], None]:
    """So many groups more, each with a name of its own."""

    def change(manifest: Manifest) -> None:
        first = at(manifest, f"{CLUSTER}.workerGroupSpecs")[0]
        at(manifest, f"{CLUSTER}.workerGroupSpecs").extend(
            {**first, "groupName": f"g{n}"} for n in range(number)
        )

    return change


def with_source(uri: str) -> Callable[[Manifest], None]:
    """The config, with its images there."""

    def change(manifest: Manifest) -> None:
        annotations = at(manifest, f"{HEAD}.template.metadata.annotations")
        config = json.loads(annotations["augment/config"])
        config["source"]["uri"] = uri
        annotations["augment/config"] = json.dumps(config)

    return change


QUEUE, AUTOSCALE = "queue", "autoscale"
WRONG: list[tuple[str, str, Callable[[Manifest], None], str]] = [
    (QUEUE, "a name too long", put("metadata.name", "a" * 48), "metadata.name"),
    (QUEUE, "a name from a digit on", put("metadata.name", "1a"), "metadata.name"),
    (QUEUE, "a name in capitals", put("metadata.name", "Run"), "metadata.name"),
    (QUEUE, "a group named head", put(f"{GROUP}.groupName", "head"), f"{GROUP}.groupName"),
    (QUEUE, "two groups of a name", lambda m: at(m, f"{CLUSTER}.workerGroupSpecs").append(at(m, GROUP)), f"{CLUSTER}.workerGroupSpecs[1].groupName"),
    (QUEUE, "a group's name too long", put(f"{GROUP}.groupName", "g" * 64), f"{GROUP}.groupName"),
    (QUEUE, "an entrypoint for a shell", put("spec.entrypoint", "augment run; rm -rf $HOME"), "spec.entrypoint"),
    (QUEUE, "a config that is not there", drop(f"{HEAD}.template.metadata.annotations"), f"{HEAD}.template.metadata.annotations"),
    (QUEUE, "annotations too large", put(f"{HEAD}.template.metadata.annotations.note", "x" * 262_144), f"{HEAD}.template.metadata.annotations"),
    (QUEUE, "a submission without a pod", put("spec.submissionMode", "HTTPMode"), "spec.submissionMode"),
    (QUEUE, "a mode that there is not", put("spec.submissionMode", "K8SJobMode"), "spec.submissionMode"),
    (QUEUE, "somebody else's cluster", put("spec.clusterSelector", {"ray.io/cluster": "a"}), "spec.clusterSelector"),
    (QUEUE, "no deadline", drop("spec.activeDeadlineSeconds"), "spec.activeDeadlineSeconds"),
    (QUEUE, "a deadline in the past", put("spec.activeDeadlineSeconds", 0), "spec.activeDeadlineSeconds"),
    (QUEUE, "fewer retries than none", put("spec.backoffLimit", -1), "spec.backoffLimit"),
    (QUEUE, "ttl without shutdown", put("spec.shutdownAfterJobFinishes", False), "spec.ttlSecondsAfterFinished"),
    (QUEUE, "a cluster that stays", lambda m: m["spec"].update(shutdownAfterJobFinishes=False, ttlSecondsAfterFinished=0), "spec.shutdownAfterJobFinishes"),
    (QUEUE, "deletion rules with shutdown", put("spec.deletionStrategy", {"deletionRules": [{"condition": {"jobStatus": "FAILED"}, "policy": "DeleteSelf"}]}), "spec.deletionStrategy.deletionRules"),
    (QUEUE, "one legacy policy", put("spec.deletionStrategy", {"onSuccess": {"policy": "DeleteSelf"}}), "spec.deletionStrategy.onSuccess"),
    (QUEUE, "two conditions", put("spec.deletionStrategy", {"deletionRules": [{"condition": {"jobStatus": "FAILED", "jobDeploymentStatus": "Failed"}, "policy": "DeleteSelf"}]}), "spec.deletionStrategy.deletionRules[0].condition"),
    (QUEUE, "more least than most", put(f"{GROUP}.minReplicas", 9), f"{GROUP}.minReplicas"),
    (QUEUE, "more than the most", put(f"{GROUP}.replicas", 9), f"{GROUP}.replicas"),
    (QUEUE, "a range without an autoscaler", put(f"{GROUP}.maxReplicas", 9), f"{GROUP}.maxReplicas"),
    (QUEUE, "a suspended group", put(f"{GROUP}.suspend", True), f"{GROUP}.suspend"),
    (QUEUE, "a queue with an autoscaler", put(f"{CLUSTER}.enableInTreeAutoscaling", True), f"{CLUSTER}.enableInTreeAutoscaling"),
    (QUEUE, "eight groups in a queue", more_groups(7), f"{CLUSTER}.workerGroupSpecs"),
    (QUEUE, "an idle timeout without an autoscaler", put(f"{GROUP}.idleTimeoutSeconds", 60), f"{GROUP}.idleTimeoutSeconds"),
    (QUEUE, "a priority without an autoscaler", put(f"{GROUP}.priority", 1), f"{GROUP}.priority"),
    (QUEUE, "options without an autoscaler", put(f"{CLUSTER}.autoscalerOptions", {"version": "v2"}), f"{CLUSTER}.autoscalerOptions"),
    (AUTOSCALE, "the old autoscaler", put(f"{CLUSTER}.autoscalerOptions.version", "v1"), f"{CLUSTER}.autoscalerOptions.version"),
    (AUTOSCALE, "workers that are restarted", put(f"{POD}.restartPolicy", "Always"), f"{POD}.restartPolicy"),
    (AUTOSCALE, "a head that is restarted", put(f"{HEAD_POD}.restartPolicy", "OnFailure"), f"{HEAD_POD}.restartPolicy"),
    (QUEUE, "fewer GPUs than training needs", lambda m: at(m, GROUP).update(minReplicas=2, replicas=2, maxReplicas=2), f"{CLUSTER}.workerGroupSpecs"),
    (QUEUE, "a config that is none", put(f"{HEAD}.template.metadata.annotations.augment/config", '{"seed": "x"}'), f"{HEAD}.template.metadata.annotations.augment/config"),
    (QUEUE, "a path that no pod has", with_source("/data/images"), f"{HEAD_POD}.containers[0].volumeMounts"),
    (QUEUE, "a number for ray start", put(f"{GROUP}.rayStartParams", {"num-cpus": 4}), f"{GROUP}.rayStartParams.num-cpus"),
    (QUEUE, "tasks on the head", put(f"{HEAD}.rayStartParams", {"num-cpus": "4"}), f"{HEAD}.rayStartParams.num-cpus"),
    (QUEUE, "no version of Ray", drop(f"{CLUSTER}.rayVersion"), f"{CLUSTER}.rayVersion"),
    (QUEUE, "a Ray without tokens", put(f"{CLUSTER}.rayVersion", "2.51.1"), f"{CLUSTER}.rayVersion"),
    (QUEUE, "an image of any time", put(f"{POD}.containers", [{"name": "a", "image": "r:5000/augment:latest"}]), f"{POD}.containers[0].image"),
    (QUEUE, "an image without a tag", put(f"{POD}.containers", [{"name": "a", "image": "r:5000/augment"}]), f"{POD}.containers[0].image"),
    (QUEUE, "a mount without its volume", more(f"{POD}.containers[0].volumeMounts", {"name": "data", "mountPath": "/data"}), f"{POD}.containers[0].volumeMounts[3].name"),
    (QUEUE, "two mounts at a place", more(f"{POD}.containers[0].volumeMounts", {"name": "home", "mountPath": "/tmp"}), f"{POD}.containers[0].volumeMounts[3].mountPath"),
    (QUEUE, "no place for sessions", put(f"{SUBMITTER}.containers", [{"name": "a", "image": "a:1", "securityContext": {"readOnlyRootFilesystem": True}}]), f"{SUBMITTER}.containers[0].volumeMounts"),
    (QUEUE, "the node's disk", more(f"{POD}.volumes", {"name": "disk", "hostPath": {"path": "/"}}), f"{POD}.volumes[3].hostPath"),
    (QUEUE, "root", put(f"{POD}.containers[0].securityContext.runAsUser", 0), f"{POD}.containers[0].securityContext.runAsNonRoot"),
    (QUEUE, "escalation", drop(f"{POD}.containers[0].securityContext.allowPrivilegeEscalation"), f"{POD}.containers[0].securityContext.allowPrivilegeEscalation"),
    (QUEUE, "capabilities", drop(f"{HEAD_POD}.containers[0].securityContext.capabilities"), f"{HEAD_POD}.containers[0].securityContext.capabilities.drop"),
    (QUEUE, "a root that is written to", put(f"{SUBMITTER}.containers[0].securityContext.readOnlyRootFilesystem", False), f"{SUBMITTER}.containers[0].securityContext.readOnlyRootFilesystem"),
    (QUEUE, "no seccomp", lambda m: (at(m, POD).pop("securityContext"), at(m, f"{POD}.containers[0].securityContext").pop("seccompProfile")), f"{POD}.containers[0].securityContext.seccompProfile"),
    (QUEUE, "the node's network", put(f"{HEAD_POD}.hostNetwork", True), f"{HEAD_POD}.hostNetwork"),
    (QUEUE, "everybody's account", drop(f"{POD}.serviceAccountName"), f"{POD}.serviceAccountName"),
    (QUEUE, "one account for all", put(f"{HEAD_POD}.serviceAccountName", "augment-worker"), f"{HEAD_POD}.serviceAccountName"),
    (QUEUE, "a static key", put(f"{POD}.containers[0].env", [{"name": "AWS_SECRET_ACCESS_KEY", "value": "hunter2"}]), f"{POD}.containers[0].env[0].name"),
    (QUEUE, "a key of a store", put(f"{POD}.containers[0].env", [{"name": "AZURE_STORAGE_KEY", "value": "hunter2"}]), f"{POD}.containers[0].env[0].name"),
    (QUEUE, "a password in a proxy", put(f"{POD}.containers[0].env", [{"name": "HTTPS_PROXY", "value": "http://a:hunter2@b"}]), f"{POD}.containers[0].env[0].value"),
    (QUEUE, "no token", drop(f"{CLUSTER}.authOptions"), f"{CLUSTER}.authOptions.mode"),
    (QUEUE, "a dashboard for the world", put(f"{HEAD}.serviceType", "LoadBalancer"), f"{HEAD}.serviceType"),
    (QUEUE, "an ingress", put(f"{HEAD}.enableIngress", True), f"{HEAD}.enableIngress"),
    (QUEUE, "no memory limit", drop(f"{POD}.containers[0].resources.limits.memory"), f"{POD}.containers[0].resources.limits.memory"),
    (QUEUE, "no time to leave", put(f"{POD}.terminationGracePeriodSeconds", 30), f"{POD}.terminationGracePeriodSeconds"),
    (QUEUE, "no submitter of ours", drop("spec.submitterPodTemplate"), "spec.submitterPodTemplate.spec.containers"),
    (QUEUE, "a worker without a container", put(f"{POD}.containers", []), f"{POD}.containers"),
    (QUEUE, "no workers", put(f"{CLUSTER}.workerGroupSpecs", []), f"{CLUSTER}.workerGroupSpecs"),
    (QUEUE, "another kind", put("kind", "RayCluster"), "kind"),
]  # fmt: skip


@pytest.fixture
def manifests(job: Job) -> dict[str, Manifest]:
    """A right one of each profile, that of the queue with its label."""
    settings = {
        QUEUE: KubeRaySettings(image="r.example.com/augment:1.0", queue="gpus"),
        AUTOSCALE: KubeRaySettings(image="r.example.com/augment:1.0", profile="autoscale"),
    }
    return {profile: copy.deepcopy(rayjob(job, each)) for profile, each in settings.items()}


@pytest.mark.parametrize(("profile", "wrong", "change", "field"), WRONG, ids=[case[1] for case in WRONG])
def test_what_is_wrong_is_refused_by_its_field(
    manifests: dict[str, Manifest], profile: str, wrong: str, change: Callable[[Manifest], None], field: str
) -> None:
    manifest = manifests[profile]
    assert complaints(manifest) == []

    change(manifest)

    found = complaints(manifest)
    assert field in [path for path, _ in found], found
    with pytest.raises(ConfigError) as caught:
        refuse_wrong(manifest)
    assert f"{field}: " in str(caught.value)
    assert "hunter2" not in str(caught.value)


def test_every_rule_is_broken_by_some_case(manifests: dict[str, Manifest]) -> None:
    broken = set()
    for profile, _, change, _ in WRONG:
        manifest = copy.deepcopy(manifests[profile])
        change(manifest)
        try:
            broken |= {rule.__name__ for rule in RULES if list(rule(manifest))}
        except (KeyError, IndexError):
            continue  # of a shape that complaints() refuses first

    assert broken == {rule.__name__ for rule in RULES}


@pytest.mark.parametrize(
    "wrong",
    [
        {},
        {"apiVersion": "ray.io/v1", "kind": "RayJob"},
        {"kind": "RayJob", "apiVersion": "ray.io/v1", "spec": 3},
    ],
)
def test_what_is_no_rayjob_at_all_is_refused_without_a_traceback(wrong: Manifest) -> None:
    assert complaints(wrong)


def test_a_merge_patch_that_breaks_a_rule_is_refused_before_anything_is_sent(job: Job) -> None:
    settings = KubeRaySettings(image="a:1", merge_patch={"spec": {"rayClusterSpec": {"authOptions": None}}})

    with pytest.raises(ConfigError, match=r"spec\.rayClusterSpec\.authOptions\.mode: must be token"):
        KubeRayBackend(settings).render(job)

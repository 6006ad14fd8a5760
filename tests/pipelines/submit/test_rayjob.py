"""The RayJob that is made of a job and a cluster file: its size, its config, its profile, and the CRD's schema."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import Any

import jsonschema
import pytest
import yaml
from hypothesis import given
from hypothesis import strategies as st

from augment.config import Config, config_to_dict
from pipelines.submit.contract import Job, Submission
from pipelines.submit.kuberay import KubeRayBackend, to_yaml
from pipelines.submit.kuberay_config import KubeRaySettings
from pipelines.submit.rayjob import merged, rayjob
from pipelines.submit.rayjob_rules import complaints
from tests.pipelines.submit.conftest import GPU_CONFIG

IMAGE = "r.example.com/augment:1.0"


def settings(**fields: Any) -> KubeRaySettings:
    """A cluster file with these fields."""
    return KubeRaySettings.model_validate_json(json.dumps({"image": IMAGE, **fields}))


def a_job(**sections: dict[str, Any]) -> Job:
    """The job of GPU_CONFIG with these sections' fields changed."""
    config = {
        name: {**value, **sections.get(name, {})} if isinstance(value, dict) else value
        for name, value in GPU_CONFIG.items()
    }
    submission = Submission(
        run_id="defects-1",
        config=config_to_dict(Config.model_validate_json(json.dumps(config))),
        code_version="0.1.0",
    )
    return Job(name="defects-1", submission=submission)


def groups(manifest: dict[str, Any]) -> dict[str, tuple[int, int, int, int]]:
    """Of each group: GPUs of a pod, and least, now and most pods."""
    return {
        group["groupName"]: (
            int(group["template"]["spec"]["containers"][0]["resources"]["limits"].get("nvidia.com/gpu", 0)),
            group["minReplicas"],
            group["replicas"],
            group["maxReplicas"],
        )
        for group in manifest["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    }


@pytest.mark.parametrize(
    ("sections", "fields", "expected"),
    [
        ({}, {}, {"trainer": (1, 4, 4, 4)}),
        ({}, {"trainer": {"gpus": 2}}, {"trainer": (2, 2, 2, 2)}),
        ({"train": {"workers": 3}}, {"trainer": {"gpus": 2}}, {"trainer": (2, 2, 2, 2)}),
        ({"train": {"workers": [1, 4]}}, {}, {"trainer": (1, 4, 4, 4)}),
        ({"train": {"device": "cpu"}, "generate": {"device": "cpu"}}, {}, {"trainer": (0, 4, 4, 4)}),
        ({}, {"profile": "autoscale"}, {"trainer": (1, 0, 0, 4), "generate-spot": (1, 0, 0, 2)}),
        ({"generate": {"actors": 4}}, {"profile": "autoscale"}, {"trainer": (1, 0, 0, 4)}),
        ({"generate": {"actors": None}}, {"profile": "autoscale"}, {"trainer": (1, 0, 0, 4)}),
        ({}, {"generate": {"replicas": 8}}, {"trainer": (1, 4, 4, 4), "generate-spot": (1, 8, 8, 8)}),
        ({}, {"cpu": {"replicas": 2}}, {"trainer": (1, 4, 4, 4), "cpu": (0, 2, 2, 2)}),
    ],
)
def test_pods_are_as_many_as_the_config_asks_for(
    sections: dict[str, dict[str, Any]],
    fields: dict[str, Any],
    expected: dict[str, tuple[int, int, int, int]],
) -> None:
    assert groups(rayjob(a_job(**sections), settings(**fields))) == expected


def test_the_driver_reads_the_config_as_submitted(job: Job, tmp_path: Path) -> None:
    manifest = rayjob(job, settings())

    template = manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]
    (volume,) = [each for each in template["spec"]["volumes"] if each["name"] == "config"]
    (mount,) = [
        each for each in template["spec"]["containers"][0]["volumeMounts"] if each["name"] == "config"
    ]
    (item,) = volume["downwardAPI"]["items"]
    path = f"{mount['mountPath']}/{item['path']}"
    assert manifest["spec"]["entrypoint"] == f"augment run -c {path} --progress log"
    assert item["fieldRef"]["fieldPath"] == "metadata.annotations['augment/config']"
    text = template["metadata"]["annotations"]["augment/config"]
    assert json.loads(text) == job.submission.config
    assert Config.model_validate_json(text) == Config.model_validate_json(job.submission.config_json)


def test_the_queue_profile_has_kueue_s_label_and_no_autoscaler(job: Job) -> None:
    manifest = rayjob(job, settings(queue="gpus"))

    assert manifest["metadata"]["labels"]["kueue.x-k8s.io/queue-name"] == "gpus"
    assert manifest["spec"]["rayClusterSpec"]["enableInTreeAutoscaling"] is False
    assert "autoscalerOptions" not in manifest["spec"]["rayClusterSpec"]


def test_under_the_autoscale_profile_the_autoscaler_alone_may_speak_to_kubernetes(job: Job) -> None:
    cluster = rayjob(job, settings(profile="autoscale"))["spec"]["rayClusterSpec"]

    head = cluster["headGroupSpec"]["template"]["spec"]
    assert cluster["autoscalerOptions"]["version"] == "v2"
    assert head["automountServiceAccountToken"] is False
    mounted = {mount["name"] for container in head["containers"] for mount in container["volumeMounts"]}
    assert "kube-api-access" not in mounted
    assert [mount["name"] for mount in cluster["autoscalerOptions"]["volumeMounts"]] == ["kube-api-access"]
    assert "kube-api-access" in {volume["name"] for volume in head["volumes"]}


@pytest.mark.parametrize("spot", ["eks", "gke", "aks", "karpenter"])
def test_spot_pods_go_to_spot_nodes(job: Job, spot: str) -> None:
    manifest = rayjob(job, settings(profile="autoscale", generate={"spot": spot}))

    (trainer, generate) = manifest["spec"]["rayClusterSpec"]["workerGroupSpecs"]
    assert len(generate["template"]["spec"]["nodeSelector"]) == 1
    assert "nodeSelector" not in trainer["template"]["spec"]


@pytest.mark.parametrize(
    ("target", "patch", "result"),
    [  # RFC 7386, appendix A
        ({"a": "b"}, {"a": "c"}, {"a": "c"}),
        ({"a": "b"}, {"b": "c"}, {"a": "b", "b": "c"}),
        ({"a": "b"}, {"a": None}, {}),
        ({"a": "b", "b": "c"}, {"a": None}, {"b": "c"}),
        ({"a": ["b"]}, {"a": "c"}, {"a": "c"}),
        ({"a": "c"}, {"a": ["b"]}, {"a": ["b"]}),
        ({"a": {"b": "c"}}, {"a": {"b": "d", "c": None}}, {"a": {"b": "d"}}),
        ({"a": [{"b": "c"}]}, {"a": [1]}, {"a": [1]}),
        (["a", "b"], ["c", "d"], ["c", "d"]),
        ({"a": "b"}, ["c"], ["c"]),
        ({"a": "foo"}, "bar", "bar"),
        ({"e": None}, {"a": 1}, {"e": None, "a": 1}),
        ([1, 2], {"a": "b", "c": None}, {"a": "b"}),
        ({}, {"a": {"bb": {"ccc": None}}}, {"a": {"bb": {}}}),
    ],
)
def test_a_merge_patch_does_as_the_rfc_s_examples(target: Any, patch: Any, result: Any) -> None:
    assert merged(target, patch) == result


def test_what_no_field_is_for_is_merged(job: Job) -> None:
    patch = {"metadata": {"labels": {"team": "vision"}}, "spec": {"ttlSecondsAfterFinished": 60}}

    manifest = rayjob(job, settings(merge_patch=patch))

    assert manifest["metadata"]["labels"]["team"] == "vision"
    assert manifest["metadata"]["labels"]["app.kubernetes.io/name"] == "augment"
    assert manifest["spec"]["ttlSecondsAfterFinished"] == 60


def test_a_value_that_kubernetes_would_expand_stays_as_it_is(job: Job) -> None:
    manifest = rayjob(job, settings(env={"PATTERN": "a$(HOME)b"}))

    head = manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]["spec"]["containers"][0]
    assert {"name": "PATTERN", "value": "a$$(HOME)b"} in head["env"]


def test_the_yaml_is_the_manifest(job: Job) -> None:
    manifest = rayjob(job, settings(profile="autoscale"))

    text = to_yaml(manifest)

    assert yaml.safe_load(text) == manifest
    assert "&id" not in text
    assert "augment/config: |" in text
    assert KubeRayBackend(settings(profile="autoscale")).render(job) == text


ANY_SETTINGS = st.fixed_dictionaries(
    {"profile": st.sampled_from(["queue", "autoscale"])},
    optional={
        "trainer": st.fixed_dictionaries({"gpus": st.sampled_from([1, 2, 4, 8])}),
        "generate": st.fixed_dictionaries(
            {
                "replicas": st.integers(0, 50),
                "spot": st.sampled_from(["none", "eks", "gke", "aks", "karpenter"]),
            }
        ),
        "cpu": st.fixed_dictionaries({"replicas": st.integers(0, 50)}),
        "head": st.fixed_dictionaries({"memory_gb": st.integers(2, 64)}),
        "env": st.dictionaries(st.sampled_from(["A", "B_C"]), st.text(max_size=5), max_size=2),
        "priority_class": st.just("batch"),
        "image_pull_secrets": st.just(["registry"]),
        "retries": st.integers(0, 10),
        "keep_s": st.integers(0, 9999),
    },
)


@given(fields=ANY_SETTINGS, workers=st.integers(1, 32), actors=st.none() | st.integers(1, 64))
def test_whatever_the_fields_say_no_rule_is_broken(
    fields: dict[str, Any], workers: int, actors: int | None
) -> None:
    job = a_job(train={"workers": workers}, generate={"actors": actors})

    assert complaints(rayjob(job, settings(**fields))) == []


@pytest.mark.parametrize("profile", ["queue", "autoscale"])
def test_the_manifest_is_valid_by_the_schema_of_kuberay(job: Job, profile: str) -> None:
    path = os.environ.get("AUGMENT_RAYJOB_SCHEMA")
    if path is None:
        pytest.skip("AUGMENT_RAYJOB_SCHEMA names no copy of KubeRay's RayJob schema")
    fields = {"cpu": {"replicas": 2}, "generate": {"replicas": 3, "spot": "gke"}, "env": {"A": "b"}}
    manifest = rayjob(job, settings(profile=profile, priority_class="batch", **fields))

    jsonschema.validate(manifest, json.loads(Path(path).read_text()))


@pytest.mark.parametrize("profile", ["queue", "autoscale"])
def test_its_pods_are_valid_by_the_schema_of_kubernetes(job: Job, profile: str) -> None:
    kubernetes_validate = pytest.importorskip(
        "kubernetes_validate", reason="kubernetes-validate is not installed"
    )
    manifest = rayjob(job, settings(profile=profile))

    cluster = manifest["spec"]["rayClusterSpec"]
    templates = [
        cluster["headGroupSpec"]["template"],
        *(group["template"] for group in cluster["workerGroupSpecs"]),
        manifest["spec"]["submitterPodTemplate"],
    ]
    for template in templates:
        metadata = {"name": "pod", **template["metadata"]}
        pod = {"apiVersion": "v1", "kind": "Pod", "metadata": metadata, "spec": template["spec"]}
        kubernetes_validate.validate(pod, "1.31", strict=True)

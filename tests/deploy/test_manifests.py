"""What Kubernetes is given: valid, least privileged, without a secret, and refused where it is not."""

from __future__ import annotations

import re
import subprocess
from pathlib import Path
from typing import Any

import kubernetes_validate
import pytest

from tests.deploy.files import CUSTOM_KINDS, DEPLOY, KUBERAY, ROOT, documents, manifests, tool

MANIFESTS = [pytest.param(found, id=f"{file}:{found['kind']}") for file, found in manifests()]
BUILT_IN = [
    pytest.param(found, id=f"{file}:{found['kind']}")
    for file, found in manifests()
    if found["kind"] not in CUSTOM_KINDS
]

ASKED = {  # of Kubernetes, by each call of its client that the backend makes
    "create_namespaced_custom_object": ("rayjobs", "create"),
    "get_namespaced_custom_object": ("rayjobs", "get"),
    "delete_namespaced_custom_object": ("rayjobs", "delete"),
    "list_namespaced_pod": ("pods", "list"),
    "read_namespaced_pod_log": ("pods/log", "get"),
}

STATIC_CREDENTIALS = (
    r"\b(AKIA|ASIA)[A-Z0-9]{16}\b",
    r"-----BEGIN [A-Z ]*PRIVATE KEY-----",
    r"(?i)\b(aws_)?secret_access_key\b\s*[:=]",
    r"(?i)\baws_access_key_id\b\s*[:=]",
    r"(?i)\b(password|passwd|api_?key|client_secret)\b['\"]?\s*[:=]\s*['\"]?[^\s'\"$<{]",
    r"(?i)\b(auth_)?token\b['\"]?\s*[:=]\s*['\"]?[0-9a-zA-Z_-]{16,}",
    r"(?m)^kind: Secret$",
    r"https?://[^\s/@:]+:[^\s/@]+@",
)


def pod_specs() -> list[tuple[str, dict[str, Any]]]:
    """Every pod that our files start, by where it is written."""
    found = []
    for file, manifest in manifests():
        spec = manifest.get("spec", {})
        if manifest["kind"] == "CronJob":
            found.append((file, spec["jobTemplate"]["spec"]["template"]["spec"]))
        elif manifest["kind"] == "WorkflowTemplate":
            for template in spec["templates"]:
                found.append((file, spec | template | {"containers": [template["container"]]}))
        elif manifest["kind"] == "RayJob":
            cluster = spec["rayClusterSpec"]
            found.append((f"{file} head", cluster["headGroupSpec"]["template"]["spec"]))
            found += [
                (f"{file} {g['groupName']}", g["template"]["spec"]) for g in cluster["workerGroupSpecs"]
            ]
            found.append((f"{file} submitter", spec["submitterPodTemplate"]["spec"]))
    return found


POLICIES = documents(KUBERAY / "namespace" / "network-policies.yaml")
PODS = [pytest.param(spec, id=where) for where, spec in pod_specs()]


@pytest.mark.parametrize("manifest", BUILT_IN)
def test_kubernetes_own_schema_takes_every_object_strictly(manifest: dict[str, Any]) -> None:
    kubernetes_validate.validate(manifest, kubernetes_validate.latest_version(), strict=True)


def test_the_schema_refuses_a_field_that_is_spelt_wrong() -> None:
    (cron_job,) = documents(KUBERAY / "schedule" / "cronjob.yaml")
    cron_job["spec"]["concurencyPolicy"] = "Forbid"
    with pytest.raises(kubernetes_validate.ValidationError, match="concurencyPolicy"):
        kubernetes_validate.validate(cron_job, kubernetes_validate.latest_version(), strict=True)


def test_yaml_is_clean_by_yamllint() -> None:
    config = DEPLOY / ".yamllint.yaml"
    ran = subprocess.run(
        [tool("yamllint"), "-c", config, "--strict", DEPLOY], capture_output=True, text=True, check=False
    )
    assert ran.returncode == 0, ran.stdout


@pytest.mark.parametrize("spec", PODS)
def test_every_pod_passes_the_restricted_pod_security_standard_and_has_a_read_only_root(
    spec: dict[str, Any],
) -> None:
    assert spec["securityContext"]["runAsNonRoot"] is True
    assert spec["securityContext"]["runAsUser"] == 1000
    assert spec["securityContext"]["seccompProfile"] == {"type": "RuntimeDefault"}
    assert not {"hostNetwork", "hostPID", "hostIPC"} & spec.keys()
    for container in spec["containers"]:
        context = container["securityContext"]
        assert context["allowPrivilegeEscalation"] is False
        assert context["readOnlyRootFilesystem"] is True
        assert context["capabilities"] == {"drop": ["ALL"]}
        assert "memory" in container["resources"]["limits"]


@pytest.mark.parametrize("spec", PODS)
def test_every_mount_has_its_volume_and_no_volume_is_of_the_host(spec: dict[str, Any]) -> None:
    volumes = {volume["name"]: volume for volume in spec.get("volumes", ())}
    mounted = {mount["name"] for container in spec["containers"] for mount in container["volumeMounts"]}
    assert mounted == volumes.keys()
    assert not any("hostPath" in volume for volume in volumes.values())


@pytest.mark.parametrize("spec", PODS)
def test_a_read_only_root_has_room_where_ray_and_python_write(spec: dict[str, Any]) -> None:
    for container in spec["containers"]:
        assert {"/tmp", "/home/ray"} <= {mount["mountPath"] for mount in container["volumeMounts"]}


@pytest.mark.parametrize("spec", PODS)
def test_every_pod_runs_as_a_service_account_that_is_written_out(spec: dict[str, Any]) -> None:
    accounts = {
        found["metadata"]["name"]: found
        for found in documents(KUBERAY / "namespace" / "service-accounts.yaml")
    }
    if "serviceAccountName" not in spec:
        assert spec["automountServiceAccountToken"] is False, "nobody in particular, with no token"
        return
    assert spec["serviceAccountName"] in accounts
    annotations = accounts[spec["serviceAccountName"]]["metadata"]["annotations"]
    assert {"eks.amazonaws.com/role-arn", "iam.gke.io/gcp-service-account"} == annotations.keys()


def test_the_submitter_may_ask_for_nothing_but_its_jobs_and_their_logs() -> None:
    role, binding = documents(KUBERAY / "namespace" / "rbac.yaml")
    assert (role["kind"], binding["kind"]) == ("Role", "RoleBinding"), "in one namespace alone"
    assert binding["roleRef"]["name"] == role["metadata"]["name"]
    granted = {(what, verb) for rule in role["rules"] for what in rule["resources"] for verb in rule["verbs"]}
    source = (ROOT / "pipelines" / "submit" / "kuberay.py").read_text()
    called = set(
        re.findall(r"\.((?:create|get|list|watch|patch|replace|delete|read)_namespaced_\w+)\(", source)
    )
    assert granted == {ASKED[call] for call in called}


def test_only_the_submitter_speaks_to_kubernetes() -> None:
    accounts = documents(KUBERAY / "namespace" / "service-accounts.yaml")
    mounts = {
        found["metadata"]["name"]: found.get("automountServiceAccountToken", True) for found in accounts
    }
    assert mounts == {"augment-head": False, "augment-worker": False, "augment-submitter": True}


def test_a_tick_never_overlaps_the_last_and_is_one_run_however_often_its_pod_starts() -> None:
    (cron_job,) = documents(KUBERAY / "schedule" / "cronjob.yaml")
    assert cron_job["spec"]["concurrencyPolicy"] == "Forbid"
    pod = cron_job["spec"]["jobTemplate"]["spec"]["template"]["spec"]
    (container,) = pod["containers"]
    assert pod["restartPolicy"] == "Never", "podFailurePolicy asks for it"
    assert "--run-id=$(TICK)" in container["args"]
    (tick,) = container["env"]
    assert "job-name" in tick["valueFrom"]["fieldRef"]["fieldPath"]


def test_the_cron_job_tries_again_after_exit_codes_5_and_75_alone() -> None:
    from augment import errors

    (cron_job,) = documents(KUBERAY / "schedule" / "cronjob.yaml")
    (rule, _) = cron_job["spec"]["jobTemplate"]["spec"]["podFailurePolicy"]["rules"]
    codes = {getattr(errors, name).exit_code for name in errors.__all__}
    assert codes - set(rule["onExitCodes"]["values"]) == {5, 75}


def test_the_dashboard_is_open_to_kuberay_and_the_run_itself_alone() -> None:
    by_name = {found["metadata"]["name"]: found["spec"] for found in POLICIES}
    denied = by_name["augment-nothing-by-default"]
    assert denied["policyTypes"] == ["Ingress", "Egress"]
    assert "ingress" not in denied
    assert "egress" not in denied
    reached = {
        port["port"]: name
        for name, spec in by_name.items()
        for rule in spec.get("ingress", ())
        for port in rule.get("ports", ())
    }
    assert reached == {8265: "augment-from-kuberay", 8080: "augment-from-prometheus"}
    assert not any(found["kind"] in ("Ingress", "Service") for _, found in manifests())


@pytest.mark.parametrize("name", ["augment-heads", *(each["metadata"]["name"] for each in POLICIES)])
def test_what_protects_a_run_selects_the_pods_that_a_run_has(name: str) -> None:
    (job,) = documents(KUBERAY / "base" / "rayjob.yaml")
    cluster = job["spec"]["rayClusterSpec"]
    ray = {"ray.io/is-ray-node": "yes"}  # which KubeRay adds, as it does the node's type
    labels = [
        cluster["headGroupSpec"]["template"]["metadata"]["labels"] | ray | {"ray.io/node-type": "head"},
        *(
            group["template"]["metadata"]["labels"] | ray | {"ray.io/node-type": "worker"}
            for group in cluster["workerGroupSpecs"]
        ),
        job["spec"]["submitterPodTemplate"]["metadata"]["labels"],
    ]
    budget = documents(KUBERAY / "namespace" / "disruption-budget.yaml")
    (found,) = (each for each in [*POLICIES, *budget] if each["metadata"]["name"] == name)
    selector = (found["spec"].get("podSelector") or found["spec"]["selector"])["matchLabels"]
    chosen = [each["app.kubernetes.io/name"] for each in labels if selector.items() <= each.items()]
    assert len(chosen) == {1: len(labels)}.get(len(selector), len(chosen)) > 0


def test_no_policy_lets_a_pod_ask_the_instances_metadata_service() -> None:
    for policy in POLICIES:
        for rule in policy["spec"].get("egress", ()):
            for peer in rule["to"]:
                block = peer.get("ipBlock")
                if block is not None:
                    assert block["cidr"] != "169.254.169.254/32"
                    assert block["cidr"] != "0.0.0.0/0" or block["except"] == ["169.254.169.254/32"]


def test_no_file_of_deploy_or_configs_holds_a_static_credential() -> None:
    for path in [*DEPLOY.rglob("*"), *(ROOT / "configs").rglob("*.yaml")]:
        if path.is_file() and path.parent.name != "locks":
            for pattern in STATIC_CREDENTIALS:
                found = re.search(pattern, path.read_text())
                assert found is None, f"{path.relative_to(ROOT)}: {found}"


@pytest.mark.parametrize(
    "leak",
    [
        "aws_access_key_id = AKIAIOSFODNN7EXAMPLE",  # AWS's own example
        "AWS_SECRET_ACCESS_KEY: abc",
        "-----BEGIN RSA PRIVATE KEY-----",
        "password: hunter2",
        "token: 0123456789abcdef0123",
        "kind: Secret",
        "https://user:pass@host/",
    ],
)
def test_that_search_would_find_a_credential(leak: str) -> None:
    assert any(re.search(pattern, leak) for pattern in STATIC_CREDENTIALS)


def test_every_file_of_deploy_is_told_of_in_its_readme() -> None:
    readme = (DEPLOY / "README.md").read_text()
    for path in sorted(DEPLOY.rglob("*")):
        relative = path.relative_to(DEPLOY)
        if path.is_file() and path.name != "README.md" and not path.name.startswith("."):
            told = [str(relative), *(f"{parent}/" for parent in relative.parents if parent != Path("."))]
            assert any(name in readme for name in told), f"{relative} is not in deploy/README.md"

"""Backend `kuberay`: a RayJob, made and watched by the official Kubernetes client.

What is made is pipelines.submit.rayjob's, and what it must keep is rayjob_rules'. Needs `ray-augment[kubernetes]`, which
is imported only when the API is asked.
"""

from __future__ import annotations

import json
import os
import re
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any

import yaml

from augment.errors import ConfigError, PartialError, RetryLaterError
from pipelines.submit.contract import Job, JobStatus, ended_with, never_started
from pipelines.submit.kuberay_config import KubeRaySettings
from pipelines.submit.rayjob import API_VERSION, CONFIG_ANNOTATION, NONCE_ANNOTATION, rayjob
from pipelines.submit.rayjob_rules import refuse_wrong
from pipelines.submit.retrying import CLOCK, Clock

if TYPE_CHECKING:
    from kubernetes.client import ApiClient

__all__ = ["KubeRayBackend", "to_yaml"]

REQUEST_TIMEOUT_S = 30.0
POLL_S = 3.0
_PLURAL = "rayjobs"
_GROUP, _VERSION = API_VERSION.split("/")

# Reasons for which KubeRay gave up before the job's command ran.
_NEVER_RAN = frozenset({"SubmissionFailed", "JobDeploymentStatusTransitionGracePeriodExceeded"})


class KubeRayBackend:
    """See Backend."""

    def __init__(self, settings: KubeRaySettings, clock: Clock = CLOCK) -> None:
        self._settings = settings
        self._clock = clock

    def submit(self, job: Job) -> None:
        """See Backend. Raises ConfigError for a manifest that breaks a rule, and where another's job has the name."""
        manifest = self._manifest(job)
        with self._api(f"create RayJob {job.name}") as api:
            from kubernetes.client import ApiException, CustomObjectsApi

            try:
                CustomObjectsApi(api).create_namespaced_custom_object(
                    _GROUP,
                    _VERSION,
                    self._settings.namespace,
                    _PLURAL,
                    manifest,
                    _request_timeout=REQUEST_TIMEOUT_S,
                )
            except ApiException as error:
                if error.status != 409:
                    raise
                there = self._get(api, job.name)
                if there is not None:
                    self._check_same(there, manifest, job.name)

    def status(self, name: str, nonce: str = "") -> JobStatus:
        """See Backend."""
        with self._api(f"get RayJob {name}") as api:
            there = self._get(api, name)
        where = f"RayJob {self._settings.namespace}/{name}"
        if there is None or (nonce and _nonce_of(there) != nonce):
            return JobStatus(state="absent", where=where)
        return _status_of(there.get("status") or {}, where)

    def logs(self, name: str, nonce: str = "", *, follow: bool) -> Iterator[str]:
        """See Backend: the log of the submitter's pod, which follows the driver's."""
        alive = True
        while (pod := self._submitter_pod(name)) is None and follow and alive:
            alive = self.status(name, nonce).alive
            self._clock.sleep(POLL_S)
        if pod is None or (nonce and self.status(name, nonce).state == "absent"):  # another submission's pod
            return
        with self._api(f"read the log of pod {pod}") as api:
            from kubernetes.client import CoreV1Api

            answer = CoreV1Api(api).read_namespaced_pod_log(
                pod, self._settings.namespace, follow=follow, _preload_content=False
            )
            try:
                for piece in answer.stream(amt=None, decode_content=True):
                    yield piece.decode("utf-8", "replace")
            finally:
                answer.release_conn()

    def cancel(self, name: str, nonce: str = "") -> None:
        """See Backend. The RayJob is deleted, and its pods are given their grace."""
        if nonce and self.status(name, nonce).state == "absent":  # what has the name is another submission's
            return
        with self._api(f"delete RayJob {name}") as api:
            from kubernetes.client import ApiException, CustomObjectsApi

            try:
                CustomObjectsApi(api).delete_namespaced_custom_object(
                    _GROUP, _VERSION, self._settings.namespace, _PLURAL, name,
                    propagation_policy="Foreground", _request_timeout=REQUEST_TIMEOUT_S,
                )  # fmt: skip
            except ApiException as error:
                if error.status != 404:
                    raise

    def render(self, job: Job) -> str:
        """See Backend: the RayJob as YAML. Raises ConfigError for one that breaks a rule."""
        return to_yaml(self._manifest(job))

    def _manifest(self, job: Job) -> dict[str, Any]:
        manifest = rayjob(job, self._settings)
        refuse_wrong(manifest)
        return manifest

    def _get(self, api: ApiClient, name: str) -> dict[str, Any] | None:
        from kubernetes.client import ApiException, CustomObjectsApi

        try:
            found: dict[str, Any] = CustomObjectsApi(api).get_namespaced_custom_object(
                _GROUP, _VERSION, self._settings.namespace, _PLURAL, name, _request_timeout=REQUEST_TIMEOUT_S
            )
        except ApiException as error:
            if error.status == 404 and not _is_missing_kind(error):
                return None
            raise
        return found

    def _check_same(self, there: dict[str, Any], wanted: dict[str, Any], name: str) -> None:
        if _config_of(there) != _config_of(wanted):
            raise ConfigError(
                f"namespace {self._settings.namespace} has a RayJob {name} already, with another config; give another "
                "--run-id"
            )
        if _nonce_of(there) != _nonce_of(wanted):
            raise ConfigError(
                f"namespace {self._settings.namespace} has a RayJob {name} already, of another submission; give another "
                f"--run-id, or, once it has ended, `kubectl delete rayjob {name}`"
            )

    def _submitter_pod(self, name: str) -> str | None:
        """The newest pod of the Kubernetes Job that KubeRay makes under the RayJob's name."""
        with self._api(f"list pods of RayJob {name}") as api:
            from kubernetes.client import CoreV1Api

            pods = CoreV1Api(api).list_namespaced_pod(
                self._settings.namespace,
                label_selector=f"job-name={name}",
                _request_timeout=REQUEST_TIMEOUT_S,
            )
        begun = [pod for pod in pods.items if pod.status.phase != "Pending"]
        newest = max(begun, key=lambda pod: pod.metadata.creation_timestamp, default=None)
        return newest.metadata.name if newest else None

    @contextmanager
    def _api(self, doing: str) -> Iterator[ApiClient]:
        """A client; while it is used, whatever the API answers becomes ours."""
        try:
            import urllib3
            from kubernetes import client, config
        except ImportError as error:
            raise ConfigError(
                "--backend kuberay needs the Kubernetes client: pip install 'ray-augment[kubernetes]'"
            ) from error
        settings = client.Configuration()
        try:
            if self._settings.kubeconfig is None and self._settings.context is None and _in_a_pod():
                config.load_incluster_config(client_configuration=settings)
            else:
                config.load_kube_config(
                    config_file=self._settings.kubeconfig,
                    context=self._settings.context,
                    client_configuration=settings,
                )
        except config.ConfigException as error:
            file = self._settings.kubeconfig or os.environ.get("KUBECONFIG") or "~/.kube/config"
            raise ConfigError(f"{file} configures no Kubernetes cluster: {error}") from error
        settings.retries = False  # ours have their reason in the log
        with client.ApiClient(settings) as api:
            try:
                yield api
            except client.ApiException as error:
                raise self._explained(error, doing) from error
            except urllib3.exceptions.HTTPError as error:
                raise RetryLaterError(f"{settings.host} does not answer: {error}") from error

    def _explained(self, error: Any, doing: str) -> ConfigError | RetryLaterError:
        """What the API's refusal means to a user."""
        said, where = _message(error), self._settings.namespace
        if error.status == 401:
            return ConfigError(f"Kubernetes does not know you; log in again ({said})")
        if error.status == 403:
            return ConfigError(
                f"you may not {doing} in namespace {where}: {said}; see the role in deploy/kuberay"
            )
        if error.status == 404 and _is_missing_kind(error):
            return ConfigError(f"the cluster has no {API_VERSION} RayJob: install KubeRay 1.7 or newer")
        if error.status == 404:
            return ConfigError(f"can't {doing}: {said}; is there a namespace {where}?")
        if error.status == 429 or error.status >= 500:
            return RetryLaterError(f"can't {doing} now ({error.status}: {said})")
        return ConfigError(f"Kubernetes refuses to {doing} ({error.status}): {said}")


def to_yaml(manifest: dict[str, Any]) -> str:
    """YAML in the manifest's order: nothing abbreviated by anchors, texts of several lines as they are."""
    return yaml.dump(manifest, Dumper=_Readable, sort_keys=False, allow_unicode=True, width=110)


class _Readable(yaml.SafeDumper):
    def ignore_aliases(self, data: Any) -> bool:
        return True

    def increase_indent(self, flow: bool = False, indentless: bool = False) -> None:
        super().increase_indent(flow, False)  # lists are indented, as yamllint likes them


def _text(dumper: yaml.SafeDumper, text: str) -> yaml.Node:
    return dumper.represent_scalar("tag:yaml.org,2002:str", text, style="|" if "\n" in text else None)


_Readable.add_representer(str, _text)


def _status_of(status: dict[str, Any], where: str) -> JobStatus:
    deployed, job = status.get("jobDeploymentStatus", ""), status.get("jobStatus", "")
    reason, message = status.get("reason", ""), str(status.get("message", "")).strip()
    said = ": ".join(part for part in (reason, message.partition("\n")[0]) if part)
    if deployed == "Complete" and job == "SUCCEEDED":
        return ended_with(0, where=where)
    if deployed == "ValidationFailed":
        return JobStatus(state="failed", exit_code=ConfigError.exit_code, reason=said, where=where)
    if deployed in ("Complete", "Failed"):
        # The driver's own code is in the message alone, as Ray words it.
        code = re.search(r"failed with exit code (-?\d+)", message)
        if code and reason in ("", "AppFailed"):
            return ended_with(int(code[1]), where=where)
        if reason in _NEVER_RAN:
            return never_started(said, where=where)
        ended = said or f"{deployed} {job}".strip()
        return JobStatus(state="failed", exit_code=PartialError.exit_code, reason=ended, where=where)
    if deployed == "Running" and job in ("RUNNING", ""):
        return JobStatus(state="running", where=where)
    return JobStatus(state="waiting", reason=" ".join(filter(None, (deployed, said))), where=where)


def _config_of(manifest: dict[str, Any]) -> Any:
    head = manifest["spec"]["rayClusterSpec"]["headGroupSpec"]["template"]
    return json.loads((head.get("metadata") or {}).get("annotations", {}).get(CONFIG_ANNOTATION, "null"))


def _nonce_of(manifest: dict[str, Any]) -> str:
    found: str = (manifest["metadata"].get("annotations") or {}).get(NONCE_ANNOTATION, "")
    return found


def _is_missing_kind(error: Any) -> bool:
    """Whether 404 is of the kind, not of the object: then the answer is not a Status."""
    return "page not found" in str(error.body or "")


def _message(error: Any) -> str:
    """The API's own words."""
    try:
        return str(json.loads(error.body)["message"])
    except (TypeError, ValueError, KeyError):
        return str(error.reason)


def _in_a_pod() -> bool:
    return "KUBERNETES_SERVICE_HOST" in os.environ

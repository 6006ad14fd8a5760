"""Settings of backend `kuberay`: the image, who its pods are, and how large each group of them is.

What no field is for goes into `merge_patch`. Whatever comes of it is held against pipelines.submit.rayjob_rules.
"""

from __future__ import annotations

from typing import Any, Literal

from pydantic import Field, field_validator, model_validator
from typing_extensions import Self

from augment.types import ConfigModel
from pipelines.submit.environment import CommandWords, Environment, refuse_secrets_in

__all__ = ["CpuGroup", "GenerateGroup", "HeadGroup", "KubeRaySettings", "TrainerGroup", "WorkerGroup"]

Spot = Literal["none", "eks", "gke", "aks", "karpenter"]


class HeadGroup(ConfigModel):
    """The head's pod: Ray's control plane and the driver, never a worker."""

    cpus: int = Field(default=4, ge=1)
    """CPUs of the pod."""

    memory_gb: int = Field(default=16, ge=2)
    """GiB; the driver holds about 6 KB a shard."""


class WorkerGroup(ConfigModel):
    """A group of equal worker pods."""

    cpus: int = Field(default=8, ge=1)
    """CPUs of a pod."""

    memory_gb: int = Field(default=32, ge=2)
    """GiB of a pod; 40% of it may be Ray's shared memory."""

    gpus: int | None = Field(default=None, ge=0)
    """GPUs of a pod; `null`: one where the config may use GPUs, none where it says `device: cpu`."""

    replicas: int | None = Field(default=None, ge=0)
    """Pods, or under `autoscale` the most of them; `null`: as many as the config asks for."""

    node_labels: dict[str, str] = Field(default={})
    """Only on nodes with these labels."""

    tolerations: tuple[dict[str, str], ...] = ()
    """Taints that its pods bear; that of GPU nodes needs no line."""

    priority: int = 0
    """Under `autoscale`: of groups that would do, the highest is scaled first."""


class TrainerGroup(WorkerGroup):
    """Where the GAN is trained, and where samples are made too; on nodes that stay. By default it holds all of
    `train.workers`."""


class GenerateGroup(WorkerGroup):
    """More places to generate, which may be taken away at any time: a lost shard is made again. By default none under
    `queue`, where all pods start at once, and what `generate.actors` asks for beyond the trainers under `autoscale`."""

    spot: Spot = "none"
    """Whose spot nodes it is for: sets that cloud's label and toleration."""

    priority: int = 10
    """Under `autoscale`: above the trainers', which are the dearer nodes."""


class CpuGroup(WorkerGroup):
    """CPUs to decode and to encode with, beyond those of the GPU pods; none by default."""

    gpus: int | None = Field(default=0, ge=0, le=0)
    """None: it is for CPUs."""

    replicas: int | None = Field(default=0, ge=0)
    """Pods, or under `autoscale` the most of them."""


class KubeRaySettings(ConfigModel):
    """A Kubernetes cluster with KubeRay 1.7 or newer."""

    image: str
    """The image, with a tag or a digest; deploy/Dockerfile builds it."""

    profile: Literal["queue", "autoscale"] = "queue"
    """`queue`: all pods at once, admitted by Kueue; `autoscale`: pods come and go by Ray's autoscaler."""

    queue: str | None = Field(default=None, pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    """Kueue's local queue; `null`: the cluster has no Kueue, and pods wait for nodes alone."""

    namespace: str = Field(default="augment", pattern=r"^[a-z0-9]([-a-z0-9]{0,61}[a-z0-9])?$")
    """Where the RayJob is made."""

    kubeconfig: str | None = None
    """A kubeconfig file; by default KUBECONFIG or ~/.kube/config, and within a pod its service account."""

    context: str | None = None
    """The kubeconfig's context; by default the current one."""

    ray_version: str | None = Field(default=None, pattern=r"^\d+\.\d+\.\d+$")
    """Ray's version in the image; `null`: the one installed here."""

    command: CommandWords = Field(default=("augment",), min_length=1)
    """How `augment` is called in the image."""

    head_service_account: str = "augment-head"
    """Who the head is to the cloud, by workload identity."""

    worker_service_account: str = "augment-worker"
    """Who the workers are; another than the head."""

    image_pull_secrets: tuple[str, ...] = ()
    """Names of secrets that the image is pulled with."""

    priority_class: str | None = None
    """Kubernetes' priority class of all pods."""

    deadline_s: int = Field(default=259_200, ge=60)
    """Seconds after which the job is ended, three days by default; submitted again, it goes on."""

    keep_s: int = Field(default=60, ge=0)
    """Seconds that the finished RayJob is kept, to be looked at; KubeRay keeps its pods, with their GPUs, as long."""

    retries: int = Field(default=0, ge=0, le=10)
    """How often KubeRay makes a new cluster for a job that failed, for whatever reason: for a wrong config too. Who
    waits (`submit --wait --retries`, the CronJob) tries again after exit codes 5 and 75 alone."""

    idle_s: int = Field(default=120, ge=1)
    """Under `autoscale`: seconds without work after which a pod goes."""

    grace_s: int = Field(default=90, ge=60)
    """Seconds that an evicted pod has; Ray drains it for 30."""

    env: Environment = Field(default={})
    """Environment of all pods, never a secret."""

    head: HeadGroup = HeadGroup()
    trainer: TrainerGroup = TrainerGroup()
    generate: GenerateGroup = GenerateGroup()
    cpu: CpuGroup = CpuGroup()

    merge_patch: dict[str, Any] = Field(default={})
    """Merged into the RayJob (RFC 7386: maps are merged, `null` removes, lists are replaced)."""

    @field_validator("merge_patch")
    @classmethod
    def _patch_holds_no_secret(cls, patch: dict[str, Any]) -> dict[str, Any]:
        return refuse_secrets_in(patch)

    @model_validator(mode="after")
    def _queue_fits_profile(self) -> Self:
        if self.queue is not None and self.profile == "autoscale":
            raise ValueError(
                f"queue={self.queue} needs profile=queue: Kueue counts what a job may use when it starts, and an "
                "autoscaled one grows afterwards"
            )
        return self

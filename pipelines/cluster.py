"""The Ray cluster a job runs on: started for the job on a laptop, joined where there is one.

Owns `ray.init`, what a worker may use, and turning an error from a worker into ours. Knows no stage.
"""

import logging
import os
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Literal

# Read by Ray when it starts: reports are registered at this pace, and nothing is phoned home.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its C++ core writes to the user's terminal

import ray
from ray.data import DataContext

from augment.config import RayConfig
from augment.errors import AugmentError, ConfigError, RetryLaterError

__all__ = ["Cluster", "ray_cluster", "reraise_ours"]

Device = Literal["cpu", "gpu"]


@dataclass(frozen=True, slots=True)
class Cluster:
    """What there is to work with."""

    cpus: float
    cpus_per_node: float  # of the largest node
    gpus: float
    scratch: str | None  # a folder every process of the cluster sees; None where that can't be known

    def device_for(self, wanted: Literal["auto", "cpu", "gpu"], *, processes: int, field: str) -> Device:
        """The device for `processes` processes at once; ConfigError names `field` where it can't be had."""
        enough = self.gpus >= processes
        if wanted == "gpu" and not enough:
            raise ConfigError(
                f"{field}=gpu needs {processes} GPU(s), and the cluster has {self.gpus:g}; set {field}=cpu or auto"
            )
        return "gpu" if enough and wanted != "cpu" else "cpu"


@contextmanager
def ray_cluster(config: RayConfig) -> Iterator[Cluster]:
    """Join the cluster at `ray.address` (or RAY_ADDRESS), else start one here and stop it at the end."""
    address = config.address or os.environ.get("RAY_ADDRESS")
    already_there = ray.is_initialized()
    if not already_there:
        _connect(address, config)
    _quieten_ray(config)
    try:
        with tempfile.TemporaryDirectory(prefix="augment-") as scratch:
            embedded = already_there or address in (None, "local")
            yield _describe_cluster(scratch if embedded else None)
    finally:
        if not already_there:
            ray.shutdown()


def _describe_cluster(scratch: str | None) -> Cluster:
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = [float(node.get("CPU", 0)) for node in nodes]
    return Cluster(
        cpus=sum(cpus) or 1.0,
        cpus_per_node=max(cpus) or 1.0,
        gpus=sum(float(node.get("GPU", 0)) for node in nodes),
        scratch=scratch if len(nodes) == 1 else None,
    )


def _connect(address: str | None, config: RayConfig) -> None:
    try:
        with _native_stderr_closed():
            _init(address, config)
    except ConnectionError as error:
        raise RetryLaterError(f"no Ray cluster answers at ray.address={address}: {error}") from error


def _init(address: str | None, config: RayConfig) -> None:
    if address not in (None, "local"):
        ray.init(address=address, log_to_driver=False, logging_level="error")
        return
    store_bytes = None if config.object_store_gb is None else int(config.object_store_gb * 1e9)
    ray.init(
        address="local",
        num_cpus=config.num_cpus,
        object_store_memory=store_bytes,
        include_dashboard=False,
        log_to_driver=False,
        logging_level="error",
    )


@contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Keep Ray's C++ core from greeting the user on standard error; Python's errors are raised, not printed."""
    kept = os.dup(2)
    nowhere = os.open(os.devnull, os.O_WRONLY)
    try:
        os.dup2(nowhere, 2)
        yield
    finally:
        os.dup2(kept, 2)
        os.close(nowhere)
        os.close(kept)


def _quieten_ray(config: RayConfig) -> None:
    """One voice speaks to the user: ours. What Ray logs of an error, the error says too."""
    for name in ("ray", "ray.data", "ray.train"):
        logging.getLogger(name).setLevel(logging.CRITICAL)
    context = DataContext.get_current()
    context.enable_progress_bars = False
    context.print_on_execution_start = False
    context.execution_options.verbose_progress = False
    if hasattr(context, "execution_no_progress_timeout_s"):
        context.execution_no_progress_timeout_s = config.stall_timeout_s


def reraise_ours(error: BaseException) -> None:
    """Raise the AugmentError that a worker raised, if that is what lies under Ray's wrapping."""
    ours = _find_ours(error, seen=set())
    if ours is not None:
        raise ours from error


def _find_ours(error: BaseException | None, seen: set[int]) -> AugmentError | None:
    if error is None or id(error) in seen:
        return None
    seen.add(id(error))
    if isinstance(error, AugmentError):
        # Ray's dual-class wrapper is an AugmentError too: its message is a traceback, its cause is ours.
        return _find_ours(getattr(error, "cause", None), seen) or error
    causes = [getattr(error, "cause", None), error.__cause__, error.__context__]
    causes += list(getattr(error, "worker_failures", {}).values())  # ray.train.TrainingFailedError
    for cause in causes:
        if isinstance(cause, BaseException) and (found := _find_ours(cause, seen)):
            return found
    return None

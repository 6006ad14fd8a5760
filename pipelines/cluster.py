"""The Ray cluster a job runs on: started for the job on a laptop, joined where there is one.

Owns `ray.init`, what a worker may use, and turning an error from a worker into ours. Knows no stage.
"""

import logging
import os
import re
import socket
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import dataclass, replace
from typing import Literal

# Read by Ray when it starts: reports are registered at this pace, and nothing is phoned home.
os.environ.setdefault("RAY_TRAIN_HEALTH_CHECK_INTERVAL_S", "0.1")
os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")
os.environ.setdefault("RAY_worker_niceness", "0")  # at its 15, whatever else runs here stalls our threads
os.environ.setdefault("RAY_BACKEND_LOG_LEVEL", "fatal")  # its C++ core writes to the user's terminal

import ray
from ray.data import DataContext
from ray.data.exceptions import ExecutionTimeoutError, SystemException
from ray.exceptions import RayError, RayTaskError, UserCodeException
from ray.train import TrainingFailedError

from augment.config import RayConfig
from augment.errors import AugmentError, ConfigError, PartialError, RetryLaterError
from augment.redaction import redact
from pipelines.faults import causes, fault_of
from pipelines.stopping import keeping_handler

__all__ = ["Cluster", "Device", "local_ray", "ray_cluster", "ray_errors", "stall_timeout_s"]

Device = Literal["cpu", "gpu"]

CONNECT_TIMEOUT_S = 10.0

_IDLE_WORKERS_LIVE = "idle_worker_killing_time_threshold_ms"
_IDLE_WORKERS_LIVE_MS = 60_000
"""Of a cluster that is started here. Ray ends workers that are idle for a second and more than its CPUs; as both stages of
generation take half a CPU, whoever waits a moment for the other would be ended, and a new one costs seconds of a core."""


@dataclass(frozen=True, slots=True)
class Cluster:
    """What there is to work with."""

    cpus: float
    cpus_per_node: float  # of the largest node
    gpus: float
    scratch: str | None  # a folder every process of the cluster sees; None where that can't be known
    joined: bool = False  # rather than started here: nodes may come and go
    wait_s: float = 0.0  # for nodes that are still to come

    def counted_anew(self) -> "Cluster":
        """With what there is now."""
        return replace(self, **_counted())

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
            alone = embedded and sum(node["Alive"] for node in ray.nodes()) == 1
            yield Cluster(
                **_counted(), scratch=scratch if alone else None, joined=not embedded, wait_s=config.wait_s
            )
    finally:
        if not already_there:
            ray.shutdown()


def _counted() -> dict[str, float]:
    """CPUs and GPUs of the nodes that live, by the names of `Cluster`."""
    nodes = [node["Resources"] for node in ray.nodes() if node["Alive"]]
    cpus = [float(node.get("CPU", 0)) for node in nodes]
    return {
        "cpus": sum(cpus) or 1.0,
        "cpus_per_node": max(cpus) or 1.0,
        "gpus": sum(float(node.get("GPU", 0)) for node in nodes),
    }


def _connect(address: str | None, config: RayConfig) -> None:
    where = redact(address or "local")
    _check_reachable(address or "local")
    try:
        with keeping_handler(), _native_stderr_closed():
            _init(address, config)
    except ConnectionError as error:
        raise RetryLaterError(f"no Ray cluster answers at ray.address={where}: {error}") from error
    except (ValueError, RuntimeError) as error:
        raise ConfigError(f"Ray can't be started or joined with ray.address={where}: {error}") from error
    except Exception as error:  # Ray raises the bare class where a node is too slow to start
        raise RetryLaterError(f"Ray did not start (ray.address={where}): {error}; try again") from error


def _check_reachable(address: str) -> None:
    """RetryLaterError where nothing listens at `host:port`: Ray itself would go on trying for minutes, in silence."""
    found = re.fullmatch(r"(?:ray://)?(?:\[([^]]+)\]|([^/:@]+)):(\d+)", address)
    if found is None:
        return  # `auto`, `local`: Ray knows at once
    try:
        socket.create_connection((found[1] or found[2], int(found[3])), timeout=CONNECT_TIMEOUT_S).close()
    except (OSError, OverflowError) as error:
        raise RetryLaterError(
            f"no Ray cluster answers at ray.address={redact(address)} ({error}); start it, or correct the address"
        ) from error


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
        _system_config=local_ray(),
    )


@contextmanager
def _native_stderr_closed() -> Iterator[None]:
    """Keep Ray's C++ core from greeting the user. Whatever is written to descriptor 2 meanwhile is lost."""
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


def local_ray() -> dict[str, int]:
    """Ray's own settings for a cluster that is started here, but for what the environment sets; a new dict, since Ray
    writes into it.
    """
    if f"RAY_{_IDLE_WORKERS_LIVE}" in os.environ:
        return {}
    return {_IDLE_WORKERS_LIVE: _IDLE_WORKERS_LIVE_MS}


def stall_timeout_s() -> float | None:
    """`ray.stall_timeout_s` of the cluster that is up, in seconds; None where this Ray knows none."""
    return getattr(DataContext.get_current(), "execution_no_progress_timeout_s", None)


@contextmanager
def ray_errors(stage: str) -> Iterator[None]:
    """Turn what Ray raises into ours: the AugmentError a worker raised, else what the user can do.

    What a machine lacked is told by `fault_of`. PartialError where a worker or a node was lost or nothing moved any
    more (what is stored is kept, the same command goes on); AugmentError where our own code failed in a worker.
    """
    try:
        yield
    except (RayError, TrainingFailedError, ExecutionTimeoutError, SystemException) as error:
        if (ours := _find_ours(error)) is not None:
            raise ours from error
        if (fault := fault_of(error, stage)) is not None:
            raise fault from error
        failed_in_code = isinstance(error, RayTaskError) or _has_worker_exception(error)
        kind = AugmentError if failed_in_code else PartialError
        hint = "" if failed_in_code else "; what is stored is kept, run the same command again to go on"
        raise kind(f"{stage} stopped: {_first_line(error)}{hint}") from error


def _has_worker_exception(error: BaseException) -> bool:
    """Whether training workers raised; where one died, the others' errors tell of that alone."""
    failures = getattr(error, "worker_failures", {}).values()
    died = any(
        isinstance(failure, RayError) or type(failure).__name__.startswith("WorkerHealthCheck")
        for failure in failures
    )
    return bool(failures) and not died


_CHAINED = "\n\nThe above exception was the direct cause"


def _first_line(error: BaseException) -> str:
    """The innermost cause in a line; the traceback stays attached to the error."""
    cause = getattr(error, "cause", None) or error
    if isinstance(cause, UserCodeException):  # Ray Data's own, around ours, which only the text still tells
        return str(error).split(_CHAINED)[0].strip().splitlines()[-1]
    lines = [line for line in str(cause).strip().splitlines() if line.strip()]
    return f"{type(cause).__name__}: {lines[-1].strip() if lines else 'no message'}"


def _find_ours(error: BaseException) -> AugmentError | None:
    """The AugmentError that a worker raised."""
    found = [one for one in causes(error) if isinstance(one, AugmentError)]
    # Ray's dual-class wrapper is an AugmentError too: its message is a traceback, its cause is ours.
    return next((one for one in found if not isinstance(one, RayError)), found[0] if found else None)
